"""The one sentence of a decision names the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.decisions import Standing, decide
from orchestrator.domain.policies import RolloutPolicy, Stage
from tests.unit.orchestrator.domain.builders import HOUR, NOW, at, catalogue, general, recalled, suspended, v

if TYPE_CHECKING:
    from orchestrator.domain.software import Software

STEPS = (general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))
FAILED = replace(at("1.0.0"), exhausted=frozenset({v("1.1.0")}))


@pytest.mark.parametrize(
    ("standing", "software", "expected"),
    [
        (at("1.0.0"), STEPS, "runs 1.0.0; offered 1.1.0, on the way to 2.0.0"),
        (at("1.1.0"), STEPS, "runs 1.1.0; offered 2.0.0"),
        (at("2.0.0"), STEPS, "runs 2.0.0; no higher version is connected to it"),
        (
            at("1.0.0"),
            (general("1.1.0", "1.0.0", rollout_date=NOW + HOUR),),
            "runs 1.0.0; waits for 1.1.0: rolloutDate 2026-03-01T13:00:00Z; now 2026-03-01T12:00:00Z",
        ),
        (
            replace(at("1.0.0"), held=1),
            (replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(stages=(Stage(percent=1), Stage(percent=100)))),),
            "runs 1.0.0; waits for 1.1.0: stage 1 does not admit the endpoint yet",
        ),
        (
            FAILED,
            STEPS,
            "runs 1.0.0; the way on leads over 1.1.0, which failed too often: retry it when the cause is gone",
        ),
        (
            at("1.0.0"),
            (suspended("1.1.0", "1.0.0"),),
            "runs 1.0.0; 1.1.0 is not eligible: strategy suspended",
        ),
        (at(None), STEPS, "has not reported a version, and no software is upgradable from '*'"),
        (replace(at("1.0.0"), active=False), STEPS, "runs 1.0.0; its token is suspended, revoked or retired"),
        (
            at("2.0.0"),
            (general("1.0.0", "2.0.0"), recalled("2.0.0")),
            "runs 2.0.0, which is recalled; offered 1.0.0",
        ),
        (
            at("2.0.0"),
            (recalled("2.0.0"),),
            "runs 2.0.0, which is recalled; no eligible software may be installed over it",
        ),
        (at("1.0.0", pinned="1.0.0"), STEPS, "runs 1.0.0; it is pinned there"),
        (at("1.0.0", pinned="9.0.0"), STEPS, "runs 1.0.0; pinned to 9.0.0, which is not defined"),
        (
            at("1.0.0", pinned="1.1.0"),
            (suspended("1.1.0", "1.0.0"),),
            "runs 1.0.0; no way to the pin 1.1.0: 1.1.0 is not eligible: strategy suspended",
        ),
        (at("2.0.0", pinned="1.1.0"), STEPS, "runs 2.0.0; no way to the pin 1.1.0"),
    ],
)
def test_the_sentence_names_the_reason(standing: Standing, software: tuple[Software, ...], expected: str) -> None:
    assert decide(standing, catalogue(*software), NOW).summary == expected


def test_at_most_three_obstacles_are_named() -> None:
    blocked = catalogue(*(suspended(f"1.{minor}.0", "1.0.0") for minor in range(1, 6)))
    summary = decide(at("1.0.0"), blocked, NOW).summary
    assert summary.count("not eligible") == 3
    assert summary.startswith("runs 1.0.0; 1.5.0 is not eligible")
