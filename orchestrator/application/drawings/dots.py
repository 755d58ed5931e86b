"""The upgrade graph for Graphviz.

Spec: the DOT language of Graphviz, quoted identifiers.
Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.application.drawings.charts import Chart, Place, Way

_UNKNOWN = "(unknown)"


def draw(chart: Chart) -> str:
    """Return the drawing; higher versions stand above."""
    return "".join(f"{line}\n" for line in _lines(chart))


def _lines(chart: Chart) -> Iterator[str]:
    yield "digraph upgrades {"
    yield '  rankdir="BT"; node [shape="box", fontname="sans-serif"]; edge [fontname="sans-serif", fontsize="10"];'
    if chart.unknown or any(way.source is None for way in chart.ways):
        yield f"  {_quoted(_UNKNOWN)} [label={_quoted(_UNKNOWN, str(chart.unknown))}, style={_quoted('dotted')}];"
    for place in chart.places:
        yield f"  {_quoted(place.version.text)} [{_attributes(place)}];"
    for way in chart.ways:
        source = _UNKNOWN if way.source is None else way.source.text
        yield f"  {_quoted(source)} -> {_quoted(way.target.text)}{_traffic(way)};"
    yield "}"


def _attributes(place: Place) -> str:
    lines = (place.version.text, f"{place.endpoints:,}", *place.marks)
    software = place.node.software
    styles = [
        word
        for word, holds in (
            ("dotted", software is None),
            ("dashed", not place.node.reachable and software is not None),
            ("diagonals", software is not None and software.recalled),
            ("bold", place.endpoints > 0),
        )
        if holds
    ]
    return f"label={_quoted(*lines)}" + (f", style={_quoted(','.join(styles))}" if styles else "")


def _traffic(way: Way) -> str:
    if not way.traffic:
        return ""
    return f" [label={_quoted(way.traffic)}]" if not way.failed else f' [label={_quoted(way.traffic)}, style="dashed"]'


def _quoted(*lines: str) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
