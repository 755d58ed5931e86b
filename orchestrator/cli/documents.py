"""What the server answers, read without trusting its shape: a member that is not there reads as nothing.

Rules:
- A server of another version may leave members out or add some; a table then has an empty cell, and no command breaks.

Layer: cli.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from orchestrator.cli.endings import printable

Document: TypeAlias = Mapping[str, object]
"""A JSON object."""

NOTHING = "-"
"""Stands in a table where there is no value, so that columns can be counted."""


def section(document: Document, *names: str) -> Document:
    """The object at the end of this way; an empty one where there is none."""
    for name in names:
        inner = document.get(name)
        if not isinstance(inner, Mapping):
            return {}
        document = inner
    return document


def items(document: object, name: str | None = None) -> list[Document]:
    """The objects in a list: of the member `name`, or of the document itself."""
    if name is not None:
        document = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(document, Sequence) or isinstance(document, str):
        return []
    return [item for item in document if isinstance(item, Mapping)]


def number(document: Document, name: str) -> int:
    """A count; 0 where there is none."""
    value = document.get(name)
    return value if isinstance(value, int) else 0


def cell(value: object) -> str:
    """A value in one line of a table: lists joined by commas, objects as JSON, nothing as a dash."""
    match value:
        case None | "" | []:
            return NOTHING
        case dict() if not value:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case str():
            return printable(value)
        case list() if all(isinstance(item, str) for item in value):
            return printable(", ".join(value))
        case _:
            return printable(json.dumps(value, ensure_ascii=False))
