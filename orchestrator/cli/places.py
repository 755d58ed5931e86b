"""Values of a file with the places at which they stand, and the errors that name a place.

Rules:
- Lines and columns count from 1, columns in characters.
- An error in a file begins its line with `FILE:LINE:COLUMN: `, which editors follow.

Layer: cli.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import click

from orchestrator.cli.endings import RefusedError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOWN = 20
"""Errors of one file that are shown."""

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where something begins."""

    line: int
    column: int


START = Place(line=1, column=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of an object."""

    place: Place
    """Of its name."""
    node: Node


Value: TypeAlias = "str | int | float | bool | Sequence[Node] | Mapping[str, Member] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value with its place."""

    place: Place
    value: Value
    text: str = ""
    """A scalar as it was written."""
    size: int = 1
    """Values in it, itself among them, each alias counted as what it stands for."""
    depth: int = field(default=1)
    """Levels of nesting."""

    def plain(self) -> object:
        """The value without places."""
        match self.value:
            case dict() as members:
                return {name: member.node.plain() for name, member in members.items()}
            case list() as nodes:
                return [node.plain() for node in nodes]
            case scalar:
                return scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong at a place."""

    place: Place
    reason: str


class FaultError(Exception):
    """A file cannot be read any further; holds the fault."""

    def __init__(self, place: Place, reason: str) -> None:
        """Keep place and reason."""
        super().__init__(reason)
        self.fault = Fault(place=place, reason=reason)


class FileError(RefusedError):
    """A file is refused; nothing was changed."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        """Name the file and what is wrong, in the order of places."""
        ordered = sorted(faults, key=lambda fault: fault.place)
        lines = [f"{file}:{fault.place.line}:{fault.place.column}: {fault.reason}" for fault in ordered[:SHOWN]]
        if len(ordered) > SHOWN:
            lines.append(f"{file}: and {len(ordered) - SHOWN} errors more")
        super().__init__("\n".join(map(printable, lines)))

    def show(self, file: IO[Any] | None = None) -> None:
        """Write each line to standard error, as it is."""
        click.echo(self.message, file=file, err=True)


def find(root: Node, path: str) -> Place | None:
    """Where the value at `path` stands, such as `software[1].upgradableFrom[0]`, or what comes nearest to it.

    None when not even the first step leads anywhere.
    """
    node, found = root, None
    for name, index in _STEP.findall(path):
        if isinstance(node.value, dict) and name in node.value:
            found, node = node.value[name].place, node.value[name].node
        elif isinstance(node.value, list) and index and int(index) < len(node.value):
            node = node.value[int(index)]
            found = node.place
        else:
            break
    # A scalar is found by itself, whatever the server sees in it; of a member that is lacking, the name of the object.
    return node.place if found is not None and not isinstance(node.value, dict | list) else found
