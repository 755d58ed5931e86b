"""`otao graph`: the upgrade graph, as the server draws it.

Layer: cli.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import desks
from orchestrator.cli.endings import FailedError

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk

FORMATS = ("text", "dot", "svg")


@click.command(epilog="\b\nExample: otao graph --format svg -o graph.svg")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Else by the file's name, else text.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file, instead of printing.")
@desks.connected()
def graph(desk: Desk, form: str | None, output: Path | None) -> None:
    """Draw which version leads to which, with endpoints and offers."""
    if desk.output.as_json:
        form = "json"
    elif form is None:
        form = output.suffix[1:] if output is not None and output.suffix[1:] in FORMATS else "text"
    text = desk.client.get(desk.at("graph"), format=form).text
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FailedError(f"{output} cannot be written: {error.strerror}") from error
