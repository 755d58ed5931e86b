"""When devices can be reached."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim import habits, mixes
from device_sim.habits import DAY, HOUR, MINUTE, Habit, Rhythm, rhythm

shares = st.floats(0, 1, exclude_max=True)
rhythms = st.builds(rhythm, st.sampled_from(Habit), shares, shares, shares)


@given(rhythm=rhythms, at=st.integers(0, 14 * DAY))
def test_a_device_is_reachable_when_it_is_said_to_be_and_not_before(rhythm: Rhythm, at: int) -> None:
    there = rhythm.next_reachable(at)
    if there is None:
        assert not rhythm.awake
        return
    assert there >= at
    assert rhythm.reachable_at(there)
    assert (there == at) == rhythm.reachable_at(at)
    assert not any(rhythm.reachable_at(moment) for moment in range(at, int(there), 7 * MINUTE))


@given(rhythm=rhythms)
def test_a_rhythm_is_possible(rhythm: Rhythm) -> None:
    assert rhythm.period >= 1
    assert 0 <= rhythm.awake <= rhythm.period


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.999])
def test_who_is_offline_overnight_is_online_by_day(drawn: float) -> None:
    nightly = rhythm(Habit.NIGHTLY, drawn, drawn, drawn)
    # From 9:00, which is 0.
    assert nightly.reachable_at(0)
    assert nightly.reachable_at(8 * HOUR)
    assert not nightly.reachable_at(16 * HOUR)
    assert nightly.reachable_at(DAY)


def test_the_steady_are_always_there_and_the_stored_never() -> None:
    moments = range(0, DAY, HOUR)
    assert all(rhythm(Habit.STEADY, 0.5, 0.5, 0.5).reachable_at(at) for at in moments)
    assert rhythm(Habit.STORED, 0.5, 0.5, 0.5).next_reachable(0) is None


def test_a_sleeper_wakes_for_minutes_every_few_hours() -> None:
    sleeper = rhythm(Habit.SLEEPING, 0.5, 0.5, 0.5)
    wakes: list[float] = []
    at: float = 0
    while at < DAY:
        there = sleeper.next_reachable(at)
        assert there is not None
        wakes.append(there)
        at = there + sleeper.awake
    assert all(later - earlier == 5 * HOUR for earlier, later in pairwise(wakes[1:]))
    assert sleeper.awake == 6 * MINUTE


def test_the_usual_mix_is_for_every_device() -> None:
    assert sum(mixes.parse(habits.USUAL).counts(1000).values()) == 1000
