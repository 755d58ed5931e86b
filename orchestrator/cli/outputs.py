"""What commands print: tables for people on a terminal, lines with tabs elsewhere, the server's documents on request.

Rules:
- Elsewhere means no colour, no box, no width: a header line, then one line per row, cells parted by one tab.
- With `--json` exactly the server's documents, one per line, and nothing else on standard output.
- Hints go to standard error.

Layer: cli.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from orchestrator.cli.documents import Document, cell
from orchestrator.cli.endings import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from orchestrator.cli.clients import Answer


def is_terminal() -> bool:
    """Whether standard output is one."""
    return sys.stdout.isatty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Standard output, in the form that was asked for."""

    as_json: bool
    """Whether documents are printed rather than tables."""

    def answer(self, answer: Answer) -> bool:
        """Print the server's document if that was asked for; whether it was."""
        if self.as_json and answer.text:
            click.echo(answer.text)
        return self.as_json

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print rows below their columns."""
        texts = [[cell(value) for value in row] for row in rows]
        if is_terminal():
            _draw(columns, texts)
            return
        for line in (columns, *texts):
            click.echo("\t".join(line))

    def record(self, document: Document) -> None:
        """Print one resource, a member per line."""
        if is_terminal():
            width = max((len(name) for name in document), default=0)
            for name, value in document.items():
                label = printable(name).ljust(width)
                click.echo(f"{click.style(label, bold=True) if coloured() else label}  {cell(value)}")
            return
        for name, value in document.items():
            click.echo(f"{printable(name)}\t{cell(value)}")

    def say(self, sentence: str) -> None:
        """Print a sentence about what was done, unless documents were asked for."""
        if not self.as_json:
            click.echo(printable(sentence))


def hint(sentence: str) -> None:
    """Say something beside the output, on standard error."""
    click.echo(printable(sentence), err=True)


def coloured() -> bool:
    """Whether a terminal may be sent colours and bold: not when `NO_COLOR` is set."""
    return not os.environ.get("NO_COLOR")


def console(*, stderr: bool = False) -> Console:
    """A terminal for rich: without any sequence when `NO_COLOR` is set."""
    from rich.console import Console

    return Console(stderr=stderr, color_system="auto" if coloured() else None, highlight=False)


def _draw(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # As text: what stands in brackets is no markup.
        table.add_row(*(Text(value) for value in row))
    console().print(table)
