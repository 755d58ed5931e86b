"""What a plan warns of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain import cautions
from orchestrator.domain.kinds import Kind
from orchestrator.domain.plans import Planner
from orchestrator.domain.policies import RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout
from tests.unit.orchestrator.domain.builders import (
    DAY,
    HOUR,
    NOW,
    catalogue,
    general,
    recalled,
    suspended,
    targeted,
    use,
    v,
)

if TYPE_CHECKING:
    from orchestrator.domain.software import Software

ORIGIN = suspended("1.0.0")
FLEET = {Kind(running=v("1.0.0")): 10}


def warned(*software: Software, kinds: dict[Kind, int] | None = None) -> list[str]:
    """Warnings about the last of the software, and about a fleet."""
    planner = Planner(catalogue(*software), software[-1].version, NOW, about=[software[-1].version])
    for kind, amount in (FLEET if kinds is None else kinds).items():
        planner.add(kind, amount)
    return cautions.of(planner, [software[-1].version], NOW)


@pytest.mark.parametrize(
    ("software", "warning"),
    [
        (suspended("2.0.0", "1.0.0"), "2.0.0 is suspended: it is offered to nobody"),
        (recalled("2.0.0", "1.0.0"), "2.0.0 is recalled, which is final: it is offered to nobody"),
        (general("2.0.0", "1.0.0", given=False), "2.0.0 has no specification: it is offered to nobody"),
        (targeted("2.0.0", "1.0.0"), "2.0.0 is targeted and lists no filter: it is offered to nobody"),
        (general("2.0.0"), "2.0.0 is never reached: it has no upgradableFrom"),
        (
            general("2.0.0", "1.5.0"),
            "2.0.0 is never reached: nothing that is run, nor anything servable from there, leads to it",
        ),
        (targeted("2.0.0", "1.0.0", filters=[use("lab")]), "the filter lab matches no endpoint"),
        (
            general("2.0.0", "1.0.0", rollout_date=NOW - DAY),
            "2.0.0: its rollout of 2026-02-28T12:00:00Z has begun already: it is offered at once",
        ),
        (
            general("2.0.0", "1.0.0", rollout_date=NOW + DAY),
            "2.0.0: its rollout of 2026-03-02T12:00:00Z begins in the future",
        ),
        (
            general("2.0.0", "1.0.0", rollout_date=NOW + DAY),
            "10 endpoints would wait for 2.0.0 until 2026-03-02T12:00:00Z",
        ),
        (
            targeted("2.0.0", "1.0.0", filters=[use("lab", NOW + DAY)]),
            "2.0.0: its filter lab of 2026-03-02T12:00:00Z begins in the future",
        ),
    ],
)
def test_what_is_odd_about_a_candidate_is_said(software: Software, warning: str) -> None:
    assert warning in warned(ORIGIN, software)


def test_a_sound_candidate_is_not_warned_of() -> None:
    assert warned(ORIGIN, general("2.0.0", "1.0.0")) == []


def test_what_a_fleet_was_built_with_is_not_warned_of() -> None:
    assert warned(ORIGIN) == []
    assert warned(general("1.0.0")) == []


def test_only_candidates_are_warned_of() -> None:
    assert warned(ORIGIN, suspended("1.5.0", "1.0.0"), general("2.0.0", "1.0.0")) == []


def test_endpoints_at_a_dead_end_are_counted() -> None:
    software = (ORIGIN, general("1.3.0", "1.0.0"), general("2.0.0", "1.5.0"))
    found = warned(*software, kinds={Kind(running=v("1.3.0")): 1})
    assert "1.3.0 is a dead end for 1 endpoint: nothing servable leads on from it to a higher version" in found


def test_many_dead_ends_are_not_all_named() -> None:
    kinds = {Kind(running=v(f"0.{minor}.0")): 1 for minor in range(8)}
    found = warned(general("1.0.0"), kinds=kinds)
    assert len([text for text in found if "is a dead end" in text]) == 5
    assert "3 more versions are dead ends" in found


def test_a_candidate_below_most_of_the_fleet_is_warned_of() -> None:
    kinds = {Kind(running=v("2.0.0")): 6, Kind(running=v("1.0.0")): 4}
    assert "6 of 10 endpoints run something higher than 1.1.0" in warned(ORIGIN, general("1.1.0", "1.0.0"), kinds=kinds)
    fewer = {Kind(running=v("2.0.0")): 5, Kind(running=v("1.0.0")): 5}
    assert warned(ORIGIN, general("1.1.0", "1.0.0"), kinds=fewer) == []


def test_filters_are_not_missed_where_there_are_no_endpoints() -> None:
    assert warned(ORIGIN, targeted("2.0.0", "1.0.0", filters=[use("lab")]), kinds={}) == []


def test_filters_of_stages_are_looked_at_too() -> None:
    staged = replace(
        general("2.0.0", "1.0.0"), policy=RolloutPolicy(stages=(Stage(filter_id="lab"), Stage(percent=100)))
    )
    kinds = {Kind(running=v("1.0.0"), filters=frozenset({"lab"})): 1}
    assert "the filter lab matches no endpoint" in warned(ORIGIN, staged)
    assert "the filter lab matches no endpoint" not in warned(ORIGIN, staged, kinds=kinds)


def test_a_filter_that_general_software_lists_is_not_looked_at() -> None:
    listing = replace(general("2.0.0", "1.0.0"), filters=(use("lab"),))
    assert warned(ORIGIN, listing) == []


def test_an_aborted_rollout_is_said_to_be_final() -> None:
    aborted = replace(general("2.0.0", "1.0.0"), rollout=Rollout(phase=Phase.ABORTED))
    assert "2.0.0 is aborted, which is final: it is offered to nobody" in warned(ORIGIN, aborted)


def test_a_pause_on_the_way_is_said_and_no_other() -> None:
    paused = Rollout(phase=Phase.PAUSED)
    on_the_way = replace(general("1.5.0", "1.0.0"), rollout=paused)
    elsewhere = replace(general("0.5.0", "0.1.0"), rollout=paused)
    assert warned(ORIGIN, elsewhere, on_the_way, general("2.0.0", "1.5.0")) == [
        "1.5.0: its rollout is paused: nobody is offered it until it is resumed"
    ]


def test_hindrances_of_a_candidate_are_said() -> None:
    ended = replace(general("2.0.0", "1.0.0"), policy=RolloutPolicy(end=NOW))
    assert "2.0.0: its rollout has ended at 2026-03-01T12:00:00Z: it is offered to nobody" in warned(ORIGIN, ended)
    assert not [text for text in warned(ORIGIN, ended) if "never reached" in text]


def test_many_instants_are_not_all_named() -> None:
    own = Window(cron="0 18 * * *", duration=HOUR, time_zone=None)
    zones = ("Europe/Berlin", "Europe/London", "Europe/Kyiv", "America/New_York", "America/Denver", "Asia/Tokyo")
    kinds = {Kind(running=v("1.0.0"), zone=zone): 2 for zone in zones}
    windowed = replace(general("2.0.0", "1.0.0"), policy=RolloutPolicy(window=own))
    assert warned(ORIGIN, windowed, kinds=kinds) == [
        "12 endpoints would wait for 2.0.0, the first until 2026-03-01T16:00:00Z, the last until 2026-03-02T09:00:00Z"
    ]


def test_stages_that_are_too_many_are_said_not_to_be_counted() -> None:
    policy = RolloutPolicy(stages=tuple(Stage(count=number) for number in range(1, 801)))
    software = [replace(general(f"{major}.0.0", "1.0.0"), policy=policy) for major in (2, 3, 4)]
    versions = [item.version for item in software]
    planner = Planner(catalogue(ORIGIN, *software), versions[-1], NOW, about=versions)
    found = cautions.of(planner, versions, NOW)
    assert "the stages of 2 lower versions are not counted: they are more than 1000" in found
