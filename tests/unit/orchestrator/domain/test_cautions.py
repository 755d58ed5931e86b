"""What a plan warns of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.domain import cautions
from orchestrator.domain.plans import Kind, Planner
from tests.unit.orchestrator.domain.builders import (
    DAY,
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
    planner = Planner(catalogue(*software), software[-1].version, NOW)
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
