"""Where things stand in a drawing: one row for each version, and beside the rows the rails that join them.

A rail stands for all edges of one source, or for all edges to one target, whichever needs fewer lanes: an edge more on
it costs one junction and no line. So fifty versions that may be installed over one another can still be read, and the
direct edges, which are the ones that are taken, stay in the drawing.

Rules:
- The highest version is the first row; endpoints of unknown version are the last.
- Rails in one lane share no row. Short rails run next to the rows.
- When more than `MOST_LANES` lanes were needed, edges that nobody is on and that a longer way covers are left out.

Layer: application; pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from orchestrator.application.drawings.charts import Chart, Place, Way
    from orchestrator.domain.versions import Version

MOST_LANES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """Edges from all of `sources` to all of `targets`, both rows."""

    sources: frozenset[int]
    targets: frozenset[int]
    lane: int = 0
    """From 0, which is next to the rows."""

    @property
    def first(self) -> int:
        """The highest row."""
        return min(self.sources | self.targets)

    @property
    def last(self) -> int:
        """The lowest row."""
        return max(self.sources | self.targets)


class Crossing(Enum):
    """What a rail does at a row."""

    PASSES = "passes"
    LEAVES = "leaves"
    """The row's version is what the edges lead from."""
    ARRIVES = "arrives"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One version, or the unknown one."""

    place: Place | None
    """None: endpoints that have reported nothing."""
    endpoints: int
    arrivals: tuple[Way, ...]
    """The edges to it that somebody is or was on, by ascending source."""

    @property
    def label(self) -> str:
        """Its name."""
        return "(unknown)" if self.place is None else self.place.version.text

    @property
    def marks(self) -> tuple[str, ...]:
        """What is to be known of it, in words."""
        return () if self.place is None else self.place.marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A whole drawing."""

    rows: tuple[Row, ...]
    rails: tuple[Rail, ...]
    lanes: int
    omitted: int
    """How many edges were left out."""

    def crossings(self, row: int) -> dict[int, tuple[Rail, Crossing]]:
        """What stands in each lane at a row."""
        return {rail.lane: (rail, _crossing(rail, row)) for rail in self.rails if rail.first <= row <= rail.last}


def _crossing(rail: Rail, row: int) -> Crossing:
    if row in rail.sources:
        return Crossing.LEAVES
    return Crossing.ARRIVES if row in rail.targets else Crossing.PASSES


def lay_out(chart: Chart) -> Layout:
    """Say where everything stands."""
    rows = _rows(chart)
    numbers: dict[Version | None, int] = {
        None if row.place is None else row.place.version: number for number, row in enumerate(rows)
    }
    edges = [(numbers[way.source], numbers[way.target]) for way in chart.ways]
    rails, lanes = _railed(edges)
    omitted = 0
    if lanes > MOST_LANES:
        covered = _covered(edges)
        kept = [edge for edge, way in zip(edges, chart.ways, strict=True) if way.traffic or edge not in covered]
        omitted = len(edges) - len(kept)
        rails, lanes = _railed(kept)
    return Layout(rows=rows, rails=rails, lanes=lanes, omitted=omitted)


def _rows(chart: Chart) -> tuple[Row, ...]:
    arrivals: defaultdict[Version, list[Way]] = defaultdict(list)
    for way in chart.ways:
        if way.traffic:
            arrivals[way.target].append(way)
    rows = [
        Row(place=place, endpoints=place.endpoints, arrivals=tuple(arrivals[place.version]))
        for place in reversed(chart.places)
    ]
    if chart.unknown or any(way.source is None for way in chart.ways):
        rows.append(Row(place=None, endpoints=chart.unknown, arrivals=()))
    return tuple(rows)


def _railed(edges: Sequence[tuple[int, int]]) -> tuple[tuple[Rail, ...], int]:
    """Rails for the edges, and how many lanes they need."""
    by_source = _grouped(edges, lambda edge: edge[0], lambda edge: edge[1])
    by_target = _grouped(edges, lambda edge: edge[1], lambda edge: edge[0])
    from_sources = _lanes(Rail(sources=frozenset({one}), targets=frozenset(many)) for one, many in by_source.items())
    to_targets = _lanes(Rail(sources=frozenset(many), targets=frozenset({one})) for one, many in by_target.items())
    return min(from_sources, to_targets, key=lambda found: (found[1], len(found[0])))


def _grouped(
    edges: Iterable[tuple[int, int]],
    key: Callable[[tuple[int, int]], int],
    value: Callable[[tuple[int, int]], int],
) -> dict[int, set[int]]:
    groups: defaultdict[int, set[int]] = defaultdict(set)
    for edge in edges:
        groups[key(edge)].add(value(edge))
    return groups


def _lanes(rails: Iterable[Rail]) -> tuple[tuple[Rail, ...], int]:
    """Give each rail the lane next to the rows that is free all along it."""
    taken: list[set[int]] = []
    placed: list[Rail] = []
    for rail in sorted(rails, key=lambda item: (item.last - item.first, item.first)):
        span = set(range(rail.first, rail.last + 1))
        lane = next((number for number, rows in enumerate(taken) if not rows & span), len(taken))
        if lane == len(taken):
            taken.append(set())
        taken[lane] |= span
        placed.append(Rail(sources=rail.sources, targets=rail.targets, lane=lane))
    return tuple(placed), len(taken)


def _covered(edges: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Edges whose ends are joined by a longer way in the same direction too."""
    upward = _shortcuts(edge for edge in edges if edge[1] < edge[0])
    downward = _shortcuts((target, source) for source, target in edges if source < target)
    return upward | {(target, source) for source, target in downward}


def _shortcuts(edges: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of edges, each to a lower number, whose ends are joined by several others too."""
    targets = _grouped(edges, lambda edge: edge[0], lambda edge: edge[1])
    reached: dict[int, int] = {}
    found: set[tuple[int, int]] = set()
    # In this order, what a target reaches is known before its sources are looked at.
    for source in sorted(targets):
        onward = 0
        for target in targets[source]:
            onward |= reached.get(target, 0)
        found |= {(source, target) for target in targets[source] if onward >> target & 1}
        reached[source] = onward | sum(1 << target for target in targets[source])
    return found
