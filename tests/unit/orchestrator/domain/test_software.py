"""Software definitions: what stops them, and when they open."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.policies import DEFAULT_POLICY, RolloutPolicy, Stage
from orchestrator.domain.rollouts import NOBODY, STARTED, Phase, Rollout
from orchestrator.domain.software import Admission, Software, Strategy, revised
from tests.unit.orchestrator.domain.builders import DAY, HOUR, NOW, general, recalled, suspended, targeted, use


def test_the_defaults_are_three_attempts_ten_minutes_apart_and_a_day_to_install() -> None:
    assert (DEFAULT_POLICY.attempts.max, DEFAULT_POLICY.attempts.returns) == (3, 20)
    assert DEFAULT_POLICY.attempts.backoff == timedelta(minutes=10)
    assert DEFAULT_POLICY.installing == DAY


def test_recalled_and_suspended_software_is_stopped() -> None:
    assert not general("1.0.0").stopped
    assert suspended("1.0.0").stopped
    assert not suspended("1.0.0").recalled
    assert recalled("1.0.0").stopped
    assert recalled("1.0.0").recalled


@pytest.mark.parametrize("phase", Phase)
def test_an_abort_stops_software_and_a_pause_does_not(phase: Phase) -> None:
    item = replace(general("1.0.0"), rollout=Rollout(phase=phase))
    assert item.stopped == (phase is Phase.ABORTED)
    assert item.servable == (phase is not Phase.ABORTED)


def test_software_without_a_specification_is_never_served() -> None:
    assert general("1.0.0").servable
    assert not general("1.0.0", given=False).servable
    assert not general("1.0.0", given=False).stopped


def test_strategies_have_the_names_of_the_wire() -> None:
    assert [strategy.value for strategy in Strategy] == ["suspended", "targeted", "general"]


def test_software_names_the_filters_of_its_list_and_of_its_stages() -> None:
    policy = RolloutPolicy(stages=(Stage(filter_id="lab"), Stage(percent=1), Stage(filter_id="a")))
    item = replace(targeted("1.0.0", filters=[use("a"), use("b")]), policy=policy)
    assert item.filter_ids == {"a", "b", "lab"}
    assert replace(item, strategy=Strategy.GENERAL).filter_ids == {"a", "b", "lab"}
    assert general("1.0.0").filter_ids == frozenset()


EARLY, LATE = use("a", NOW + HOUR), use("b", NOW + DAY)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"a"}, NOW + HOUR),
        ({"b"}, NOW + DAY),
        ({"a", "b"}, NOW + HOUR),
        ({"c"}, None),
        ({"a", "c"}, None),
        (None, None),
    ],
)
def test_the_earliest_date_of_a_matching_filter_opens_targeted_software(
    filters: set[str] | None, expected: object
) -> None:
    item = targeted("1.0.0", filters=[EARLY, LATE, use("c")])
    assert item.opens_at(None if filters is None else frozenset(filters)) == expected


def test_the_start_of_the_rollout_holds_whatever_the_filters_say() -> None:
    item = replace(targeted("1.0.0", filters=[EARLY, use("c")]), rollout_date=NOW + 2 * HOUR)
    assert item.opens_at(frozenset("a")) == NOW + 2 * HOUR
    assert item.opens_at(frozenset("c")) == NOW + 2 * HOUR
    assert general("1.0.0", rollout_date=NOW).opens_at(frozenset()) == NOW
    assert general("1.0.0").opens_at(frozenset()) is None


A, B = frozenset({7}), frozenset({8, 9})
STAGES = (
    Stage(percent=1),
    Stage(filter_id="lab"),
    Stage(count=50),
    Stage(percent=20),
    Stage(filter_id="field"),
    Stage(percent=100),
)


def staged(*stages: Stage, rollout: Rollout = STARTED) -> Software:
    return replace(general("1.0.0"), policy=RolloutPolicy(stages=stages), rollout=rollout)


def test_without_stages_everybody_is_admitted() -> None:
    assert general("1.0.0").admission == Admission(limit=COHORTS, filters=frozenset())
    assert general("1.0.0").admission.everybody


@pytest.mark.parametrize(
    ("rollout", "limit", "filters"),
    [
        (Rollout(stage=0), 10_000, set()),
        (Rollout(stage=1), 10_000, {"lab"}),
        # Nobody of the third stage before it was measured.
        (Rollout(stage=2), 10_000, {"lab"}),
        (Rollout(stage=3), 200_000, {"lab"}),
        (Rollout(stage=4), 200_000, {"lab", "field"}),
        (Rollout(stage=5), COHORTS, {"lab", "field"}),
        (Rollout(stage=9), COHORTS, {"lab", "field"}),
    ],
)
def test_a_stage_admits_whom_it_names_and_all_before_it(rollout: Rollout, limit: int, filters: set[str]) -> None:
    admission = staged(*STAGES, rollout=rollout).admission
    assert admission == Admission(limit=limit, filters=frozenset(filters))
    assert admission.everybody == (limit == COHORTS)


@pytest.mark.parametrize(
    ("rollout", "limit", "members"),
    [
        # A percentage of a small fleet may be nobody: one is let in all the same, and nobody else.
        (Rollout(stage=0, members=(A,)), 10_000, A),
        (Rollout(stage=1, members=(A,)), 10_000, A),
        (Rollout(stage=2, members=(A, NOBODY, B)), 10_000, A | B),
        (Rollout(stage=3, members=(A, NOBODY, B)), 200_000, A | B),
        # What is kept for a stage to come does not count yet.
        (Rollout(stage=1, members=(A, NOBODY, B)), 10_000, A),
    ],
)
def test_stages_admit_whom_they_have_taken_in(rollout: Rollout, limit: int, members: frozenset[int]) -> None:
    admission = staged(*STAGES, rollout=rollout).admission
    assert admission == Admission(limit=limit, filters=admission.filters, members=members)
    assert not admission.everybody


@pytest.mark.parametrize(("stage", "expected"), [(0, 0), (5, 5), (9, 5)])
def test_an_offer_belongs_to_the_present_stage_unless_stages_are_set_aside(stage: int, expected: int) -> None:
    item = staged(*STAGES, rollout=Rollout(stage=stage))
    assert item.stage_for(pinned=False, rescue=False) == expected
    assert item.stage_for(pinned=True, rescue=False) is None
    assert item.stage_for(pinned=False, rescue=True) is None


MEASURED = Rollout(phase=Phase.PAUSED, stage=2, members=(A, NOBODY, B))


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (STAGES[:3], MEASURED),
        # What a stage asks of its endpoints says nothing of who they are.
        ((replace(STAGES[0], soak=HOUR, max_failure_rate=0.5), *STAGES[1:3]), MEASURED),
        ((*STAGES[:3], Stage(percent=100)), MEASURED),
        ((Stage(percent=2), *STAGES[1:3]), replace(MEASURED, members=())),
        ((STAGES[0], Stage(filter_id="field"), STAGES[2]), replace(MEASURED, members=(A,))),
        # A number may grow, and goes on with whom it has taken in; with fewer it begins anew.
        ((*STAGES[:2], Stage(count=51)), MEASURED),
        ((*STAGES[:2], Stage(count=49)), replace(MEASURED, members=(A, NOBODY))),
        (STAGES[:2], replace(MEASURED, stage=1, members=(A, NOBODY))),
        ((), replace(MEASURED, stage=0, members=())),
    ],
)
def test_a_revised_policy_keeps_where_its_rollout_is_and_whom_unchanged_stages_admit(
    stages: tuple[Stage, ...], expected: Rollout
) -> None:
    assert revised(staged(*STAGES[:3], rollout=MEASURED), RolloutPolicy(stages=stages)) == expected


@pytest.mark.parametrize(
    ("stages", "phase"),
    [(STAGES[:3], Phase.FINISHED), (STAGES[:2], Phase.FINISHED), (STAGES[:4], Phase.RUNNING)],
)
def test_a_finished_rollout_goes_on_where_stages_have_come_to_it(stages: tuple[Stage, ...], phase: Phase) -> None:
    finished = staged(*STAGES[:3], rollout=replace(MEASURED, phase=Phase.FINISHED))
    assert revised(finished, RolloutPolicy(stages=stages)).phase is phase


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.FINISHED])
def test_a_revised_policy_leaves_every_other_phase_alone(phase: Phase) -> None:
    item = staged(*STAGES[:3], rollout=replace(MEASURED, phase=phase))
    assert revised(item, RolloutPolicy(stages=STAGES)).phase is phase


def test_it_is_over_from_the_end_of_its_rollout_on() -> None:
    ends = replace(general("1.0.0"), policy=RolloutPolicy(end=NOW))
    assert [ends.over(NOW + hours * HOUR) for hours in (-1, 0, 1)] == [False, True, True]
    assert not general("1.0.0").over(NOW)
