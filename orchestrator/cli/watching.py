"""`otao watch`: what happens in an application, as it happens.

Rules:
- A lost connection is opened again, and goes on after the last event that came; only the first one has to succeed.
- It ends by Ctrl-C, with the application, or when the server refuses.

Layer: cli.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from orchestrator.cli import desks
from orchestrator.cli.boards import SUMMARY, Board, columns
from orchestrator.cli.clients import ProblemError
from orchestrator.cli.endings import Ending
from orchestrator.cli.event_streams import EventStream
from orchestrator.cli.outputs import console, hint, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.cli.desks import Desk
    from orchestrator.cli.event_streams import Event

SILENCE_SECONDS = 45.0
"""The server says something every 15 seconds."""
RETRY_SECONDS = 2.0
MOST_RETRY_SECONDS = 5.0
DELETED = "application.delete"


pause = time.sleep
"""Waits so many seconds."""


@click.command(epilog="\b\nExample: otao watch --types 'endpoint.failed,software.*'")
@click.option("--types", metavar="TYPES", help="Only these, separated by commas; endpoint.* for all that begin so.")
@desks.connected()
def watch(desk: Desk, types: str | None) -> None:
    """Show what happens in an application, live on a terminal, one line per event elsewhere."""
    follower = Follower(desk=desk, types=types)
    live = is_terminal() and not desk.output.as_json
    with _board(follower) if live else nullcontext():
        try:
            follower.run()
        except KeyboardInterrupt:
            # The usual way to stop watching is no failure.
            return


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows one application's events."""

    desk: Desk
    types: str | None = None
    board: Board | None = None
    """Where events are shown; None: they are printed."""
    _stream: EventStream = field(default_factory=EventStream)
    _reached: bool = False

    def run(self) -> None:
        """Follow until the application is deleted.

        Raises:
            UnreachableError: not even the first connection came about.
            ProblemError: the server refuses.
        """
        path = self.desk.at("events")
        while self._follow(path):
            wait = self._stream.retry_seconds or RETRY_SECONDS
            pause(min(wait, MOST_RETRY_SECONDS))

    def _follow(self, path: str) -> bool:
        """Read one stream to its end; whether to open another one."""
        headers = {"last-event-id": self._stream.last_id} if self._stream.last_id else {}
        try:
            with self._open(path, headers) as pieces:
                for event in self._stream.read(pieces):
                    self._reached = True
                    self._show(event)
                    if event.kind == DELETED:
                        return False
        except ProblemError:
            raise
        except Ending as ending:
            if not self._reached:
                raise
            self._lose(ending.message)
        else:
            self._lose("the server ended the stream")
        return True

    def _open(self, path: str, headers: dict[str, str]) -> AbstractContextManager[Iterator[bytes]]:
        return self.desk.client.stream(path, headers=headers, seconds=SILENCE_SECONDS, types=self.types)

    def _show(self, event: Event) -> None:
        if self.board is not None:
            self.board.take(event.kind, event.document)
        elif self.desk.output.as_json:
            click.echo(event.data)
        else:
            click.echo("\t".join(columns(event.document)))

    def _lose(self, why: str) -> None:
        if self.board is not None:
            self.board.lose(f"{why}; trying again")
        else:
            hint(f"otao: {why}; trying again")


@contextmanager
def _board(follower: Follower) -> Iterator[None]:
    from rich.live import Live

    board = Board(application=follower.desk.application)
    follower.board = board
    if follower.types is not None:
        # The bars need the numbers, whatever else was chosen.
        follower.types += f",{SUMMARY}"
    with Live(get_renderable=board.draw, console=console(), refresh_per_second=4):
        yield
