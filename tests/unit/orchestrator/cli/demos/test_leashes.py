"""A leash: the command ends with the one who holds the other end, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LEASH = [sys.executable, "-m", "orchestrator.cli.demos.leashes"]
SLEEPER = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
HOLDER = """
import subprocess, sys, time
leash = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    """Wait until a process has ended, but not for ever."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def first_number(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_the_exit_code_is_handed_on() -> None:
    for source, code in (("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + 9)):
        with subprocess.Popen([*LEASH, sys.executable, "-c", source], stdin=subprocess.PIPE) as held:
            assert held.wait(20) == code


def test_a_leash_that_is_let_go_ends_the_command() -> None:
    with subprocess.Popen([*LEASH, *SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        child = first_number(held)
        assert held.stdin is not None
        held.stdin.close()
        assert held.wait(20) == 128 + signal.SIGTERM
    assert gone(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_leash_ends_the_command(number: signal.Signals) -> None:
    with subprocess.Popen([*LEASH, *SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        child = first_number(held)
        held.send_signal(number)
        assert held.wait(20) == 128 + signal.SIGTERM
    assert gone(child)


def test_a_holder_that_is_killed_takes_the_command_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, *LEASH, *SLEEPER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        child = first_number(holder)
        holder.kill()
        holder.wait(20)
    assert gone(child)
