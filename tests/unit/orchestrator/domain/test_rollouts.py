"""Phases and their table of moves, stages that are entered one after another, and the order of endpoints."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import rollouts
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.rollouts import LEGAL, NOBODY, STARTED, IllegalRolloutMove, Phase, Rollout
from tests.unit.orchestrator.domain.builders import v

P = Phase
A, B = frozenset({7}), frozenset({8, 9})
MOVES = {
    (P.RUNNING, P.PAUSED),
    (P.RUNNING, P.WAITING_APPROVAL),
    (P.RUNNING, P.FINISHED),
    (P.RUNNING, P.ABORTED),
    (P.PAUSED, P.RUNNING),
    (P.PAUSED, P.ABORTED),
    (P.WAITING_APPROVAL, P.RUNNING),
    (P.WAITING_APPROVAL, P.PAUSED),
    (P.WAITING_APPROVAL, P.FINISHED),
    (P.WAITING_APPROVAL, P.ABORTED),
    # A late revert, a new stage, or an operator.
    (P.FINISHED, P.RUNNING),
    (P.FINISHED, P.PAUSED),
    (P.FINISHED, P.ABORTED),
}


WORDS = {
    P.RUNNING: "be resumed",
    P.PAUSED: "be paused",
    P.WAITING_APPROVAL: "wait for approval",
    P.FINISHED: "finish",
    P.ABORTED: "be aborted",
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Phase, repeat=2)))
def test_nothing_moves_a_rollout_but_the_table(before: Phase, after: Phase) -> None:
    rollout = Rollout(phase=before, stage=1, members=(frozenset({5}),))
    if before is after:
        assert rollouts.move(rollout, after) is rollout
    elif (before, after) in MOVES:
        assert rollouts.move(rollout, after) == replace(rollout, phase=after)
    else:
        with pytest.raises(IllegalRolloutMove) as caught:
            rollouts.move(rollout, after)
        assert (caught.value.phase, caught.value.after) == (before, after)
        assert str(caught.value).startswith(f"a rollout that is {before.value} cannot {WORDS[after]}: ")


@pytest.mark.parametrize(
    ("phase", "refused"),
    [
        (P.WAITING_APPROVAL, "it is not paused, approve it to go on"),
        (P.FINISHED, "it is not paused, and serves newcomers as it is"),
        (P.ABORTED, "that is final, so publish a new version"),
    ],
)
def test_what_is_not_paused_has_nothing_to_be_resumed(phase: Phase, refused: str) -> None:
    with pytest.raises(IllegalRolloutMove) as caught:
        rollouts.resume(Rollout(phase=phase))
    assert str(caught.value) == f"a rollout that is {phase.value} cannot be resumed: {refused}"


def test_a_paused_rollout_is_resumed_and_one_that_runs_stays_as_it_is() -> None:
    assert rollouts.resume(Rollout(phase=P.PAUSED, stage=1)) == Rollout(stage=1)
    assert rollouts.resume(STARTED) is STARTED


def test_the_table_names_every_phase_and_nothing_leads_out_of_an_abort() -> None:
    assert set(LEGAL) == set(Phase)
    assert LEGAL[P.ABORTED] == frozenset()


def test_phases_have_the_names_of_the_wire() -> None:
    assert [phase.value for phase in Phase] == ["running", "paused", "waiting-approval", "finished", "aborted"]


def test_only_a_pause_holds_and_only_an_abort_ends() -> None:
    assert [phase for phase in Phase if Rollout(phase=phase).held] == [P.PAUSED]
    assert [phase for phase in Phase if Rollout(phase=phase).aborted] == [P.ABORTED]


@pytest.mark.parametrize("phase", [P.RUNNING, P.WAITING_APPROVAL, P.FINISHED])
def test_the_next_stage_runs_and_admits_at_first_whom_its_percentage_does(phase: Phase) -> None:
    before = Rollout(phase=phase, stage=0, members=(A,))
    assert rollouts.advance(before, 3) == Rollout(stage=1, members=(A,))


@pytest.mark.parametrize("stages", [1, 2])
def test_after_the_last_stage_there_is_none(stages: int) -> None:
    assert rollouts.advance(Rollout(stage=1), stages) == Rollout(phase=P.FINISHED, stage=1)


@pytest.mark.parametrize(
    ("phase", "sentence"),
    [
        (P.PAUSED, "a rollout that is paused cannot be approved: resume it first"),
        (P.ABORTED, "a rollout that is aborted cannot be approved: that is final, so publish a new version"),
    ],
)
@pytest.mark.parametrize("stage", [0, 2])
def test_a_rollout_that_is_stopped_does_not_advance(phase: Phase, stage: int, sentence: str) -> None:
    with pytest.raises(IllegalRolloutMove) as caught:
        rollouts.advance(Rollout(phase=phase, stage=stage), 3)
    assert str(caught.value) == sentence


def test_whom_the_present_stage_takes_in_may_change_either_way_and_no_other_stage_does() -> None:
    assert rollouts.take_in(STARTED, A) == Rollout(members=(A,))
    assert rollouts.take_in(Rollout(stage=2, members=(A,)), B) == Rollout(stage=2, members=(A, NOBODY, B))
    assert rollouts.take_in(Rollout(stage=1, members=(A, B)), A) == Rollout(stage=1, members=(A, A))
    assert rollouts.take_in(Rollout(members=(A,)), NOBODY) == Rollout(members=(NOBODY,))


@pytest.mark.parametrize(("rollout", "members"), [(STARTED, NOBODY), (Rollout(members=(A,)), A)])
def test_who_is_taken_in_already_changes_nothing(rollout: Rollout, members: frozenset[int]) -> None:
    assert rollouts.take_in(rollout, members) is rollout


def test_a_stage_that_was_not_entered_has_taken_nobody_in() -> None:
    assert [Rollout(members=(A, NOBODY)).members_of(stage) for stage in range(3)] == [A, NOBODY, NOBODY]


def test_the_turn_of_a_version_is_that_of_its_application_and_text() -> None:
    # The first 8 bytes of SHA-256 of application NUL version, modulo the ranks.
    assert rollouts.shift("kettle", v("1.1.0")) == 347_136
    assert rollouts.shift("kettle", v("1.2.0")) == 317_642
    assert rollouts.shift("toaster", v("1.1.0")) != rollouts.shift("kettle", v("1.1.0"))


@given(cohort=st.integers(0, COHORTS - 1), turned=st.integers(0, COHORTS - 1))
def test_a_rank_is_the_cohort_turned_around(cohort: int, turned: int) -> None:
    rank = rollouts.rank(cohort, turned)
    assert rank in range(COHORTS)
    assert (rank - turned) % COHORTS == cohort
