"""What keeps a rollout from going on by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain import hindrances
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.kinds import Kind
from orchestrator.domain.plans import Planner
from orchestrator.domain.policies import RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout
from tests.unit.orchestrator.domain.builders import DAY, HOUR, NOW, general, v

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.software import Software

TWO = v("2.0.0")
WINDOW = Window(cron="0 13 * * *", duration=HOUR)


def software(*stages: Stage, rollout: Rollout | None = None, **policy: object) -> Software:
    knobs = replace(RolloutPolicy(stages=stages), **policy)  # type: ignore[arg-type]  # any knob
    return replace(general("2.0.0", "1.0.0"), policy=knobs, rollout=rollout or Rollout())


def said(item: Software, *sizes: int, running: int = 0, consent: bool = False) -> list[str]:
    """What hinders it in a fleet of which the stages, and last none of them, have so many endpoints."""
    planner = Planner(Catalogue.of([general("1.0.0"), item], consent=consent), TWO, NOW, about=[TWO])
    if running:
        planner.add(Kind(running=TWO), running)
    if sizes:
        planner.add(Kind(running=v("1.0.0")), sum(sizes), [sizes[:-1]])
    return list(hindrances.of(item, planner, NOW))


def of_stages(stages: Sequence[Stage], *sizes: int, running: int = 0, stage: int = 0) -> list[str]:
    return said(software(*stages, rollout=Rollout(stage=stage)), *sizes, running=running)


def test_a_sound_rollout_has_no_hindrance() -> None:
    assert said(software()) == []
    assert of_stages([Stage(percent=10), Stage(percent=100)], 60, 40, 0) == []


@pytest.mark.parametrize(
    ("rollout", "sentence"),
    [
        (Rollout(phase=Phase.PAUSED), "2.0.0: its rollout is paused: nobody is offered it until it is resumed"),
        (
            Rollout(phase=Phase.WAITING_APPROVAL),
            "2.0.0: its rollout waits for approval: stage 2 begins when it is approved",
        ),
    ],
)
def test_what_an_operator_has_to_lift_is_said(rollout: Rollout, sentence: str) -> None:
    assert said(software(rollout=rollout)) == [sentence]


def test_an_end_that_is_over_is_said() -> None:
    (sentence,) = said(software(end=NOW))
    assert sentence == "2.0.0: its rollout has ended at 2026-03-01T12:00:00Z: it is offered to nobody"
    assert said(software(end=NOW + HOUR)) == []


@pytest.mark.parametrize(
    ("end", "start", "window", "warned"),
    [
        (NOW + HOUR, None, WINDOW, True),
        (NOW + 2 * HOUR, None, WINDOW, False),
        (NOW + 3 * HOUR, NOW + 2 * HOUR, WINDOW, True),
        (NOW + DAY + 2 * HOUR, NOW + 2 * HOUR, WINDOW, False),
        (NOW + HOUR, None, replace(WINDOW, time_zone=None), False),
        (NOW + HOUR, None, replace(WINDOW, cron="* * * * *"), False),
    ],
)
def test_a_window_that_does_not_open_before_the_end_is_said(
    end: object, start: object, window: Window, *, warned: bool
) -> None:
    item = replace(software(end=end, window=window), rollout_date=start)  # type: ignore[arg-type]  # instants
    assert any("its window does not open before the rollout ends" in text for text in said(item)) is warned


def test_consent_is_said_where_it_is_the_rollouts_own() -> None:
    item = software(consent=True)
    assert said(item) == [
        "2.0.0 requires consent: moves to it wait for that, and those who refused stay where they are"
    ]
    assert said(item, consent=True) == []
    assert said(software(consent=False)) == []


def test_a_stage_that_is_smaller_than_its_sample_is_said() -> None:
    stages = [Stage(percent=1, min_attempted=50), Stage(percent=10, max_failure_rate=0.02), Stage(percent=100)]
    all_of_them = "it passes only when all of them have settled, or when it is approved"
    assert of_stages(stages, 2, 149, 40, 0) == [
        f"2.0.0: stage 1 needs 50 verdicts and has 2 endpoints: {all_of_them}",
        f"2.0.0: stage 2 needs 150 verdicts and has 149 endpoints: {all_of_them}",
    ]
    (sentence,) = of_stages(stages, 1, 150, 0, 0)
    assert sentence.endswith("has 1 endpoint: it passes only when it has settled, or when it is approved")


def test_a_stage_without_endpoints_is_said() -> None:
    stages = [Stage(count=5, min_attempted=5), Stage(filter_id="lab"), Stage(percent=100)]
    assert of_stages(stages, 5, 0, 95, 0) == [
        "2.0.0: stage 2 has no endpoint of its own: it waits until it is approved"
    ]


def test_stages_that_are_over_or_under_way_are_not_measured() -> None:
    stages = [Stage(percent=1), Stage(percent=10), Stage(percent=50), Stage(percent=100)]
    (sentence,) = of_stages(stages, 0, 2, 100, 100, 0, stage=1)
    assert sentence.startswith("2.0.0: stage 2 needs 60 verdicts and has 2 endpoints")
    assert of_stages(stages, 0, 2, 100, 100, 0, stage=1, running=7) == []


def test_an_empty_fleet_has_no_small_stages() -> None:
    assert of_stages([Stage(percent=1), Stage(percent=50)]) == []


@pytest.mark.parametrize(
    ("last", "share"),
    [
        (Stage(percent=12.5), "12.5 %"),
        (Stage(count=1000), "1000 endpoints"),
        (Stage(count=1), "1 endpoint"),
        (Stage(filter_id="field"), "the filter field"),
    ],
)
def test_whom_the_last_stage_leaves_out_is_said(last: Stage, share: str) -> None:
    assert of_stages([last], 10, 90) == [f"2.0.0: its stages end with {share}: 90 endpoints are never offered it"]
    assert of_stages([last], 10, 1) == [f"2.0.0: its stages end with {share}: 1 endpoint is never offered it"]
    assert of_stages([last], 10, 0) == []
