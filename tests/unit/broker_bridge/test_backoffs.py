from __future__ import annotations

from datetime import timedelta

import pytest

from broker_bridge.backoffs import Backoff

BACKOFF = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=5), steady=timedelta(seconds=10))


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 5), (10_000, 5)])
def test_the_span_doubles_up_to_the_longest(failures: int, seconds: int) -> None:
    assert BACKOFF.wait(failures, 1.0) == timedelta(seconds=seconds)


def test_the_wait_is_any_share_of_the_span() -> None:
    assert BACKOFF.wait(4, 0.0) == timedelta()
    assert BACKOFF.wait(4, 0.5) == timedelta(seconds=2.5)


@pytest.mark.parametrize(("fraction", "seconds"), [(0.0, 2.5), (1.0, 5.0)])
def test_a_cause_that_needs_a_person_waits_at_the_slow_end(fraction: float, seconds: float) -> None:
    assert BACKOFF.wait(1, fraction, slow=True) == timedelta(seconds=seconds)


def test_a_connection_that_held_forgives_earlier_failures() -> None:
    assert BACKOFF.failures_after(7, timedelta(seconds=9)) == 8
    assert BACKOFF.failures_after(7, timedelta(seconds=10)) == 1


def test_the_shipped_cap_is_five_seconds() -> None:
    assert Backoff().wait(99, 1.0) == Backoff().wait(1, 1.0, slow=True) == timedelta(seconds=5)
