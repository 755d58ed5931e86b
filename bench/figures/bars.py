"""Bars beside what must be reached and what is aimed at.

Rules:
- Whatever a bar says by its colour it says in words as well.
- The axis begins at 0 and goes to 1 at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from bench.figures import pages
from bench.figures.drawings import FAINT, INK, LINE, SERIES, line, opened, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEFT, WIDTH, RIGHT = 20, 700, 20
TOP, ROW, BOTTOM = 66, 66, 30
BAR_TOP, BAR = 17, 18
"""Of a row: where its bar begins, and how high it is."""
OVER = 4
"""By how much a mark goes on below the bar."""
BLUE, ORANGE = SERIES[:2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row."""

    text: str
    values: tuple[float, ...]
    """One or more; the bar is their median."""
    must: float
    aim: float

    @property
    def verdict(self) -> str:
        """How it stands to its marks, in words."""
        middle = median(self.values)
        if middle < self.must:
            return "below what must be"
        return "aim reached" if middle >= self.aim else "must reached"


def svg(title: str, note: str, one: str, rows: Sequence[Bar]) -> str:
    """Return the drawing: a title, a line about how to read it, the bars from the top down; `one` says what 1 is."""
    most = max([1.0, *(value for row in rows for value in row.values), *(row.aim for row in rows)])
    scale = WIDTH / (ceil(most * 5) / 5)
    bottom = TOP + ROW * len(rows)
    parts = [
        opened(LEFT + WIDTH + RIGHT, bottom + BOTTOM, title),
        text(LEFT, 20, title, size=13, weight="bold"),
        text(LEFT, 37, note, colour=FAINT),
        text(LEFT + scale, TOP - 5, one, colour=FAINT, anchor="end" if scale > WIDTH / 2 else "start"),
        *_axis(scale, bottom),
    ]
    for number, row in enumerate(rows):
        parts += _bar(row, TOP + ROW * number, scale)
    return "".join([*parts, "</svg>\n"])


def _axis(scale: float, bottom: int) -> Iterator[str]:
    for number in range(round(WIDTH / scale * 5) + 1):
        x = LEFT + number / 5 * scale
        yield line((x, TOP), (x, bottom), colour=FAINT if number in (0, 5) else LINE)
        yield text(x, bottom + 16, f"{number / 5:.1f}", colour=FAINT, anchor="middle")


def _bar(row: Bar, top: int, scale: float) -> Iterator[str]:
    figures = pages.spread(row.values, digits=2)
    bar_top, bottom = top + BAR_TOP, top + BAR_TOP + BAR
    words = f"{row.text}: {figures}, {row.verdict}"
    yield f"<g><title>{escape(f'{words}; must {row.must:.2f}, aim {row.aim:.2f}')}</title>\n"
    yield text(LEFT + 4, top + 10, words)
    colour = ORANGE if median(row.values) < row.must else BLUE
    size = f'x="{LEFT}" y="{bar_top}" width="{median(row.values) * scale:.1f}" height="{BAR}"'
    yield f'<rect {size} fill="{colour}" fill-opacity="0.6"/>\n'
    yield from _spread(row, bar_top + BAR / 2, scale)
    # Their words are on either side, so that marks may be close to each other.
    marks = (("must", row.must, "", "end"), ("aim", row.aim, ' stroke-dasharray="3 2"', "start"))
    for name, value, dashes, anchor in marks:
        x = LEFT + value * scale
        yield line((x, bar_top), (x, bottom + OVER), colour=INK, more=f'stroke-width="2"{dashes}')
        yield text(x, bottom + OVER + 11, f"{name} {value:.2f}", colour=FAINT, anchor=anchor)
    yield "</g>\n"


def _spread(row: Bar, y: float, scale: float) -> Iterator[str]:
    """A line from the least to the most, with ends that can be seen."""
    least, most = (LEFT + value * scale for value in (min(row.values), max(row.values)))
    yield line((least, y), (most, y), colour=INK)
    for x in (least, most):
        yield line((x, y - 5), (x, y + 5), colour=INK)
