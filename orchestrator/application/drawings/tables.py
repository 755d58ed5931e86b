"""The upgrade graph as text: a line for each version, rails on the left, numbers and marks on the right.

A rail begins at `●`, the version that edges lead from, and arrives at `▶`.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.drawings import rails
from orchestrator.application.drawings.rails import Crossing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.application.drawings.charts import Chart, Way
    from orchestrator.application.drawings.rails import Layout, Rail, Row

_CORNERS = {(True, True): "├", (True, False): "╰", (False, True): "╭", (False, False): "─"}
"""By whether the rail goes on above and below."""


def draw(chart: Chart) -> str:
    """Return the drawing, with a line break at its end."""
    return "".join(f"{line.rstrip()}\n" for line in _lines(rails.lay_out(chart)))


def _lines(layout: Layout) -> Iterator[str]:
    if not layout.rows:
        yield "There is no version yet: define software, or let an endpoint report."
        return
    names = max(len(row.label) for row in layout.rows)
    numbers = max(len(f"{row.endpoints:,}") for row in layout.rows)
    for number, row in enumerate(layout.rows):
        rail = _rails(layout, number)
        told = [", ".join(row.marks), *(of_way(way) for way in row.arrivals)]
        yield f"{rail}{row.label:<{names}}  {row.endpoints:>{numbers},}  {'; '.join(filter(None, told))}"
    if layout.omitted:
        yield f"Left out: {layout.omitted} edges that nobody is on and that a longer way covers."


def _rails(layout: Layout, number: int) -> str:
    """What stands left of a row: two characters for each lane, and the arrow's head."""
    if not layout.lanes:
        return ""
    crossings = layout.crossings(number)
    joined = [lane for lane, (_, crossing) in crossings.items() if crossing is not Crossing.PASSES]
    outermost = max(joined, default=-1)
    text = ""
    for lane in reversed(range(layout.lanes)):
        text += _lane(crossings.get(lane), number, horizontal=lane < outermost)
        text += "─" if lane <= outermost else " "
    arrives = any(crossing is Crossing.ARRIVES for _, crossing in crossings.values())
    return text + ("▶ " if arrives else "─ " if joined else "  ")


def _lane(crossed: tuple[Rail, Crossing] | None, number: int, *, horizontal: bool) -> str:
    if crossed is None:
        return "─" if horizontal else " "
    rail, crossing = crossed
    match crossing:
        case Crossing.PASSES:
            # Unbroken: a junction with a rail that goes on is a cross.
            return "│"
        case Crossing.LEAVES:
            return "●"
        case Crossing.ARRIVES:
            above, below = rail.first < number, rail.last > number
            if horizontal:
                return {(True, True): "┼", (True, False): "┴", (False, True): "┬"}.get((above, below), "─")
            return _CORNERS[above, below]


def of_row(row: Row) -> str:
    """Everything that is to be said of a row, in words."""
    counted = "1 endpoint" if row.endpoints == 1 else f"{row.endpoints:,} endpoints"
    return "; ".join([f"{row.label}: {counted}", *row.marks, *(of_way(way) for way in row.arrivals)])


def of_way(way: Way) -> str:
    """Who is and was on an edge, in words."""
    return f"from {way.source or 'unknown'}: {way.traffic}"
