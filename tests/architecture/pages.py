"""Tables of the documentation, as the tests that hold them to the code read them.

Layer: tests.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.architecture.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = ROOT / "docs" / "reference"
_CELL = re.compile(r"(?<!\\)\|")
_NAMED = re.compile(r"`([^`]+)`")


def section(page: str, heading: str) -> str:
    """Return what stands below one heading of a page of the reference, up to the next of its level or a higher one."""
    level = heading.partition(" ")[0]
    _, _, after = (REFERENCE / page).read_text().partition(f"\n{heading}\n")
    assert after, f"{page} has no {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each row, heads aside, of every table that begins with something in backquotes."""
    lines = text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        cells = tuple(cell.strip() for cell in _CELL.split(line)[1:-1])
        if cells and cells[0].startswith("`") and not after.startswith("|---"):
            yield cells


def named(cell: str) -> list[str]:
    """Return what a cell names in backquotes, in its order."""
    return _NAMED.findall(cell)
