from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import rulings
from orchestrator.application.audits import Action
from orchestrator.application.records import RolloutStatus, SoftwareRecord, StageMark
from orchestrator.domain.gates import Size, Tally, Verdict
from orchestrator.domain.policies import OnFailure, RolloutPolicy, Stage
from orchestrator.domain.rollouts import Phase, Rollout
from tests.contract.storages import software_record
from tests.unit.orchestrator.domain.builders import HOUR, NOW, general, recalled

if TYPE_CHECKING:
    from datetime import datetime

STAGES = (Stage(percent=10, min_attempted=2), Stage(percent=100, min_attempted=2))
GOOD, BAD, OPEN = Tally(confirmed=10), Tally(failed=10), Tally(confirmed=10, soaking=1)
REST = Size(endpoints=10, waiting=0)
"""A stage in which nobody waits for an offer."""


def record(
    stage: int = 0,
    phase: Phase = Phase.RUNNING,
    *,
    stages: tuple[Stage, ...] = STAGES,
    on_failure: OnFailure | None = OnFailure.PAUSE,
    marks: tuple[StageMark, ...] = (),
    end: datetime | None = None,
) -> SoftwareRecord:
    policy = RolloutPolicy(stages=stages, on_failure=on_failure, end=end)
    item = replace(general("1.1.0", "1.0.0"), policy=policy, rollout=Rollout(phase=phase, stage=stage))
    return replace(software_record(item), status=RolloutStatus(marks=marks))


def decided(of: SoftwareRecord, *tallies: Tally, sizes: dict[int, Size] | None = None) -> Action | None:
    move = rulings.decide(of, dict(enumerate(tallies)), {0: REST, 1: REST} if sizes is None else sizes, NOW)
    return None if move is None else move.action


def test_a_stage_that_passes_is_left_with_its_size_kept() -> None:
    move = rulings.decide(record(), {0: GOOD}, {0: REST}, NOW)
    assert move is not None
    assert (move.action, move.rollout.stage, move.marks[0].endpoints) == (Action.ROLLOUT_ADVANCE, 1, 10)
    assert (move.reason or "").startswith("stage 1: 10 settled")


def test_a_stage_that_waits_is_left_alone() -> None:
    assert decided(record(), Tally(confirmed=1)) is None
    assert decided(record()) is None


@pytest.mark.parametrize(
    ("wanted", "action", "recalls"),
    [
        (OnFailure.PAUSE, Action.ROLLOUT_PAUSE, False),
        (OnFailure.ABORT, Action.ROLLOUT_ABORT, False),
        (OnFailure.REVERT, Action.ROLLOUT_REVERT, True),
        (None, Action.ROLLOUT_PAUSE, False),
    ],
)
def test_a_stage_that_fails_stops_the_rollout_as_its_policy_wants(
    wanted: OnFailure | None, action: Action, *, recalls: bool
) -> None:
    move = rulings.decide(record(on_failure=wanted), {0: BAD}, {0: REST}, NOW)
    assert move is not None
    assert (move.action, move.recall) == (action, recalls)
    assert (move.reason or "").startswith("stage 1: failure rate 100 %")


def test_a_failure_of_a_stage_that_was_passed_comes_before_an_advance() -> None:
    assert decided(record(1), BAD, GOOD) is Action.ROLLOUT_PAUSE
    move = rulings.decide(record(1), {0: BAD, 1: GOOD}, {1: REST}, NOW)
    assert ((move and move.reason) or "").startswith("stage 1: ")


@pytest.mark.parametrize("phase", [Phase.PAUSED, Phase.ABORTED])
def test_what_is_held_or_over_is_not_judged(phase: Phase) -> None:
    assert decided(record(phase=phase), BAD) is None
    assert not rulings.goes_on(record(phase=phase).software)


def test_software_that_is_not_judged_or_cannot_be_served_is_left_alone() -> None:
    assert not rulings.goes_on(record(stages=(), on_failure=None).software)
    bad = record()
    assert decided(replace(bad, software=replace(bad.software, recalled_at=NOW)), BAD) is None
    assert not rulings.goes_on(recalled("1.1.0"))


def test_a_stage_that_wants_approval_waits_for_it_and_fails_meanwhile() -> None:
    stages = (replace(STAGES[0], approval=True), STAGES[1])
    assert decided(record(stages=stages), GOOD) is Action.ROLLOUT_PASS
    assert decided(record(stages=stages, phase=Phase.WAITING_APPROVAL), GOOD) is None
    assert decided(record(stages=stages, phase=Phase.WAITING_APPROVAL), BAD) is Action.ROLLOUT_PAUSE


def test_the_last_stage_ends_when_nothing_is_to_be_expected_any_more() -> None:
    assert decided(record(1), GOOD, GOOD) is Action.ROLLOUT_FINISH
    assert decided(record(1), GOOD, OPEN) is None
    # Who is still about in an earlier stage is waited for, too.
    assert decided(record(1), OPEN, GOOD) is None
    assert decided(record(1), GOOD, GOOD, sizes={1: Size(endpoints=10, waiting=1)}) is None
    assert decided(record(1), GOOD, Tally(confirmed=10, offered=3, unreached=3)) is Action.ROLLOUT_FINISH


def test_a_last_percentage_of_which_all_are_in_earlier_stages_ends_the_rollout() -> None:
    """A fleet of one would else never be through with two stages."""
    empty = {0: REST, 1: Size(endpoints=0, waiting=0)}
    move = rulings.decide(record(1), {0: GOOD}, empty, NOW)
    assert move is not None
    assert (move.action, move.reason) == (Action.ROLLOUT_FINISH, "stage 2: every endpoint is in an earlier stage")
    assert decided(record(1, Phase.FINISHED), GOOD, sizes=empty) is None
    assert decided(record(1), OPEN, sizes=empty) is None
    # A limit or a window holds the others of the earlier stage.
    held = {0: REST, 1: Size(endpoints=0, waiting=7)}
    assert decided(record(1), GOOD, sizes=held) is None
    assert decided(record(1), GOOD, GOOD, sizes=held) is None
    assert decided(record(1), GOOD, Tally(failed=1), sizes={0: REST, 1: Size(endpoints=0, waiting=6)}) is None
    assert decided(record(1), GOOD, GOOD, sizes=empty) is Action.ROLLOUT_FINISH
    # Nobody has tried it, a stage follows, or its filter or its number may yet get somebody.
    assert decided(record(1), sizes=empty) is None
    assert decided(record(1, stages=(*STAGES[:1], Stage(percent=50), *STAGES[1:])), GOOD, sizes=empty) is None
    assert decided(record(1, stages=(*STAGES[:1], Stage(filter_id="lab"))), GOOD, sizes=empty) is None
    assert decided(record(1, stages=(*STAGES[:1], Stage(count=5))), GOOD, sizes=empty) is None


def test_after_its_end_no_stage_follows_and_none_waits_for_approval() -> None:
    approval = (replace(STAGES[0], approval=True), replace(STAGES[1], approval=True))
    assert decided(record(end=NOW), GOOD) is None
    assert decided(record(end=NOW + HOUR), GOOD) is Action.ROLLOUT_ADVANCE
    assert decided(record(1, stages=approval, end=NOW), GOOD, GOOD) is None
    assert decided(record(1, stages=approval, end=NOW + HOUR), GOOD, GOOD) is Action.ROLLOUT_PASS


def test_after_its_end_a_rollout_finishes_or_fails_without_those_that_are_left() -> None:
    left = {0: Size(endpoints=99, waiting=0, left=96), 1: Size(endpoints=99, waiting=0, left=96)}
    stages = (Stage(percent=10, min_attempted=50), Stage(percent=100, min_attempted=50))
    few = Tally(confirmed=3, withdrawn=40)
    assert decided(record(1, stages=stages, end=NOW), few, few, sizes=left) is Action.ROLLOUT_FINISH
    assert decided(record(stages=stages, end=NOW), Tally(confirmed=1, failed=2), sizes=left) is Action.ROLLOUT_PAUSE


WAITING = {1: Size(endpoints=65, waiting=1)}
ENOUGH = Tally(confirmed=60, failed=5)
"""Too many failures to pass, and too few to fail while somebody waits."""


def test_a_finished_rollout_is_opened_again_by_late_failures() -> None:
    finished = record(1, Phase.FINISHED)
    assert decided(finished, GOOD, GOOD) is None
    assert decided(finished, GOOD, ENOUGH, sizes=WAITING) is Action.ROLLOUT_REOPEN
    assert decided(finished, GOOD, BAD) is Action.ROLLOUT_PAUSE


def test_a_finished_rollout_is_not_opened_by_what_it_had_when_it_finished_or_by_newcomers() -> None:
    known = record(1, Phase.FINISHED, marks=(StageMark(), StageMark(failures=5)))
    assert decided(known, GOOD, ENOUGH, sizes=WAITING) is None
    # Nobody noted what it had.
    old = record(1, Phase.FINISHED, marks=(StageMark(failures=None), StageMark(failures=None)))
    assert decided(old, GOOD, Tally(confirmed=60, reverted=2), sizes=WAITING) is None
    # An operator has passed over the gate, or more have come than it was judged by.
    assert decided(record(1, Phase.FINISHED), GOOD, Tally(confirmed=1), sizes=WAITING) is None
    assert decided(record(1, Phase.FINISHED), GOOD, Tally(confirmed=2, soaking=60), sizes=WAITING) is None
    # A failure within the limit is none of its last stage's matter either, as long as nobody goes back.
    assert decided(record(1, Phase.FINISHED), GOOD, Tally(confirmed=60, failed=1)) is None


@pytest.mark.parametrize("stage", [0, 1])
def test_one_that_goes_back_opens_a_finished_rollout_until_its_stage_passes_anew(stage: int) -> None:
    tallies = {0: Tally(confirmed=60), 1: Tally(confirmed=60)}
    tallies[stage] = Tally(confirmed=60, reverted=1)
    move = rulings.decide(record(1, Phase.FINISHED), tallies, {0: REST, 1: REST}, NOW)
    assert move is not None
    assert (move.action, move.rollout.phase) == (Action.ROLLOUT_REOPEN, Phase.RUNNING)
    assert (move.reason or "").startswith("1 went back since it finished; stage 2: ")
    again = rulings.decide(record(1), tallies, {0: REST, 1: REST}, NOW)
    assert again is not None
    assert (again.action, again.marks[stage].failures, again.marks[stage].reverted) == (Action.ROLLOUT_FINISH, 1, 1)
    marks = tuple(again.marks.get(number, StageMark()) for number in (0, 1))
    assert rulings.decide(record(1, Phase.FINISHED, marks=marks), tallies, {0: REST, 1: REST}, NOW) is None


def test_stages_that_were_passed_are_judged_by_the_size_that_was_kept_and_without_what_was_acknowledged() -> None:
    marks = (StageMark(endpoints=3, acknowledged=1), StageMark())
    stages = (Stage(percent=10), Stage(percent=100))
    first, second = rulings.rule(record(1, stages=stages, marks=marks), {0: Tally(confirmed=2, failed=1)}, {})
    assert (first.verdict, first.failures, first.settled, first.needed) == (Verdict.PASSES, 0, 2, 2)
    assert (second.verdict, second.settled, second.needed) == (Verdict.WAITS, 0, 60)
