"""Runs the service as `otao serve` does, and stops the world where a test wants it.

Environment:
    KILL_AT: a step's name and how often it must be reached, such as `batch-stored:2`: then the process kills itself
        with SIGKILL.
    STOP_AT: the same, with SIGSTOP: it goes on when it gets SIGCONT.
    CLOCK_OFFSET_FILE: a file with seconds to add to the wall clock, read at every look at it.
    POISON: a token; applying a message of its endpoint raises.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import service, settings
from orchestrator.application import handling
from orchestrator.cli import logs
from orchestrator.cli.serve import announce

if TYPE_CHECKING:
    from protocol.requests import Request


class Killer:
    """Counts steps, and kills or stops the process at the chosen one."""

    def __init__(self, choice: str, number: signal.Signals) -> None:
        name, _, times = choice.partition(":")
        self._name = name
        self._left = int(times or 1)
        self._number = number

    def __call__(self, step: str, /) -> None:
        if step == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._number)


def wall() -> datetime:
    """The wall clock, moved."""
    path = os.environ.get("CLOCK_OFFSET_FILE")
    offset = float(Path(path).read_text()) if path and Path(path).exists() else 0.0
    return datetime.now(UTC) + timedelta(seconds=offset)


def poison(token: str) -> None:
    """Have every message of one endpoint raise where it is applied."""
    apply = handling.Handling.apply

    def poisoned(self: handling.Handling, request: Request, at: datetime) -> None:
        if request.address.token == token:
            raise ZeroDivisionError("poison")
        apply(self, request, at)

    setattr(handling.Handling, "apply", poisoned)  # noqa: B010 - typed code does not replace methods


def main() -> int:
    """Run."""
    loaded = settings.load({})
    logs.configure(loaded.log_level)
    if token := os.environ.get("POISON"):
        poison(token)
    stop_at = os.environ.get("STOP_AT", "")
    steps = Killer(stop_at or os.environ.get("KILL_AT", ""), signal.SIGSTOP if stop_at else signal.SIGKILL)
    return asyncio.run(service.run(loaded, announce=announce, steps=steps, wall=wall))


if __name__ == "__main__":
    sys.exit(main())
