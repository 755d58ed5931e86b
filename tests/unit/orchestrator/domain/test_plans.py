"""Journeys of kinds of endpoints, and what they add up to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.journeys import Edge
from orchestrator.domain.kinds import Kind
from orchestrator.domain.plans import Planner
from orchestrator.domain.policies import RolloutPolicy, Stage
from tests.unit.orchestrator.domain.builders import DAY, NOW, catalogue, general, recalled, targeted, use, v

if TYPE_CHECKING:
    from orchestrator.domain.software import Software

TWO = frozenset({v("2.0.0")})
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


def test_a_back_off_closes_a_hop_only_for_now() -> None:
    kind = Kind(running=v("1.0.0"), backing_off=frozenset({v("1.1.0")}))
    planner = planned({kind: 1}, catalogue(*UPWARDS), "2.0.0")
    assert planner.forecast.moves.total() == 2
    assert planner.forecast.waits == {}


def test_whose_token_is_suspended_goes_nowhere_whatever_it_has_begun() -> None:
    kind = Kind(running=v("1.0.0"), installing=v("1.1.0"), origin=v("1.0.0"), token_state=TokenState.SUSPENDED)
    planner = planned({kind: 2}, catalogue(*UPWARDS), "2.0.0")
    assert planner.forecast.moves == {}
    assert planner.forecast.unreachable == {"the token is suspended, revoked or retired": 2}


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
    assert len(planner._traveller._known) == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Kind(running=None), "no version reported"),
        (Kind(running=v("0.5.0")), "no edge leads on from 0.5.0"),
        (Kind(running=v("1.0.0"), token_state=TokenState.SUSPENDED), "the token is suspended, revoked or retired"),
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


def staged(software: Software, *stages: Stage) -> Software:
    return replace(software, policy=RolloutPolicy(stages=stages))


HALVES = catalogue(general("1.0.0"), staged(general("2.0.0", "1.0.0"), Stage(percent=10), Stage(percent=50)))


def test_each_stage_holds_who_comes_and_the_last_number_is_who_is_left_out() -> None:
    planner = Planner(HALVES, v("2.0.0"), NOW, about=[v("2.0.0")])
    planner.add(Kind(running=v("1.0.0")), 10, [(10, 0)])
    planner.add(Kind(running=v("1.0.0"), later=TWO), 40, [(0, 40)])
    planner.add(Kind(running=v("1.0.0"), never=TWO), 50, [(0, 0)])
    planner.add(Kind(running=v("2.0.0"), never=TWO), 7, [(0, 0)])
    planner.add(Kind(running=None), 3, [(3, 0)])
    assert planner.forecast.stages == {v("2.0.0"): [10, 40, 50]}
    assert planner.forecast.moves == {edge("1.0.0", "2.0.0"): 50}
    assert planner.forecast.first == {edge("1.0.0", "2.0.0"): 10}
    assert planner.forecast.unreachable == {"2.0.0 has no stage that admits it": 50, "no version reported": 3}


def test_pinned_and_rescued_endpoints_are_in_no_stage() -> None:
    two = staged(general("2.0.0", "1.0.0", "1.5.0"), Stage(percent=10), Stage(percent=100))
    planner = Planner(catalogue(general("1.0.0"), recalled("1.5.0"), two), v("2.0.0"), NOW, about=[v("2.0.0")])
    planner.add(Kind(running=v("1.0.0"), pinned=v("2.0.0"), later=TWO), 2, [(0, 2)])
    planner.add(Kind(running=v("1.5.0"), later=TWO), 3, [(0, 3)])
    assert planner.forecast.stages == {v("2.0.0"): [0, 0, 0]}
    assert planner.forecast.first == {edge("1.0.0", "2.0.0"): 2, edge("1.5.0", "2.0.0"): 3}


def test_a_stage_holds_who_takes_the_version_when_the_others_are_as_they_are() -> None:
    one = staged(general("1.1.0", "1.0.0"), Stage(percent=10), Stage(percent=100))
    two = staged(general("2.0.0", "1.0.0", "1.1.0"), Stage(percent=10), Stage(percent=100))
    planner = Planner(catalogue(general("1.0.0"), one, two), v("2.0.0"), NOW, about=[v("1.1.0"), v("2.0.0")])
    both = frozenset({v("1.1.0"), v("2.0.0")})
    planner.add(Kind(running=v("1.0.0"), later=both), 4, [(0, 4), (0, 4)])
    # Neither is open yet: once its stage admits them they come to 1.1.0, and from there to 2.0.0.
    assert planner.forecast.stages == {v("1.1.0"): [0, 4, 0], v("2.0.0"): [0, 4, 0]}
    assert planner.forecast.moves == {edge("1.0.0", "2.0.0"): 4}


def test_software_that_nobody_asks_about_is_not_counted() -> None:
    planner = Planner(HALVES, v("2.0.0"), NOW)
    planner.add(Kind(running=v("1.0.0")), 10)
    assert planner.forecast.stages == {}
    assert [staging.version for staging in planner.stagings] == [v("2.0.0")]


def test_who_is_asked_for_consent_is_not_offered_anything() -> None:
    asking = Catalogue.of(UPWARDS, consent=True)
    planner = planned(
        {
            Kind(running=v("1.0.0")): 5,
            Kind(running=v("1.0.0"), consented=frozenset({v("1.1.0")})): 2,
            Kind(running=v("1.0.0"), refused=frozenset({v("1.1.0")})): 3,
            Kind(running=v("1.0.0"), asked=v("1.1.0")): 4,
        },
        asking,
        "2.0.0",
    )
    assert planner.forecast.asks == {v("1.1.0"): 5}
    assert planner.forecast.first == {edge("1.0.0", "1.1.0"): 2}
    assert planner.forecast.moves == {edge("1.0.0", "1.1.0"): 14, edge("1.1.0", "2.0.0"): 14}
