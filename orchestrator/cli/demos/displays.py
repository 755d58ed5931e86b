"""How the demonstration is followed: bars that move on a terminal, lines elsewhere.

Rules:
- Elsewhere a line of numbers comes only when they have changed, and not more often than every two seconds.

Layer: cli.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from orchestrator.cli.demos.outcomes import counts
from orchestrator.cli.documents import items, number
from orchestrator.cli.endings import printable
from orchestrator.cli.outputs import console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

    from orchestrator.cli.documents import Document

_LINES_APART_SECONDS = 2.0


class Display(Protocol):
    """Who is told what happens."""

    def say(self, sentence: str) -> None:
        """Tell a step of the story."""

    def show(self, seconds: float, summary: Document) -> None:
        """Show the numbers of the moment, so many seconds after the beginning."""


class Lines:
    """Plain lines; with `to_errors` on standard error, where standard output is for a document."""

    def __init__(self, *, to_errors: bool = False) -> None:
        self._to_errors = to_errors
        self._last = ""
        self._last_at = -_LINES_APART_SECONDS

    def say(self, sentence: str) -> None:
        """Print it."""
        click.echo(printable(sentence), err=self._to_errors)

    def show(self, seconds: float, summary: Document) -> None:
        """Print them, if it is time."""
        text = numbers(summary)
        if text != self._last and seconds - self._last_at >= _LINES_APART_SECONDS:
            self._last, self._last_at = text, seconds
            self.say(f"{seconds:5.1f} s  {text}")


class Bars:
    """A bar for each version, below the steps that were told."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def say(self, sentence: str) -> None:
        """Print it above the bars."""
        self._progress.console.print(sentence, markup=False)

    def show(self, seconds: float, summary: Document) -> None:
        """Move the bars."""
        del seconds
        shown = counts(summary)
        for version in sorted({*shown, *self._bars}):
            if version not in self._bars:
                self._bars[version] = self._progress.add_task(version)
            total = number(summary, "endpoints")
            self._progress.update(self._bars[version], total=total, completed=shown.get(version, 0))


@contextmanager
def bars() -> Iterator[Bars]:
    """A terminal with bars while the context lasts."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console()) as progress:
        yield Bars(progress)


def numbers(summary: Document) -> str:
    """Endpoints by version and by failure, in one line."""
    parts = [f"{version}: {endpoints}" for version, endpoints in sorted(counts(summary).items())]
    failed = sum(number(failure, "endpoints") for failure in items(summary, "failures"))
    return "  ".join([*parts, *([f"failed: {failed}"] if failed else [])]) or "no endpoint yet"
