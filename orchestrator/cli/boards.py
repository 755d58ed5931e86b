"""The live picture of an application on a terminal: endpoints by version as bars, states, the newest events.

Layer: cli.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from orchestrator.cli.documents import Document, cell, number, section
from orchestrator.cli.endings import printable
from orchestrator.cli.fleets import frozen_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

SUMMARY = "summary"
NEWEST = 12
BAR_WIDTH = 40
_IN_SUBJECT = {"endpointId", "filterId"}


@dataclass(slots=True, kw_only=True)
class Board:
    """What is shown; taken in by one thread and drawn by another."""

    application: str
    numbers: Document = field(default_factory=dict)
    newest: deque[tuple[str, str, str, str]] = field(default_factory=lambda: deque(maxlen=NEWEST))
    trouble: str = ""
    """Why nothing comes, if so."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self, kind: str, document: Document) -> None:
        """Take an event in."""
        with self._lock:
            self.trouble = ""
            if kind == SUMMARY:
                self.numbers = section(document, "data")
            else:
                self.newest.append(columns(document))

    def lose(self, trouble: str) -> None:
        """Say why nothing comes."""
        with self._lock:
            self.trouble = printable(trouble)

    def draw(self) -> RenderableType:
        """What a terminal shows now."""
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            numbers, newest, trouble = self.numbers, list(self.newest), self.trouble
        total = number(numbers, "endpoints")
        parts: list[RenderableType] = [Text(f"{self.application}: {total} endpoints", style="bold")]
        parts += [Text(sentence, style="bold red") for sentence in frozen_of(numbers)]
        parts.append(_bars(numbers, total))
        states = [f"{printable(name)} {cell(count)}" for name, count in section(numbers, "byState").items()]
        if states:
            parts.append(Text("latest attempts: " + ", ".join(states)))
        parts.append(_events(newest))
        parts.append(Text(trouble or "Ctrl-C ends", style="yellow" if trouble else "dim"))
        return Group(*parts)


def columns(document: Document) -> tuple[str, str, str, str]:
    """Time, type, subject and what else an event says, each in one line."""
    data = section(document, "data")
    if document.get("type") == SUMMARY:
        versions = section(data, "byVersion").items()
        detail = " ".join([f"endpoints={cell(data.get('endpoints'))}", *(f"{name}={cell(n)}" for name, n in versions)])
    else:
        told = {"endpointId", "filterId"}
        detail = " ".join(
            f"{name}={cell(value)}" for name, value in data.items() if name not in told and value is not None
        )
    names = ("time", "type", "subject")
    time, kind, subject = (cell(document.get(name)) for name in names)
    return time, kind, subject, printable(detail) or cell(None)


def _bars(numbers: Document, total: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    counts: list[tuple[str, object]] = list(section(numbers, "byVersion").items())
    counts.append(("unknown", number(numbers, "unknownVersion")))
    for name, count in counts:
        if isinstance(count, int) and count:
            share = f"{100 * count / max(total, 1):5.1f} %"
            bar = ProgressBar(total=max(total, 1), completed=count, width=BAR_WIDTH)
            table.add_row(Text(printable(name)), bar, str(count), share)
    return table


def _events(newest: list[tuple[str, str, str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for row in newest:
        table.add_row(*(Text(value, overflow="ellipsis", no_wrap=True) for value in row))
    return table
