"""`otao endpoint import`.

Rules:
- The file is sent as it is read, so that it may be larger than memory; good lines are imported although others are bad.
- Bad lines are listed with their numbers, and end with exit code 3.

Layer: cli.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from orchestrator.cli import desks
from orchestrator.cli.documents import cell, items, number
from orchestrator.cli.endings import OtherwiseError
from orchestrator.cli.outputs import console, hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document

CHUNK_BYTES = 65536
MEDIA_TYPE = "application/x-ndjson"


_HELP = """Register and update endpoints in bulk, from JSON lines.

Each line is an endpoint, and may assert what it runs until its first report; - reads standard input:

\b
{"endpointId": "kettle-7", "token": "tok7", "attributes": {"site": "lab"}, "runningVersion": "1.0.0"}
"""


@click.command("import", help=_HELP, epilog="\b\nExample: otao endpoint import fleet.jsonl")
@click.argument("file", type=click.File("rb"))
@desks.connected(changes=True)
def import_(desk: Desk, file: BinaryIO) -> None:
    """Register and update endpoints in bulk, from JSON lines."""
    desk.client.get(desk.at())
    with _progress(file) as advance:
        answer = desk.client.call(
            "POST", desk.at("endpoints"), content=_chunks(file, advance), headers={"content-type": MEDIA_TYPE}
        )
    document = answer.document
    desk.done(answer, f"endpoints: {_sentence(document)}")
    if not desk.output.as_json:
        for error in items(document, "errors"):
            hint(f"line {cell(error.get('line'))}: {cell(error.get('detail'))} ({cell(error.get('code'))})")
    if failed := number(document, "failed"):
        raise OtherwiseError(f"{failed} {'line was' if failed == 1 else 'lines were'} not imported")


def _sentence(document: Document) -> str:
    return ", ".join(f"{number(document, name)} {name}" for name in ("created", "updated", "unchanged", "failed"))


def _chunks(file: BinaryIO, advance: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        advance(len(chunk))


@contextmanager
def _progress(file: BinaryIO) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, of standard error: it is no output."""
    if not sys.stderr.isatty():
        yield _ignored
        return
    from rich.progress import Progress

    path = Path(str(getattr(file, "name", "")))
    total = path.stat().st_size if path.is_file() else None
    with Progress(console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("importing", total=total)

        def advance(size: int) -> None:
            progress.advance(task, size)

        yield advance


def _ignored(_size: int) -> None:
    """Without a terminal nobody watches."""
