"""Routes: reachability, the choice of a hop, the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain import rules
from orchestrator.domain.bitsets import members, span
from orchestrator.domain.routes import Routes, forward_from, reachable, reaching
from tests.unit.orchestrator.domain.builders import NOW, at, catalogue, general, v

if TYPE_CHECKING:
    from orchestrator.domain.catalogues import Catalogue

DIAMOND = catalogue(
    general("1.0.0"),
    general("1.1.0", "1.0.0"),
    general("1.2.0", "1.0.0"),
    general("1.3.0", "1.2.0"),
    general("2.0.0", "1.1.0", "1.3.0"),
    general("3.0.0"),
)


def names(made: Catalogue, numbers: int) -> list[str]:
    return [item.version.text for item in made.among(numbers)]


def routes(made: Catalogue, running: str | None, goal: str) -> Routes:
    place = at(running)
    return Routes.of(made, rules.start(place, made), made.index[v(goal)], rules.eligible(place, made, NOW))


def path(found: Routes, hop: str) -> list[str]:
    made = found.catalogue
    return [made.software[number].version.text for number in found.path(made.index[v(hop)])]


def test_reachable_follows_edges_through_what_is_allowed() -> None:
    everything = span(0, 6)
    first = DIAMOND.successors(v("1.0.0"))
    assert names(DIAMOND, reachable(DIAMOND, first, everything)) == ["1.1.0", "1.2.0", "1.3.0", "2.0.0"]
    without = everything & ~(1 << DIAMOND.index[v("1.2.0")])
    assert names(DIAMOND, reachable(DIAMOND, first, without)) == ["1.1.0", "2.0.0"]
    assert reachable(DIAMOND, 0, everything) == 0


def test_reaching_is_reachable_the_other_way_round() -> None:
    goal = 1 << DIAMOND.index[v("2.0.0")]
    assert names(DIAMOND, reaching(DIAMOND, goal, span(0, 6))) == ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "2.0.0"]
    assert names(DIAMOND, reaching(DIAMOND, goal, goal)) == ["2.0.0"]


def test_the_fewest_hops_left_win_and_a_closed_hop_is_passed_over() -> None:
    found = routes(DIAMOND, "1.0.0", "2.0.0")
    assert names(DIAMOND, found.hops) == ["1.1.0", "1.2.0"]
    assert found.choose(found.hops) == DIAMOND.index[v("1.1.0")]
    assert found.choose(1 << DIAMOND.index[v("1.2.0")]) == DIAMOND.index[v("1.2.0")]
    assert found.choose(1 << DIAMOND.index[v("3.0.0")]) is None
    assert path(found, "1.1.0") == ["1.1.0", "2.0.0"]
    assert path(found, "1.2.0") == ["1.2.0", "1.3.0", "2.0.0"]


def test_ties_go_to_the_higher() -> None:
    made = catalogue(general("1.1.0", "1.0.0"), general("1.2.0", "1.0.0"), general("2.0.0", "1.1.0", "1.2.0"))
    found = routes(made, "1.0.0", "2.0.0")
    assert found.choose(found.hops) == made.index[v("1.2.0")]


def test_a_way_down_is_a_route_only_where_no_way_up_is() -> None:
    made = catalogue(general("1.0.0", "1.5.0"), general("1.8.0", "1.5.0"), general("2.0.0", "1.0.0", "1.8.0"))
    assert names(made, routes(made, "1.5.0", "2.0.0").hops) == ["1.8.0"]
    only_down = catalogue(general("1.0.0", "1.5.0"), general("2.0.0", "1.0.0"))
    found = routes(only_down, "1.5.0", "2.0.0")
    assert names(only_down, found.hops) == ["1.0.0"]
    assert path(found, "1.0.0") == ["1.0.0", "2.0.0"]


def test_two_versions_that_lead_to_each_other_are_no_cycle() -> None:
    # 1.1.0 and 1.0.0 lead to each other; both lead to 2.0.0.
    made = catalogue(general("1.0.0", "1.1.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.0.0", "1.1.0"))
    assert names(made, routes(made, "1.0.0", "2.0.0").hops) == ["1.1.0", "2.0.0"]
    assert names(made, routes(made, "1.1.0", "2.0.0").hops) == ["2.0.0"]


def test_the_way_down_to_a_goal_is_forward() -> None:
    made = catalogue(general("1.0.0", "3.0.0", "2.0.0"), general("2.0.0", "3.0.0"), general("3.0.0"))
    found = routes(made, "3.0.0", "1.0.0")
    assert names(made, found.hops) == ["1.0.0", "2.0.0"]
    assert path(found, "2.0.0") == ["2.0.0", "1.0.0"]


def test_from_an_unknown_version_every_way_is_a_route() -> None:
    made = catalogue(general("1.0.0", "*"), general("2.0.0", "1.0.0", "3.0.0"), general("3.0.0", "*"))
    found = routes(made, None, "2.0.0")
    assert names(made, found.hops) == ["1.0.0", "3.0.0"]


def test_forward_comes_nearer_without_passing_the_goal() -> None:
    assert list(members(forward_from(1, 4, defined=True))) == [2, 3, 4]
    assert list(members(forward_from(1, 4, defined=False))) == [1, 2, 3, 4]
    assert list(members(forward_from(6, 4, defined=True))) == [4, 5]
    assert list(members(forward_from(5, 4, defined=False))) == [4]
