"""Software definitions: what stops them, and when they open."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain.policies import DEFAULT_POLICY, RolloutPolicy, Stage
from orchestrator.domain.software import Strategy
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
