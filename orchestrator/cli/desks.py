"""What a command that talks to a server works with, and the options that say which server and which application.

Rules:
- A flag beats the environment: `OTAO_SERVER`, `OTAO_APPLICATION`, `OTAO_API_KEY` or `OTAO_API_KEY_FILE`.
- No application named means the only one; none or several ends with exit code 2.

Layer: cli.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from orchestrator.cli import clients
from orchestrator.cli.documents import items
from orchestrator.cli.endings import RefusedError, printable
from orchestrator.cli.outputs import Output, hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.cli.documents import Document

DEFAULT_SERVER = "http://127.0.0.1:8080"
KEY = "OTAO_API_KEY"
KEY_FILE = "OTAO_API_KEY_FILE"

_SERVER = click.option(
    "--server",
    metavar="URL",
    envvar="OTAO_SERVER",
    default=DEFAULT_SERVER,
    help=f"Where Otao serves; else OTAO_SERVER, else {DEFAULT_SERVER}.",
)
_KEY = click.option(
    "--api-key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"A file with the API key; else {KEY}, or the file that {KEY_FILE} names.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the server's documents.")
_APPLICATION = click.option(
    "--application",
    "-a",
    metavar="NAME",
    envvar="OTAO_APPLICATION",
    help="Whose; else OTAO_APPLICATION, else the only one.",
)
_REASON = click.option("--reason", metavar="TEXT", help="Why, for the audit log.")
_IF_MATCH = click.option(
    "--if-match", metavar="ETAG", help="Only if this is still its tag; * for any. Else: if it did not change meanwhile."
)

if_match = _IF_MATCH
"""The option of commands that replace or delete."""


@dataclass(slots=True, kw_only=True)
class Desk:
    """A server, an application of it, and standard output."""

    client: clients.Client
    output: Output
    named: str | None = None
    """The application that was named."""
    _only: str | None = field(default=None, repr=False)

    @property
    def application(self) -> str:
        """The application that was named, or the only one.

        Raises:
            RefusedError: none was named, and there is none or more than one.
        """
        if self.named is None and self._only is None:
            self._only = self._find()
        return self.named or self._only or ""

    def of(self, name: object) -> Desk:
        """This desk for the application that a file names; None: it names none.

        Raises:
            RefusedError: `--application` names another one.
        """
        if not isinstance(name, str):
            return self
        source = click.get_current_context().get_parameter_source("application")
        if source is ParameterSource.COMMANDLINE and self.named != name:
            raise RefusedError(f"the file is about the application {printable(name)}, and --application says another")
        return replace(self, named=name)

    def at(self, *parts: str) -> str:
        """The path of something that belongs to the application."""
        return clients.path("applications", self.application, *parts)

    def show(self, path: str) -> None:
        """Print one resource."""
        self.shown(self.client.get(path))

    def shown(self, answer: clients.Answer) -> None:
        """Print the resource that the server answered with."""
        if not self.output.answer(answer):
            self.output.record(answer.document)

    def done(self, answer: clients.Answer, sentence: str) -> None:
        """Print what the server answered, or a sentence of what was done."""
        if not self.output.answer(answer):
            self.output.say(sentence)

    def list(
        self,
        path: str,
        columns: tuple[str, ...],
        row: Callable[[Document], tuple[object, ...]],
        *,
        limit: int | None = None,
        **parameters: object,
    ) -> None:
        """Print a list, at most `limit` items; say when there are more."""
        rows: list[tuple[object, ...]] = []
        more: object = None
        for answer in self.client.pages(path, limit, **parameters):
            more = answer.document.get("next")
            if not self.output.answer(answer):
                rows += [row(item) for item in items(answer.document, "items")]
        if not self.output.as_json:
            self.output.table(columns, rows)
        if more is not None:
            hint("otao: there are more; --limit 0 lists all")

    def _find(self) -> str:
        names = [
            str(item.get("name"))
            for answer in self.client.pages("/applications")
            for item in items(answer.document, "items")
        ]
        match names:
            case [only]:
                return only
            case []:
                raise RefusedError("there is no application yet: `otao apply -f catalogue.yaml` makes one")
            case _:
                listing = printable(", ".join(names))
                raise RefusedError(f"there are several applications: name one with --application: {listing}")


limited = click.option(
    "--limit", type=click.IntRange(0), default=100, show_default=True, help="How many at most; 0: all."
)
"""The option of commands that list; give `most(limit)` on."""


def most(limit: int) -> int | None:
    """What `--limit` means: 0 is no limit."""
    return limit or None


def connected(
    *, application: bool = True, changes: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command with the options of a server; it gets its `Desk` first.

    Args:
        application: whether it is about one application.
        changes: whether it changes something, so that it takes a reason.
    """
    options = [_JSON, _KEY, _SERVER, *([_APPLICATION] if application else []), *([_REASON] if changes else [])]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(*, server: str, api_key_file: Path | None, as_json: bool, **given: object) -> None:
            named = given.pop("application", None) if application else None
            reason = given.pop("reason", None) if changes else None
            output = Output(as_json=as_json)
            with clients.Client(server, key=read_key(api_key_file), reason=checked_reason(reason)) as client:
                desk = Desk(client=client, output=output, named=named if isinstance(named, str) else None)
                function(desk, **given)

        decorated: Callable[..., None] = run
        for option in options:
            decorated = option(decorated)
        return decorated

    return decorate


def checked_reason(reason: object) -> str | None:
    """The reason as it can go into a header; None when none was given.

    Raises:
        RefusedError: it has several lines, or other control characters.
    """
    if not isinstance(reason, str):
        return None
    if not reason.isprintable():
        raise RefusedError("--reason must be one line, without control characters")
    return reason.strip() or None


def read_key(named: Path | None) -> str | None:
    """The API key: of the file that was named, else of the environment; None when there is none.

    Raises:
        RefusedError: the file cannot be read, holds no key, or the environment names two.
    """
    given, file = os.environ.get(KEY), os.environ.get(KEY_FILE)
    if named is None and given and file:
        raise RefusedError(f"{KEY}_FILE: {KEY} is set as well")
    if named is None and not file:
        return _sound(given, KEY) if given else None
    source = named or Path(str(file))
    try:
        text = source.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no text"
        raise RefusedError(f"{source} cannot be read: {cause}") from error
    return _sound(text, str(source))


def _sound(key: str, source: str) -> str:
    if not key or not (key.isascii() and key.isprintable()) or " " in key:
        raise RefusedError(f"{source} holds no API key")
    return key
