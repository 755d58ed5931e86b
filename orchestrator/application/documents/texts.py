"""JSON texts that are written from values and from texts that were kept as they came.

Rules:
- A `Raw` text goes out byte for byte: numbers, order of members and escapes stay.

Layer: application; pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Raw:
    """A JSON text that is inserted as it is."""

    text: str


Node: TypeAlias = "Raw | bool | int | float | str | Sequence[Node] | Mapping[str, Node] | None"
Document: TypeAlias = Mapping[str, Node]


def build(node: Node) -> str:
    """The JSON text of a node, compact, members in the given order."""
    match node:
        case Raw(text):
            return text
        case str() | bool() | int() | float() | None:
            return _scalar(node)
        case Mapping():
            return "{" + ",".join(f"{_scalar(name)}:{build(item)}" for name, item in node.items()) + "}"
        case _:
            return "[" + ",".join(build(item) for item in node) + "]"


def build_members(document: Document) -> dict[str, str]:
    """The JSON text of each member; what `protocol.payloads.members` reads from the whole."""
    return {name: build(item) for name, item in document.items()}


def _scalar(value: str | float | None) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # An unpaired surrogate has no UTF-8 form; escaped, it has a JSON one.
    return text if text.isascii() or _encodes(text) else json.dumps(value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
