"""The knobs of rollouts as texts: nothing is lost, and texts of a version that knew fewer are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.policies import (
    DEFAULT_POLICY,
    STANDARD,
    UNLIMITED,
    Attempts,
    Exponential,
    Limits,
    OnClose,
    OnFailure,
    RolloutPolicy,
    Stage,
    Window,
)
from orchestrator.persistence import policies

START = datetime(2026, 3, 1, 12, tzinfo=UTC)

amounts = st.integers(1, 1_000_000_000)
rates = st.floats(0, 1)
spans = st.integers(0, 10_000_000_000).map(lambda milliseconds: timedelta(milliseconds=milliseconds))
instants = st.integers(0, 4_000_000_000_000).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, 0, 0, ms))
texts = st.text(st.characters(codec="utf-8"), max_size=20)
optional_amounts = st.none() | amounts
stages = st.builds(
    Stage,
    percent=st.none() | st.floats(0, 100, exclude_min=True),
    count=optional_amounts,
    filter_id=st.none() | texts,
    soak=spans,
    soak_reports=st.integers(0, 1000),
    max_failure_rate=rates,
    min_attempted=optional_amounts,
    max_unhealthy_rate=st.none() | rates,
    approval=st.booleans(),
)
ramps = st.builds(
    Exponential,
    base=amounts,
    factor=st.floats(1, 100, exclude_min=True),
    notified=optional_amounts,
    succeeded=optional_amounts,
)
limits = st.builds(
    Limits, per_minute=optional_amounts, in_progress=optional_amounts, claim=spans, exponential=st.none() | ramps
)
windows = st.builds(
    Window, cron=texts, duration=spans, time_zone=st.none() | texts, on_close=st.sampled_from(list(OnClose))
)
whole = st.builds(
    RolloutPolicy,
    stages=st.lists(stages, max_size=3).map(tuple),
    limits=limits,
    attempts=st.builds(Attempts, max=amounts, backoff=spans, returns=amounts),
    installing=spans,
    window=st.none() | windows,
    consent=st.none() | st.booleans(),
    on_failure=st.none() | st.sampled_from(list(OnFailure)),
    end=st.none() | instants,
)


@given(whole, st.none() | instants)
def test_a_policy_comes_back_as_it_was(policy: RolloutPolicy, start: datetime | None) -> None:
    assert policies.parse(policies.build(policy, start)) == (policy, start)


@pytest.mark.parametrize("policy", [DEFAULT_POLICY, RolloutPolicy(stages=STANDARD)])
def test_a_policy_without_a_start_has_none(policy: RolloutPolicy) -> None:
    assert policies.parse(policies.build(policy, None)) == (policy, None)


def test_a_text_of_a_version_that_knew_fewer_knobs_has_the_defaults_of_the_others() -> None:
    text = '{"startMs":1772366400000,"max":5,"backoffMs":90000,"returns":7,"installingMs":7200000}'
    attempts = Attempts(max=5, backoff=timedelta(seconds=90), returns=7)
    assert policies.parse(text) == (RolloutPolicy(attempts=attempts, installing=timedelta(hours=2)), START)


def test_every_knob_of_the_domain_is_in_the_text() -> None:
    stored = orjson.loads(policies.build(RolloutPolicy(stages=(Stage(percent=1),)), START))
    assert stored["startMs"] == 1772366400000
    assert stored["stages"][0] == {
        "percent": 1,
        "count": None,
        "filterId": None,
        "soakMs": 0,
        "soakReports": 0,
        "maxFailureRate": 0.05,
        "minAttempted": None,
        "maxUnhealthyRate": None,
        "approval": False,
    }
    assert stored["limits"] == {"perMinute": None, "inProgress": None, "claimMs": 600000, "exponential": None}


@given(st.builds(Limits, per_minute=optional_amounts, in_progress=optional_amounts))
def test_the_limits_of_an_application_come_back_as_they_were(given_limits: Limits) -> None:
    assert policies.parse_limits(policies.build_limits(given_limits)) == given_limits


def test_no_limits_are_no_text() -> None:
    assert policies.build_limits(UNLIMITED) is None
    assert policies.parse_limits(None) == UNLIMITED
