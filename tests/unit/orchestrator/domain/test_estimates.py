"""Lower bounds of the time that a rollout takes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.domain import estimates
from orchestrator.domain.policies import UNLIMITED, Exponential, Limits, RolloutPolicy, Stage, Window
from tests.unit.orchestrator.domain.builders import DAY, HOUR, MINUTE, NOW

CANARY = (Stage(percent=1, soak=HOUR, min_attempted=10), Stage(percent=100, soak=2 * HOUR))
"""Ten endpoints are enough for the first stage."""
NONE = timedelta()


def shortest(
    policy: RolloutPolicy, *sizes: int, shared: Limits = UNLIMITED, present: int = 0, done: int = 0
) -> timedelta | None:
    return estimates.shortest(policy, shared, sizes, present=present, done=done, start=NOW)


def test_without_rate_soak_and_window_nothing_takes_time() -> None:
    assert shortest(RolloutPolicy(), 100) is None
    assert shortest(RolloutPolicy(stages=(Stage(percent=10), Stage(percent=100))), 10, 90) is None
    assert shortest(RolloutPolicy(limits=Limits(in_progress=5)), 100) is None


def test_nobody_takes_no_time() -> None:
    assert shortest(RolloutPolicy(stages=CANARY), 0, 0) is None


def test_soaks_add_up() -> None:
    assert shortest(RolloutPolicy(stages=CANARY), 10, 990) == 3 * HOUR


def test_a_stage_without_endpoints_does_not_soak() -> None:
    assert shortest(RolloutPolicy(stages=CANARY), 0, 990) == 2 * HOUR
    assert shortest(RolloutPolicy(stages=CANARY), 10, 0) == HOUR


def test_a_rollout_that_has_come_further_does_not_soak_again() -> None:
    assert shortest(RolloutPolicy(stages=CANARY), 10, 990, present=1) == 2 * HOUR


def test_offers_take_their_time_but_the_first() -> None:
    assert shortest(RolloutPolicy(limits=Limits(per_minute=1)), 31) == 30 * MINUTE
    assert shortest(RolloutPolicy(limits=Limits(per_minute=600)), 6010) == 10 * MINUTE


def test_the_lower_of_two_rates_counts() -> None:
    slow, fast = Limits(per_minute=1), Limits(per_minute=2)
    assert shortest(RolloutPolicy(limits=fast), 31, shared=slow) == 30 * MINUTE
    assert shortest(RolloutPolicy(limits=slow), 31, shared=fast) == 30 * MINUTE


def test_a_stage_waits_for_as_many_as_it_needs_and_the_last_one_for_all() -> None:
    paced = RolloutPolicy(stages=CANARY, limits=Limits(per_minute=1))
    # Nine minutes until ten are offered it, their soak, and 61 for the last stage, which then soaks.
    assert shortest(paced, 30, 62) == 9 * MINUTE + HOUR + 61 * MINUTE + 2 * HOUR
    # The rate, not the soak of the first stage, decides where many are left over.
    assert shortest(paced, 500, 1) == 500 * MINUTE + 2 * HOUR


def test_a_rate_that_grows_is_followed() -> None:
    growing = RolloutPolicy(limits=Limits(exponential=Exponential(base=1, factor=2, notified=10)))
    # Ten at one a minute, but the first, ten at two, five at four.
    assert shortest(growing, 25) == 9 * MINUTE + 5 * MINUTE + 1.25 * MINUTE
    assert shortest(growing, 5, done=20) == MINUTE
    steady = RolloutPolicy(limits=Limits(per_minute=2, exponential=Exponential(base=1, factor=2, succeeded=10)))
    assert shortest(steady, 30) == 9 * MINUTE + 5 * MINUTE + 5 * MINUTE


def test_growth_without_end_comes_to_an_end() -> None:
    growing = RolloutPolicy(limits=Limits(exponential=Exponential(base=1, factor=100.0, notified=1)))
    found = shortest(growing, 10_000_000)
    assert found is not None
    assert found < MINUTE


@pytest.mark.parametrize(
    ("window", "offers", "expected"),
    [
        (Window(cron="0 11 * * *", duration=2 * HOUR), 31, 30 * MINUTE),
        (Window(cron="0 13 * * *", duration=2 * HOUR), 31, HOUR + 30 * MINUTE),
        (Window(cron="0 11 * * *", duration=2 * HOUR), 91, DAY + -HOUR + 30 * MINUTE),
        (Window(cron="0 11 * * *", duration=2 * HOUR, time_zone=None), 91, 90 * MINUTE),
        (Window(cron="* * * * *", duration=HOUR), 91, 90 * MINUTE),
    ],
)
def test_offers_are_made_while_the_window_is_open(window: Window, offers: int, expected: timedelta) -> None:
    policy = RolloutPolicy(limits=Limits(per_minute=1), window=window)
    assert shortest(policy, offers) == expected


def test_a_window_alone_is_waited_for() -> None:
    assert shortest(RolloutPolicy(window=Window(cron="0 13 * * *", duration=HOUR)), 5) == HOUR
    assert shortest(RolloutPolicy(window=Window(cron="0 11 * * *", duration=2 * HOUR)), 5) == NONE


def test_soaks_go_on_while_the_window_is_closed() -> None:
    stages = (Stage(percent=1, soak=3 * HOUR, min_attempted=1), Stage(percent=100))
    policy = RolloutPolicy(stages=stages, window=Window(cron="0 11,14 * * *", duration=2 * HOUR))
    assert shortest(policy, 1, 9) == 3 * HOUR


def test_very_many_openings_are_not_followed_to_the_end() -> None:
    policy = RolloutPolicy(limits=Limits(per_minute=1), window=Window(cron="0 0 * * *", duration=MINUTE))
    found = shortest(policy, 100_000)
    assert found is not None
    assert 500 * DAY < found < 600 * DAY


def test_all_moves_together_keep_to_the_limits_of_the_application() -> None:
    assert estimates.moving(Limits(per_minute=10), 601) == 60 * MINUTE
    assert estimates.moving(Limits(per_minute=10), 0) is None
    assert estimates.moving(UNLIMITED, 601) is None
