"""Runs a command that ends when the one who started it does, however that ends.

    python -m orchestrator.cli.demos.leashes COMMAND ARGUMENT…

Rules:
- Standard input is the leash: when its other end is closed, which the system does even for a process that is killed,
  the command gets SIGTERM, and SIGKILL when it has not ended some seconds later.
- The command's exit code is handed on; 128 and the signal's number when a signal ended it.

Layer: cli.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 8.0
_LEASH = 0
_BY_SIGNAL = 128


def hold(command: list[str]) -> int:
    """Run the command to its end; return its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the command is what we are given
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGINT, lambda *_: child.terminate())
    threading.Thread(target=_wait_for_the_end, args=(child,), daemon=True).start()
    code = child.wait()
    return _BY_SIGNAL - code if code < 0 else code


def _wait_for_the_end(child: subprocess.Popen[bytes]) -> None:
    while os.read(_LEASH, 4096):
        pass
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(hold(sys.argv[1:]))
