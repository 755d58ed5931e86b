"""`otao rollout watch`: one rollout, as it goes on, until it is finished or stopped.

Rules:
- The server is asked once a second; a lost connection is tried again, only the first one has to succeed.
- It ends with 0 when the rollout is finished, with 3 when it is stopped, or has ended before its stages had passed, so
  that a script can wait for it.

Layer: cli.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import click

from orchestrator.cli import desks, rollout_displays
from orchestrator.cli.clients import ProblemError
from orchestrator.cli.documents import cell, items
from orchestrator.cli.endings import Ending, OtherwiseError
from orchestrator.cli.outputs import console, hint, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from orchestrator.cli.clients import Answer
    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document

EVERY_SECONDS = 1.0
FINISHED = "finished"
LEFT = frozenset({"waiting", "running", "failed"})
"""States of stages that have not passed."""
STOPPED = frozenset({"paused", "aborted", "recalled", "suspended"})

pause = time.sleep
"""Waits so many seconds."""


@click.command(epilog="\b\nExample: otao rollout watch 1.1.0")
@click.argument("version")
@click.option("--once", is_flag=True, help="Show it as it is now, and end.")
@desks.connected()
def watch(desk: Desk, version: str, *, once: bool) -> None:
    """Follow a rollout until it is finished or stopped: bars on a terminal, one line per change elsewhere."""
    live = is_terminal() and not desk.output.as_json
    with _live() if live else nullcontext(Lines(desk=desk)) as screen:
        follower = Follower(desk=desk, version=version, screen=screen)
        try:
            state = follower.look() if once else follower.run()
        except KeyboardInterrupt:
            # The usual way to stop watching is no failure.
            return
    if state in STOPPED:
        raise OtherwiseError(f"the rollout of {version} is {state}")
    if state == FINISHED and follower.short:
        raise OtherwiseError(f"the rollout of {version} has ended before all of its stages had passed")


class Screen(Protocol):
    """Where a rollout is shown."""

    def show(self, answer: Answer) -> None:
        """Show it as the server has answered."""

    def lose(self, why: str) -> None:
        """Say why nothing comes."""


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows one rollout."""

    desk: Desk
    version: str
    screen: Screen
    short: bool = False
    """Whether there was a stage that had not passed, when it was looked at last."""
    _reached: bool = False

    def run(self) -> str:
        """Follow until the rollout is finished or stopped; return its state then.

        Raises:
            UnreachableError: not even the first call was answered.
            ProblemError: the server refuses.
        """
        while True:
            state = self.look()
            if state == FINISHED or state in STOPPED:
                return state
            pause(EVERY_SECONDS)

    def look(self) -> str:
        """Show it as it is; return its state, an empty text while there is no answer."""
        try:
            answer = self.desk.client.get(self.desk.at("software", self.version, "rollout"))
        except ProblemError:
            raise
        except Ending as ending:
            if not self._reached:
                raise
            self.screen.lose(f"{ending.message}; trying again")
            return ""
        self._reached = True
        self.short = any(cell(stage.get("state")) in LEFT for stage in items(answer.document, "stages"))
        self.screen.show(answer)
        return cell(answer.document.get("state"))


@dataclass(slots=True, kw_only=True)
class Lines:
    """A pipe: what has changed is printed."""

    desk: Desk
    _last: str = ""

    def show(self, answer: Answer) -> None:
        """See `Screen.show`."""
        line = rollout_displays.line(answer.document)
        changed, self._last = line != self._last, line
        if changed and not self.desk.output.answer(answer):
            click.echo(line)

    def lose(self, why: str) -> None:
        """See `Screen.lose`."""
        hint(f"otao: {why}")


@dataclass(slots=True, kw_only=True)
class Board:
    """A terminal; drawn by another thread."""

    rollout: Document = field(default_factory=dict)
    trouble: str = ""

    def show(self, answer: Answer) -> None:
        """See `Screen.show`."""
        self.rollout, self.trouble = answer.document, ""

    def lose(self, why: str) -> None:
        """See `Screen.lose`."""
        self.trouble = why

    def draw(self) -> RenderableType:
        """What a terminal shows now."""
        return rollout_displays.picture(self.rollout, self.trouble) if self.rollout else ""


@contextmanager
def _live() -> Iterator[Board]:
    from rich.live import Live

    board = Board()
    with Live(get_renderable=board.draw, console=console(), refresh_per_second=4):
        yield board
