"""Journeys of kinds of endpoints, and what they add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.plans import Edge, Kind, Planner, endpoint_of, travel
from tests.unit.orchestrator.domain.builders import DAY, HOUR, NOW, catalogue, general, recalled, targeted, use, v

if TYPE_CHECKING:
    from orchestrator.domain.catalogues import Catalogue

UPWARDS = (general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))


def planned(kinds: dict[Kind, int], of: Catalogue, target: str) -> Planner:
    planner = Planner(of, v(target), NOW)
    for kind, amount in kinds.items():
        planner.add(kind, amount)
    return planner


def edge(source: str | None, target: str) -> Edge:
    return Edge(None if source is None else v(source), v(target))


def test_every_hop_of_every_endpoint_is_counted() -> None:
    planner = planned({Kind(running=v("1.0.0")): 3, Kind(running=v("1.1.0")): 2}, catalogue(*UPWARDS), "2.0.0")
    assert planner.forecast.moves == {edge("1.0.0", "1.1.0"): 3, edge("1.1.0", "2.0.0"): 5}
    assert planner.forecast.resting == {v("2.0.0"): 5}
    assert planner.forecast.unreachable == {}


def test_an_endpoint_that_goes_past_the_target_has_reached_it() -> None:
    past = catalogue(general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.0.0"))
    planner = planned({Kind(running=v("1.0.0")): 1}, past, "1.1.0")
    assert planner.forecast.moves == {edge("1.0.0", "2.0.0"): 1}
    assert planner.forecast.unreachable == {}


def test_a_date_is_waited_for_in_no_time_and_told() -> None:
    later = catalogue(general("1.0.0"), general("2.0.0", "1.0.0", rollout_date=NOW + DAY))
    planner = planned({Kind(running=v("1.0.0")): 4}, later, "2.0.0")
    assert planner.forecast.moves == {edge("1.0.0", "2.0.0"): 4}
    assert planner.forecast.waits == {(v("2.0.0"), NOW + DAY): 4}


def test_an_open_hop_is_taken_before_one_that_opens_later() -> None:
    forked = catalogue(
        general("1.0.0"),
        general("1.1.0", "1.0.0"),
        general("2.0.0", "1.0.0", "1.1.0", rollout_date=NOW + HOUR),
    )
    journey = travel(endpoint_of(Kind(running=v("1.0.0")), NOW), forked, NOW)
    assert journey.hops == (edge("1.0.0", "1.1.0"), edge("1.1.0", "2.0.0"))
    assert journey.waits == ((v("2.0.0"), NOW + HOUR),)


def test_a_back_off_closes_a_hop_only_for_now() -> None:
    kind = Kind(running=v("1.0.0"), backing_off=frozenset({v("1.1.0")}))
    planner = planned({kind: 1}, catalogue(*UPWARDS), "2.0.0")
    assert planner.forecast.moves.total() == 2
    assert planner.forecast.waits == {}


def test_who_backs_off_from_one_hop_takes_another_that_is_open() -> None:
    forked = catalogue(general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.0.0", "1.1.0"))
    kind = Kind(running=v("1.0.0"), backing_off=frozenset({v("2.0.0")}))
    journey = travel(endpoint_of(kind, NOW), forked, NOW)
    assert journey.hops == (edge("1.0.0", "1.1.0"), edge("1.1.0", "2.0.0"))


def test_whose_token_is_suspended_goes_nowhere_whatever_it_has_begun() -> None:
    kind = Kind(running=v("1.0.0"), installing=v("1.1.0"), origin=v("1.0.0"), token_state=TokenState.SUSPENDED)
    planner = planned({kind: 2}, catalogue(*UPWARDS), "2.0.0")
    assert planner.forecast.moves == {}
    assert planner.forecast.unreachable == {"the token is suspended or revoked": 2}


def test_a_started_install_goes_on_first() -> None:
    forked = catalogue(general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.0.0", "1.1.0"))
    kind = Kind(running=v("1.0.0"), installing=v("1.1.0"), origin=v("1.0.0"))
    journey = travel(endpoint_of(kind, NOW), forked, NOW)
    assert journey.hops == (edge("1.0.0", "1.1.0"), edge("1.1.0", "2.0.0"))


def test_a_started_install_of_recalled_software_does_not() -> None:
    kind = Kind(running=v("1.0.0"), installing=v("1.1.0"), origin=v("1.0.0"))
    journey = travel(endpoint_of(kind, NOW), catalogue(general("1.0.0"), recalled("1.1.0", "1.0.0")), NOW)
    assert journey.hops == ()


def test_a_rescue_leads_down_and_counts_as_reached_only_at_the_target() -> None:
    back = catalogue(general("1.0.0", "2.0.0"), recalled("2.0.0", "1.0.0"))
    planner = planned({Kind(running=v("2.0.0")): 2}, back, "1.0.0")
    assert planner.forecast.moves == {edge("2.0.0", "1.0.0"): 2}
    assert planner.forecast.unreachable == {}


def test_what_cannot_matter_does_not_tell_kinds_apart() -> None:
    planner = Planner(catalogue(*UPWARDS), v("2.0.0"), NOW)
    for kind in (
        Kind(running=v("1.0.0"), filters=frozenset({"lab"})),
        Kind(running=v("1.0.0"), exhausted=frozenset({v("9.0.0")})),
        Kind(running=v("1.0.0"), backing_off=frozenset({v("9.0.0")})),
    ):
        planner.add(kind, 1)
    assert len(planner._journeys) == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Kind(running=None), "no version reported"),
        (Kind(running=v("0.5.0")), "no edge leads on from 0.5.0"),
        (Kind(running=v("1.0.0"), token_state=TokenState.SUSPENDED), "the token is suspended or revoked"),
        (Kind(running=v("1.0.0"), pinned=v("1.0.0")), "pinned to 1.0.0"),
        (
            Kind(running=v("1.0.0"), exhausted=frozenset({v("2.0.0")})),
            "2.0.0 is exhausted there: 3 attempts failed",
        ),
        (
            Kind(running=v("1.0.0"), exhausted=frozenset({v("1.1.0")})),
            "edges pass through 1.1.0, which is exhausted there: 3 attempts failed",
        ),
    ],
)
def test_who_does_not_come_to_the_target_is_counted_by_reason(kind: Kind, reason: str) -> None:
    assert planned({kind: 7}, catalogue(*UPWARDS), "2.0.0").forecast.unreachable == {reason: 7}


def test_who_runs_something_higher_is_not_missed() -> None:
    planner = planned({Kind(running=v("3.0.0")): 7}, catalogue(*UPWARDS), "2.0.0")
    assert planner.forecast.unreachable == {}


def test_matches_are_counted_for_filters_that_are_listed() -> None:
    canary = catalogue(general("1.0.0"), targeted("2.0.0", "1.0.0", filters=[use("lab")]))
    kinds = {Kind(running=v("1.0.0"), filters=frozenset({"lab", "other"})): 2, Kind(running=v("1.0.0")): 3}
    planner = planned(kinds, canary, "2.0.0")
    assert planner.forecast.matches == {"lab": 2}
    assert planner.forecast.moves == {edge("1.0.0", "2.0.0"): 2}
    assert planner.forecast.unreachable == {"2.0.0 is targeted, and no filter that it lists matches: lab": 3}
