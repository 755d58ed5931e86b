"""Server-sent events, read from the bytes of a stream.

Rules:
- Only CR and LF end a line: what else Python takes for a line break may stand in a text of JSON.
- An event without data is none; its id counts all the same.

Spec: HTML Living Standard §9.2.6 "Interpreting an event stream".

Layer: cli; pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.cli.documents import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a stream."""

    kind: str
    data: str

    @property
    def document(self) -> Document:
        """The data, if it is a JSON object; else an empty one."""
        try:
            value = json.loads(self.data)
        except ValueError:
            return {}
        return value if isinstance(value, Mapping) else {}


@dataclass(slots=True, kw_only=True)
class EventStream:
    """Reads one stream, and the next one after it was lost."""

    last_id: str = ""
    """Of the newest event; where a new stream goes on."""
    retry_seconds: float | None = None
    """How long to wait before a new stream, if the server has said so."""
    _kind: str = ""
    _data: list[str] = field(default_factory=list)

    def read(self, pieces: Iterable[bytes]) -> Iterator[Event]:
        """Yield the events in the pieces of a stream, each as soon as it is complete."""
        self._kind, self._data = "", []
        for line in _lines(pieces):
            if line:
                self._take(line)
                continue
            if self._data:
                yield Event(kind=self._kind or "message", data="\n".join(self._data))
            self._kind, self._data = "", []

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdecimal():
                self.retry_seconds = int(value) / 1000
            case _:
                # A comment, or a field that a later version of the specification knows.
                pass


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """The complete lines; one that ends with CR LF comes once."""
    rest = b""
    after_return = False
    for piece in filter(None, pieces):
        # The LF of a CR LF that was torn apart ends no second line.
        text = piece[1:] if after_return and piece.startswith(b"\n") else piece
        after_return = piece.endswith(b"\r")
        *whole, rest = (rest + text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
