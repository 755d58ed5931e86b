"""Rates and slots: never more than the limit in any minute, and hardly less."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import floor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import pacing
from orchestrator.domain.pacing import Progress
from orchestrator.domain.policies import UNLIMITED, Exponential, Limits
from tests.unit.orchestrator.domain.builders import DAY, MINUTE, NOW

if TYPE_CHECKING:
    from datetime import datetime

SECOND = timedelta(seconds=1)
rates = st.integers(1, 20_000) | st.floats(1, 20_000)
pauses = st.lists(
    st.integers(0, 90_000_000).map(lambda number: timedelta(microseconds=number))
    | st.sampled_from((timedelta(), SECOND, MINUTE, MINUTE - timedelta(microseconds=1), DAY)),
    max_size=40,
)


@given(rate=rates, pauses=pauses, share=st.floats(0, 1))
def test_any_minute_has_at_most_as_many_offers_as_the_limit_says(
    rate: float, pauses: list[timedelta], share: float
) -> None:
    bucket, now = pacing.full(rate, NOW), NOW
    made: list[tuple[datetime, int]] = []
    for pause in pauses:
        now += pause
        offers = bucket.available(rate, now)
        # Mostly everything that there is, sometimes less.
        taken = offers if len(made) % 3 else floor(offers * share)
        bucket.take(taken)
        made.append((now, taken))
    for start, _ in made:
        assert sum(taken for at, taken in made if start <= at < start + MINUTE) <= rate


@given(rate=st.integers(1, 20_000), tick=st.integers(100, 1000), minutes=st.integers(1, 3))
def test_who_asks_at_least_every_second_gets_all_of_the_rate_but_a_second_of_it(
    rate: int, tick: int, minutes: int
) -> None:
    step, made = timedelta(milliseconds=tick), 0
    bucket = pacing.full(rate, NOW)
    for number in range(minutes * 60_000 // tick + 1):
        offers = bucket.available(rate, NOW + number * step)
        bucket.take(offers)
        made += offers
    spent = (minutes * 60_000 // tick) * tick / 60_000
    assert made >= floor(rate * spent * 59 / 60)


@pytest.mark.parametrize(("rate", "at_once"), [(1, 1), (59, 1), (60, 2), (600, 11), (6000, 101)])
def test_a_second_and_one_offer_may_come_at_once_however_long_nothing_was_offered(rate: int, at_once: int) -> None:
    bucket = pacing.full(rate, NOW)
    assert bucket.available(rate, NOW) == at_once
    assert bucket.available(rate, NOW + DAY) == at_once


def test_offers_of_a_slow_rate_come_one_by_one() -> None:
    bucket = pacing.full(6, NOW)
    offered = []
    for second in range(61):
        if bucket.available(6, NOW + second * SECOND):
            bucket.take(1)
            offered.append(second)
    assert offered == [0, 10, 20, 30, 40, 50, 60]


def test_time_that_goes_back_fills_nothing() -> None:
    bucket = pacing.full(1, NOW)
    bucket.take(1)
    assert bucket.available(1, NOW - DAY) == 0
    assert bucket.available(1, NOW + 2 * SECOND) == 0


def test_a_rate_may_be_changed_while_it_is_used() -> None:
    bucket = pacing.full(6000, NOW)
    assert bucket.available(60, NOW) == 2
    bucket.take(2)
    assert bucket.available(6000, NOW + SECOND) >= 98


def test_without_limits_there_is_any_number() -> None:
    assert pacing.rate(UNLIMITED, Progress()) is None
    assert pacing.slots(UNLIMITED, Progress(in_progress=10**9)) is None


@pytest.mark.parametrize(("held", "free"), [(0, 5), (4, 1), (5, 0), (9, 0)])
def test_slots_that_are_not_held_are_free(held: int, free: int) -> None:
    assert pacing.slots(Limits(in_progress=5), Progress(in_progress=held)) == free


BY_NOTIFIED = Exponential(base=10, factor=2.5, notified=100)
BY_SUCCEEDED = Exponential(base=10, factor=2.0, succeeded=50)


@pytest.mark.parametrize(
    ("exponential", "progress", "rate"),
    [
        (BY_NOTIFIED, Progress(), 10),
        (BY_NOTIFIED, Progress(notified=99, succeeded=99), 10),
        (BY_NOTIFIED, Progress(notified=100), 25),
        (BY_NOTIFIED, Progress(notified=250), 62.5),
        (BY_SUCCEEDED, Progress(notified=999, succeeded=49), 10),
        (BY_SUCCEEDED, Progress(notified=999, succeeded=50), 20),
        (BY_SUCCEEDED, Progress(notified=999, succeeded=200), 160),
    ],
)
def test_an_exponential_rate_grows_with_what_has_been_done(
    exponential: Exponential, progress: Progress, rate: float
) -> None:
    assert pacing.rate(Limits(exponential=exponential), progress) == rate


def test_the_smaller_of_two_rates_counts() -> None:
    both = Limits(per_minute=40, exponential=BY_NOTIFIED)
    assert pacing.rate(both, Progress()) == 10
    assert pacing.rate(both, Progress(notified=1000)) == 40


def test_a_rate_grows_without_bounds_and_stays_a_number() -> None:
    greatest = replace(BY_NOTIFIED, factor=100.0, notified=1)
    rate = pacing.rate(Limits(exponential=greatest), Progress(notified=10**12))
    assert rate == pacing.rate(Limits(exponential=greatest), Progress(notified=64))
    assert rate is not None
    assert pacing.full(rate, NOW).available(rate, NOW) > 10**9


@given(rate=st.integers(1, 20_000), seconds=st.integers(2, 600), asks=st.integers(1, 30))
def test_who_asks_less_often_gets_the_rate_all_the_same(rate: int, seconds: int, asks: int) -> None:
    bucket, made = pacing.full(rate, NOW, seconds), []
    for number in range(asks + 1):
        offers = bucket.available(rate, NOW + number * seconds * SECOND)
        bucket.take(offers)
        made.append(offers)
    spent = asks * seconds / 60
    assert floor(rate * spent * 59 / 60) <= sum(made) <= rate * spent + rate / 60 + 1
    # It is not saved up for longer than that.
    assert bucket.available(rate, NOW + DAY) <= rate * seconds / 60 + 1
