from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from bench.chaos import faults
from bench.chaos.faults import LONG_SECONDS, Kind
from tests import databases

HOURS = 3 * 3600.0


@pytest.mark.parametrize("postgresql", [False, True])
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_long_run_has_about_as_much_of_each_kind_and_the_same_of_one_seed(
    postgresql: bool,
    replicas: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(databases, "ON_POSTGRESQL", postgresql)
    drawn = list(faults.draw(7, HOURS, replicas))
    assert drawn == list(faults.draw(7, HOURS, replicas))
    times = Counter(fault.kind for fault in drawn)
    assert max(times.values()) - min(times.values()) <= 1
    assert (Kind.KILL_SERVER in times) is (postgresql and replicas == 1)
    assert (Kind.FULL_DISK in times) is not postgresql
    assert (Kind.CUT_OFF in times) is (replicas > 1)


def test_one_follows_the_other_within_the_run() -> None:
    drawn = list(faults.draw(7, HOURS))
    assert all(fault.at + fault.seconds <= after.at for fault, after in pairwise(drawn))
    assert drawn[-1].at + drawn[-1].seconds <= HOURS


def test_a_broker_is_stopped_for_long_rarely_and_never_longer_than_the_run() -> None:
    stops = [fault for fault in faults.draw(7, HOURS) if fault.kind is Kind.STOP_BROKER]
    long = [fault for fault in stops if fault.seconds >= LONG_SECONDS[0]]
    assert 0 < len(long) < len(stops) / 2
    assert all(fault.seconds <= LONG_SECONDS[1] for fault in long)
    for seed in range(50):
        drawn = list(faults.draw(seed, LONG_SECONDS[0]))
        assert all(fault.seconds <= 6 for fault in drawn)
        # It goes on with others in the place of a long stop: what comes next ends behind the run.
        assert drawn[-1].at + drawn[-1].seconds + 14 + 6 > LONG_SECONDS[0]
