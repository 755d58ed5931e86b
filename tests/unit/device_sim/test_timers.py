"""Timers come when they are due, once, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device_sim.timers import Timers


def test_what_is_due_comes_in_order_and_once() -> None:
    timers: Timers[str] = Timers()
    for key, at in (("late", 3.0), ("early", 1.0), ("same", 1.0)):
        timers.set(key, at)
    assert timers.due(0.9) == []
    assert timers.due(1.0) == ["early", "same"]
    assert timers.due(9.0) == ["late"]
    assert timers.due(9.0) == []


def test_a_timer_that_is_set_again_is_moved() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.set("a", 5.0)
    assert timers.due(4.0) == []
    assert timers.due(5.0) == ["a"]


def test_a_cancelled_timer_does_not_come() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.cancel("a")
    timers.cancel("never set")
    assert len(timers) == 0
    assert timers.due(9.0) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10) | st.none())))
def test_it_keeps_what_was_said_last(wishes: list[tuple[str, float | None]]) -> None:
    timers: Timers[str] = Timers()
    last: dict[str, float] = {}
    for key, at in wishes:
        if at is None:
            timers.cancel(key)
            last.pop(key, None)
        else:
            timers.set(key, at)
            last[key] = at
    assert len(timers) == len(last)
    assert sorted(timers.due(5.0)) == sorted(key for key, at in last.items() if at <= 5)


def test_the_next_one_is_known_whatever_was_moved_or_cancelled() -> None:
    timers: Timers[str] = Timers()
    assert timers.next_at() is None
    for key, at in (("gone", 1.0), ("moved", 2.0), ("kept", 3.0)):
        timers.set(key, at)
    timers.cancel("gone")
    timers.set("moved", 9.0)
    assert timers.next_at() == 3.0
    assert "kept" in timers
    assert "gone" not in timers
    assert timers.due(3.0) == ["kept"]
    assert timers.next_at() == 9.0
