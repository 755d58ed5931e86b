"""Parts of a page that a command writes, between two marks; and tables for them.

Rules:
- A part begins and ends with the same mark, a comment that names the part and the command. What is between belongs to
  the command, the rest of the page to people.
"""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MB_IN_MIB = 1e6 / 2**20


def mark(name: str, command: str) -> str:
    """Return what stands before and after a part."""
    return f"<!-- {name}: written by {command} -->"


def replaced(page: str, mark: str, text: str) -> str:
    """Return the page with other text between the two marks.

    Raises:
        ValueError: the page does not have the two marks, or has more.
    """
    found, count = re.subn(
        f"({re.escape(mark)}\n).*?({re.escape(mark)})",
        lambda match: f"{match[1]}\n{text}\n{match[2]}",
        page,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"the page has {count} pairs of {mark}, not one")
    return found


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float) -> str:
    """Return a figure for people: two or three digits that mean something."""
    if abs(value) >= 100:  # noqa: PLR2004 - from here on without a fraction
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def spread(values: Sequence[float], unit: str = "", *, digits: int | None = None) -> str:
    """Return the median of several, in brackets the least and the most; of one, itself."""

    def shown(value: float) -> str:
        return number(value) if digits is None else f"{value:.{digits}f}"

    least, most = shown(min(values)), shown(max(values))
    middle = f"{shown(median(values))}{unit}"
    return middle if least == most else f"{middle} ({least}-{most})"


def judged(shown: str, *, good: bool) -> str:
    """Return a figure in bold when it misses its mark."""
    return shown if good else f"**{shown}**"
