"""Processes of the demonstration, each on a leash (`leashes`).

Rules:
- A child is stopped on every way out, and waited for; one that does not stop is killed with all that it started.
- It is in a session of its own: Ctrl-C in the terminal reaches the demonstration, which stops its children in order.
- Its log is a file in the demonstration's folder; the end of it is shown when it fails.

Layer: cli.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orchestrator.cli.demos.errors import ChildFailedError
from orchestrator.cli.demos.leashes import GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

_STOP_SECONDS = GRACE_SECONDS + 2.0
_QUOTED_LINES = 8


class Child:
    """A running process; `running` makes one."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            ChildFailedError: it has ended.
        """
        if self._process.returncode is not None:
            raise ChildFailedError(self.name, f"ended with exit code {self._process.returncode}", self.log_end())

    async def first_line(self, seconds: float) -> str:
        """Wait for a line on its standard output.

        Raises:
            ChildFailedError: it ended before, or did not say anything in time.
        """
        if self._process.stdout is None:
            raise ChildFailedError(self.name, "has no standard output", "")
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
                if not line:
                    await self._process.wait()
        except TimeoutError as error:
            raise ChildFailedError(self.name, f"said nothing for {seconds:g} s", self.log_end()) from error
        self.check()
        return line.decode().strip()

    def log_end(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_QUOTED_LINES:])


@asynccontextmanager
async def running(
    name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """Run a command while the context lasts; its standard error goes to the file `log`.

    Raises:
        ChildFailedError: the command cannot be started.
    """
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "orchestrator.cli.demos.leashes",
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
    try:
        yield Child(name, process, log)
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
