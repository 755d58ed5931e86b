"""Charts for tests of drawings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.drawings.charts import Chart, Place, Way
from orchestrator.domain import graphs
from tests.unit.orchestrator.domain.builders import NOW, catalogue, general, recalled, suspended, v

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.software import Software


def chart(
    software: Sequence[Software],
    run: Mapping[str, int],
    traffic: Mapping[tuple[str | None, str], tuple[int, int]] | None = None,
    unknown: int = 0,
) -> Chart:
    """The chart of software that endpoints run; `traffic` holds offered and failed by edge."""
    graph = graphs.of(catalogue(*software), [*map(v, run), *([None] if unknown else [])], NOW)
    numbers = traffic or {}
    ways = []
    for edge in graph.edges:
        offered, failed = numbers.get((edge.source.text if edge.source else None, edge.target.text), (0, 0))
        ways.append(Way(source=edge.source, target=edge.target, offered=offered, failed=failed))
    places = tuple(Place(node=node, endpoints=run.get(node.version.text, 0)) for node in graph.nodes)
    return Chart(places=places, ways=tuple(ways), unknown=unknown)


KETTLES = chart(
    [
        general("1.0.0"),
        general("1.1.0", "1.0.0"),
        recalled("1.2.0", "1.1.0"),
        general("2.0.0", "^1.1.0"),
        suspended("3.0.0", "2.0.0", "*"),
    ],
    {"0.9.0": 12, "1.0.0": 80, "1.1.0": 100, "1.2.0": 3, "2.0.0": 2405},
    {("1.0.0", "1.1.0"): (3, 1), ("1.1.0", "2.0.0"): (40, 0), ("1.2.0", "2.0.0"): (1, 0)},
    unknown=4,
)
"""Something of everything."""

EMPTY = chart([], {})

EACH_OVER_EACH = chart(
    [general(f"{number // 10}.{number % 10}.0", f"<{number // 10}.{number % 10}.0") for number in range(50)],
    {"0.0.0": 3, "4.9.0": 100_000},
    {("0.0.0", "4.9.0"): (2, 1)},
)
"""Fifty versions, each of which may be installed over every older one: 1,225 edges."""
