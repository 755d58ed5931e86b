"""Clauses that say why a version is not reached."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain import obstacles
from orchestrator.domain.policies import RolloutPolicy
from orchestrator.domain.rollouts import Phase, Rollout
from tests.unit.orchestrator.domain.builders import NOW, at, catalogue, general, recalled, suspended, targeted, use, v

if TYPE_CHECKING:
    from orchestrator.domain.software import Software


def named(running: str | None, target: str, *software: Software, pinned: str | None = None) -> str:
    of = catalogue(*software)
    goal = of.get(v(target))
    assert goal is not None
    return obstacles.name(at(running, pinned=pinned), of, goal, NOW)


@pytest.mark.parametrize(
    ("software", "clause"),
    [
        ((suspended("2.0.0", "1.0.0"),), "2.0.0 is suspended"),
        ((recalled("2.0.0", "1.0.0"),), "2.0.0 is recalled"),
        ((general("2.0.0", "1.0.0", given=False),), "2.0.0 has no specification"),
        ((targeted("2.0.0", "1.0.0"),), "2.0.0 is targeted and lists no filter"),
        (
            (targeted("2.0.0", "1.0.0", filters=[use("lab"), use("field")]),),
            "2.0.0 is targeted, and no filter that it lists matches: lab, field",
        ),
        ((general("2.0.0", "1.5.0"),), "no edge leads on from 1.0.0"),
        ((general("1.2.0", "1.0.0"), general("2.0.0", "1.5.0")), "no edges lead from 1.0.0 to 2.0.0"),
        (
            (suspended("1.5.0", "1.0.0"), general("2.0.0", "1.5.0")),
            "edges pass through 1.5.0, which is suspended",
        ),
        (
            (general("1.2.0", "1.0.0"), recalled("1.5.0", "1.2.0"), general("2.0.0", "1.5.0")),
            "edges pass through 1.5.0, which is recalled",
        ),
    ],
)
def test_the_nearest_cause_is_named(software: tuple[Software, ...], clause: str) -> None:
    assert named("1.0.0", "2.0.0", general("1.0.0"), *software) == clause


def test_an_endpoint_that_has_said_nothing_is_told_apart() -> None:
    assert named(None, "2.0.0", general("2.0.0", "1.0.0")) == "no version reported"
    assert named(None, "2.0.0", suspended("2.0.0", "*")) == "2.0.0 is suspended"


def test_a_pin_that_is_the_target_is_no_obstacle_itself() -> None:
    software = (general("1.0.0"), targeted("1.5.0", "1.0.0"), suspended("2.0.0", "1.5.0"))
    assert named("1.0.0", "2.0.0", *software, pinned="2.0.0") == "2.0.0 is suspended"
    assert named("1.0.0", "2.0.0", *software, pinned="1.5.0") == "pinned to 1.5.0"


def test_an_end_and_an_abort_are_named() -> None:
    two = general("2.0.0", "1.0.0")
    ended = replace(two, policy=RolloutPolicy(end=NOW))
    assert named("1.0.0", "2.0.0", general("1.0.0"), ended) == "2.0.0 ends at 2026-03-01T12:00:00Z"
    aborted = replace(two, rollout=Rollout(phase=Phase.ABORTED))
    assert named("1.0.0", "2.0.0", general("1.0.0"), aborted) == "2.0.0 is aborted"


def test_whom_no_stage_admits_is_told_so() -> None:
    of = catalogue(general("1.0.0"), general("1.5.0", "1.0.0"), general("2.0.0", "1.5.0"))

    def held(numbers: int, pinned: str | None = None) -> str:
        return obstacles.name(replace(at("1.0.0", pinned=pinned), held=numbers), of, of.software[2], NOW)

    assert held(0b100) == "2.0.0 has no stage that admits it"
    assert held(0b010) == "edges pass through 1.5.0, which has no stage that admits it"
    assert held(0b110, "2.0.0") == "no way leads from 1.0.0 to 2.0.0"
