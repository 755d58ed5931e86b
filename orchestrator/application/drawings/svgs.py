"""The upgrade graph as SVG: rows of versions with bars and words, and curved rails that join them.

Rules:
- No style, no script, no reference to anything outside: it is shown under `default-src 'self'`. Looks are presentation
  attributes, which a page's style sheet may override by class.
- Every row has a title that says everything in words; shapes and words repeat what colours say.
- Names and notes that are too long are cut; the title has them whole.

Spec: SVG 1.1 §6 (presentation attributes), §5.4 (title).
Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from orchestrator.application.drawings import rails, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.application.drawings.charts import Chart
    from orchestrator.application.drawings.rails import Layout, Rail, Row

_ROW = 30
_LANE = 14
_MARGIN = 16
_BAR = 110
_NAME_CHARACTERS = 24
_NOTE_CHARACTERS = 56
_NOTE = 360
_BEND = 8
_OUT, _IN = -5, 5
"""Edges leave a row above its middle and arrive below it: most lead upwards, so that the two do not meet."""
_INK, _FAINT, _LINE, _FILL, _PAPER = "#1c2024", "#60646c", "#8b8d98", "#3e63dd", "#ffffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Where columns begin, in pixels."""

    rows: int
    """The heads of arrows."""
    bars: int
    most: int
    """How many endpoints the longest bar stands for."""

    @classmethod
    def of(cls, layout: Layout) -> _Columns:
        """The columns of a drawing, the names' as wide as they need, to a limit."""
        rows = _MARGIN + layout.lanes * _LANE + 12
        longest = min(max((len(row.label) for row in layout.rows), default=0), _NAME_CHARACTERS)
        most = max((row.endpoints for row in layout.rows), default=0)
        return cls(rows=rows, bars=rows + 44 + 8 * longest, most=most)

    @property
    def notes(self) -> int:
        return self.bars + _BAR + 72

    @property
    def width(self) -> int:
        return self.notes + _NOTE


def draw(chart: Chart, *, link: Callable[[str], str] | None = None) -> str:
    """Return the drawing; `link` gives the address behind a version, None behind none."""
    layout = rails.lay_out(chart)
    return "".join(_parts(layout, _Columns.of(layout), link))


def _parts(layout: Layout, columns: _Columns, link: Callable[[str], str] | None) -> Iterator[str]:
    width = columns.width
    height = 2 * _MARGIN + _ROW * (len(layout.rows) + bool(layout.omitted or not layout.rows))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" font-family="system-ui, sans-serif" font-size="13" fill="{_INK}">'
        f"<title>Upgrade graph</title>"
        f'<rect class="graph-paper" width="{width}" height="{height}" fill="{_PAPER}"/>'
    )
    for rail in layout.rails:
        yield from _rail(rail, columns.rows)
    for number, row in enumerate(layout.rows):
        yield from _row(row, columns, _middle(number), link)
    yield from _footer(layout, columns.rows)
    yield "</svg>\n"


def _middle(row: int) -> int:
    return _MARGIN + _ROW * row + _ROW // 2


def _rail(rail: Rail, left: int) -> Iterator[str]:
    """One path for all edges, then the heads of their arrows."""
    x = left - 12 - _LANE * rail.lane - _LANE // 2
    strokes = []
    top, bottom = _middle(rail.first), _middle(rail.last)
    ends = {row: (_OUT if row in rail.sources else _IN) for row in rail.sources | rail.targets}
    for row, shift in sorted(ends.items()):
        y = _middle(row) + shift
        bend = _BEND if row != rail.last else -_BEND
        strokes.append(f"M{left} {y}H{x + _BEND}Q{x} {y} {x} {y + bend}")
    strokes.append(f"M{x} {top + ends[rail.first] + _BEND}V{bottom + ends[rail.last] - _BEND}")
    yield f'<path class="graph-rail" d="{"".join(strokes)}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>'
    for row in sorted(rail.targets):
        y = _middle(row) + ends[row]
        yield f'<path class="graph-head" d="M{left - 7} {y - 4}L{left + 1} {y}L{left - 7} {y + 4}Z" fill="{_LINE}"/>'


def _row(row: Row, columns: _Columns, y: int, link: Callable[[str], str] | None) -> Iterator[str]:
    place = row.place
    recalled = "recalled" in row.marks
    classes = ["graph-row", *(f"is-{mark.replace(' ', '-')}" for mark in row.marks)]
    yield f'<g class="{" ".join(classes)}"><title>{escape(tables.of_row(row))}</title>'
    yield _shape(row, columns.rows + 8, y, recalled=recalled)
    name = _text(columns.rows + 22, y, _cut(row.label, _NAME_CHARACTERS), "graph-name", weight="600", struck=recalled)
    if link is not None and place is not None:
        name = f"<a href={quoteattr(link(row.label))}>{name}</a>"
    yield name
    if row.endpoints:
        length = max(2, round(_BAR * row.endpoints / columns.most))
        bar = f'x="{columns.bars}" y="{y - 6}" width="{length}" height="12" rx="3"'
        yield f'<rect class="graph-bar" {bar} fill="{_FILL}"/>'
    yield _text(columns.bars + (_BAR + 8 if row.endpoints else 0), y, f"{row.endpoints:,}", "graph-number")
    notes = [*row.marks, *(tables.of_way(way) for way in row.arrivals)]
    if notes:
        note = _cut("; ".join(notes), _NOTE_CHARACTERS)
        yield _text(columns.notes, y, note, "graph-note", fill=_FAINT, size=12)
    yield "</g>"


def _shape(row: Row, x: int, y: int, *, recalled: bool) -> str:
    """A disc where endpoints run it, a ring where none does; broken where it is not defined, crossed when recalled."""
    defined = row.place is not None and row.place.node.software is not None
    fill = _INK if row.endpoints else _PAPER
    dashes = "" if defined else ' stroke-dasharray="2 2"'
    shape = (
        f'<circle class="graph-{"disc" if row.endpoints else "ring"}" cx="{x}" cy="{y}" r="5" fill="{fill}" '
        f'stroke="{_INK}" stroke-width="1.5"{dashes}/>'
    )
    if recalled:
        cross = f"M{x - 7} {y - 7}L{x + 7} {y + 7}M{x + 7} {y - 7}L{x - 7} {y + 7}"
        shape += f'<path class="graph-cross" d="{cross}" stroke="#ce2c31" stroke-width="2"/>'
    return shape


def _footer(layout: Layout, left: int) -> Iterator[str]:
    y = _middle(len(layout.rows))
    if not layout.rows:
        yield _text(left, y, "There is no version yet: define software, or let an endpoint report.", "graph-note")
    elif layout.omitted:
        text = f"Left out: {layout.omitted} edges that nobody is on and that a longer way covers."
        yield _text(left, y, text, "graph-note", fill=_FAINT, size=12)


def _text(
    x: int, y: int, text: str, kind: str, *, weight: str = "", struck: bool = False, fill: str = "", size: int = 13
) -> str:
    extra = f' font-weight="{weight}"' if weight else ""
    extra += ' text-decoration="line-through"' if struck else ""
    extra += f' fill="{fill}"' if fill else ""
    extra += f' font-size="{size}"' if size != 13 else ""  # noqa: PLR2004 - the size of the whole drawing
    return f'<text class="{kind}" x="{x}" y="{y + 4}"{extra}>{escape(text)}</text>'


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
