"""Files that declare software: read, checked, sent, and what the server refuses in them led back to its line.

Layer: cli.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import shapes, yaml_texts
from orchestrator.cli.clients import ProblemError
from orchestrator.cli.endings import RefusedError
from orchestrator.cli.places import START, Fault, FaultError, FileError, find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.cli.places import Node
    from orchestrator.cli.shapes import Shape

STANDARD_INPUT = "-"
_QUOTED = re.compile(r"'([^']+)'")

file_option = click.option(
    "-f", "--file", "name", required=True, metavar="FILE", help="YAML or JSON; - reads standard input."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFile:
    """A file that was read."""

    name: str
    root: Node

    def check(self, shape: Shape) -> None:
        """Pass when the file has this shape.

        Raises:
            FileError: it has not, or it is empty.
        """
        if self.root.value is None:
            raise FileError(self.name, [Fault(place=START, reason="the file must be an object, and is empty")])
        if found := list(dict.fromkeys(shapes.faults(self.root, shape, ""))):
            raise FileError(self.name, found)

    def members(self) -> dict[str, object]:
        """The members of the object that the file is."""
        plain = self.root.plain()
        return plain if isinstance(plain, dict) else {}

    @contextmanager
    def sent(self, prefix: str = "") -> Iterator[None]:
        """Lead what the server refuses back to the file; its paths begin with `prefix`, which is not in the file.

        Raises:
            FileError: the server refused a member that the file has.
        """
        try:
            yield
        except ProblemError as problem:
            for path in _QUOTED.findall(problem.detail):
                if (place := find(self.root, path.removeprefix(prefix))) is not None:
                    reason = f"{problem.detail} ({problem.code})"
                    raise FileError(self.name, [Fault(place=place, reason=reason)]) from problem
            raise


def read(name: str) -> DeclaredFile:
    """Read a file, or standard input.

    Raises:
        FileError: it is no YAML within the bounds.
        RefusedError: it cannot be read.
    """
    shown = "<stdin>" if name == STANDARD_INPUT else name
    try:
        with click.open_file(name, "rb") if name == STANDARD_INPUT else Path(name).open("rb") as file:
            # One byte more says that it is too large; the rest is never read.
            content = file.read(yaml_texts.MOST_BYTES + 1)
    except OSError as error:
        raise RefusedError(f"{shown} cannot be read: {error.strerror}") from error
    try:
        return DeclaredFile(name=shown, root=yaml_texts.read(content))
    except FaultError as error:
        raise FileError(shown, [error.fault]) from error
