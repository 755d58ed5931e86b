"""The knobs of rollouts: what they come to where little is said."""

from __future__ import annotations

from itertools import pairwise

import pytest

from orchestrator.domain.policies import (
    DEFAULT_POLICY,
    STANDARD,
    UNLIMITED,
    WHOLE,
    Exponential,
    Limits,
    OnFailure,
    RolloutPolicy,
    Stage,
)


def test_the_sample_is_that_of_the_rule_of_three_unless_it_is_said() -> None:
    assert Stage(percent=1).sample == 60
    assert Stage(percent=1, max_failure_rate=0.02).sample == 150
    assert Stage(percent=1, max_failure_rate=0, min_attempted=7).sample == 7


@pytest.mark.parametrize(
    ("stage", "limit"),
    [(WHOLE, 1_000_000), (Stage(percent=0.00001), 1), (Stage(percent=1), 10_000), (Stage(count=5), 0)],
)
def test_a_percentage_admits_ranks_from_the_lowest_on(stage: Stage, limit: int) -> None:
    assert stage.rank_limit == limit


def test_a_rollout_is_judged_where_stages_or_what_a_failure_does_are_said() -> None:
    assert not DEFAULT_POLICY.judged
    assert RolloutPolicy(stages=(WHOLE,)).judged
    assert RolloutPolicy(on_failure=OnFailure.PAUSE).judged


def test_without_stages_there_is_one_of_all_endpoints() -> None:
    assert DEFAULT_POLICY.staging == (WHOLE,)
    assert [RolloutPolicy(stages=STANDARD).stage(number).percent for number in (0, 3, 9)] == [0.5, 100, 100]


def test_the_standard_stages_grow_to_all_endpoints_and_soak_within_the_default_deadline() -> None:
    assert all(before.rank_limit < after.rank_limit for before, after in pairwise(STANDARD))
    assert STANDARD[-1].percent == 100
    assert all(stage.soak <= DEFAULT_POLICY.installing for stage in STANDARD)
    assert not any(stage.approval for stage in STANDARD)


@pytest.mark.parametrize(
    "limits",
    [Limits(per_minute=1), Limits(in_progress=1), Limits(exponential=Exponential(base=1, factor=2.0, notified=1))],
)
def test_offers_are_paced_where_a_rate_or_slots_are_limited(limits: Limits) -> None:
    assert limits.paced
    assert not UNLIMITED.paced
