"""Where things stand: rows, rails and lanes, and what is left out of dense graphs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.application.drawings import rails
from orchestrator.application.drawings.rails import MOST_LANES, Crossing, Layout
from tests.unit.orchestrator.application.drawings.charts import EACH_OVER_EACH, EMPTY, KETTLES, chart
from tests.unit.orchestrator.domain.builders import general

if TYPE_CHECKING:
    from orchestrator.application.drawings.charts import Chart


def drawn(layout: Layout) -> set[tuple[str, str]]:
    """The edges that the rails stand for."""
    names = [row.label for row in layout.rows]
    return {
        (names[source], names[target]) for rail in layout.rails for source in rail.sources for target in rail.targets
    }


def edges(given: Chart) -> set[tuple[str, str]]:
    return {("(unknown)" if way.source is None else way.source.text, way.target.text) for way in given.ways}


def reached(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs that are joined by ways of edges."""
    closed = set(found)
    while True:
        more = {(a, d) for a, b in closed for c, d in closed if b == c} - closed
        if not more:
            return closed
        closed |= more


def test_the_highest_version_is_the_first_row_and_the_unknown_the_last() -> None:
    labels = [row.label for row in rails.lay_out(KETTLES).rows]
    assert labels == ["3.0.0", "2.0.0", "1.2.0", "1.1.0", "1.0.0", "0.9.0", "(unknown)"]


def test_the_unknown_has_a_row_only_where_it_matters() -> None:
    assert [row.label for row in rails.lay_out(chart([general("1.0.0", "*")], {})).rows] == ["1.0.0"]
    assert rails.lay_out(chart([general("1.0.0")], {}, unknown=2)).rows[-1].endpoints == 2


def test_the_rails_stand_for_exactly_the_edges() -> None:
    layout = rails.lay_out(KETTLES)
    assert drawn(layout) == edges(KETTLES)
    assert layout.omitted == 0


def test_many_edges_of_one_source_are_one_rail() -> None:
    layout = rails.lay_out(chart([general("1.0.0"), *(general(f"1.{i}.0", "1.0.0") for i in range(1, 20))], {}))
    assert (len(layout.rails), layout.lanes) == (1, 1)
    assert layout.rails[0].sources == {19}
    assert layout.rails[0].targets == set(range(19))


def test_many_edges_to_one_target_are_one_rail() -> None:
    layout = rails.lay_out(chart([*(general(f"1.{i}.0") for i in range(20)), general("2.0.0", "^1.0.0")], {}))
    assert (len(layout.rails), layout.lanes) == (1, 1)
    assert layout.rails[0].targets == {0}


def test_a_chain_of_fifty_needs_two_lanes() -> None:
    chain = [general("1.0.0"), *(general(f"1.{i + 1}.0", f"1.{i}.0") for i in range(49))]
    assert rails.lay_out(chart(chain, {})).lanes == 2


def test_a_dense_graph_loses_only_edges_that_nobody_is_on_and_that_longer_ways_cover() -> None:
    layout = rails.lay_out(EACH_OVER_EACH)
    found = drawn(layout)
    assert layout.lanes <= MOST_LANES
    assert ("0.0.0", "4.9.0") in found
    assert layout.omitted == len(edges(EACH_OVER_EACH)) - len(found) > 1000
    assert reached(found) == edges(EACH_OVER_EACH)


def test_downward_edges_that_longer_ways_cover_are_left_out_too() -> None:
    dense = chart([general(f"1.{number}.0", "^1.0.0") for number in range(12)], {})
    layout = rails.lay_out(dense)
    assert layout.lanes <= MOST_LANES
    names = [f"1.{number}.0" for number in range(12)]
    assert drawn(layout) == {*pairwise(names), *pairwise(reversed(names))}


def test_an_empty_chart_has_nothing_to_lay_out() -> None:
    assert rails.lay_out(EMPTY) == Layout(rows=(), rails=(), lanes=0, omitted=0)


def test_a_row_tells_what_stands_in_each_lane() -> None:
    layout = rails.lay_out(chart([general("1.0.0"), general("1.1.0"), general("1.2.0", "1.0.0")], {}))
    assert [layout.crossings(row)[0][1] for row in range(3)] == [Crossing.ARRIVES, Crossing.PASSES, Crossing.LEAVES]


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=60))
def test_rails_in_one_lane_share_no_row_and_no_way_is_lost(pairs: list[tuple[int, int]]) -> None:
    sources: dict[int, list[str]] = {number: [] for number in range(15)}
    for source, target in pairs:
        if source != target:
            sources[target].append(f"1.{source}.0")
    given_chart = chart([general(f"1.{number}.0", *sources[number]) for number in range(15)], {})
    layout = rails.lay_out(given_chart)
    spans = [(rail.lane, row) for rail in layout.rails for row in range(rail.first, rail.last + 1)]
    assert len(spans) == len(set(spans))
    assert {rail.lane for rail in layout.rails} == set(range(layout.lanes))
    assert drawn(layout) <= edges(given_chart)
    assert reached(drawn(layout)) == reached(edges(given_chart))
