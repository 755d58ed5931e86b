from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.application.clocks import JUMP, SUSPENSION, SteadyClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@dataclass
class Machine:
    """The two clocks of a machine."""

    wall_at: datetime = NOON
    ticks: float = 1000.0

    def wall(self) -> datetime:
        return self.wall_at

    def monotonic(self) -> float:
        return self.ticks

    def pass_time(self, span: timedelta) -> None:
        """Let time go by, as it should."""
        self.wall_at += span
        self.ticks += span.total_seconds()

    def watch(self, clock: SteadyClock, span: timedelta) -> None:
        """The same, while somebody looks at the clock, as the service does."""
        while span > MINUTE:
            self.pass_time(MINUTE)
            clock.now()
            span -= MINUTE
        self.pass_time(span)

    def clock(self, floor: datetime | None = None) -> SteadyClock:
        return SteadyClock(self.wall, self.monotonic, floor=floor)


def test_time_is_the_wall_clocks() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now() == NOON
    machine.watch(clock, 90 * MINUTE)
    assert clock.now() == NOON + 90 * MINUTE
    assert not clock.suspension()


def test_time_never_goes_back_and_goes_on_while_the_wall_clock_is_behind() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now() == NOON
    machine.wall_at -= MINUTE
    machine.pass_time(SECOND)
    assert clock.now() == NOON + SECOND
    machine.pass_time(SECOND)
    assert clock.now() == NOON + 2 * SECOND
    machine.wall_at += 2 * MINUTE
    assert clock.now() == machine.wall_at
    assert not clock.suspension()


@pytest.mark.parametrize("by", [JUMP + SECOND, -JUMP - SECOND])
def test_a_jump_either_way_suspends_deadlines_for_an_hour(by: timedelta) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_at += by
    before = clock.now()
    assert before >= NOON
    assert clock.suspension()
    assert clock.suspension() == SUSPENSION
    machine.watch(clock, SUSPENSION - SECOND)
    assert clock.suspension() == SECOND
    machine.pass_time(SECOND)
    assert not clock.suspension()
    assert clock.now() > before


@pytest.mark.parametrize("by", [JUMP, -JUMP])
def test_a_small_step_of_the_wall_clock_is_no_jump(by: timedelta) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_at += by
    assert not clock.suspension()


def test_a_sleep_in_which_the_monotonic_clock_stood_still_is_a_jump() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_at += timedelta(hours=8)
    assert clock.suspension()
    assert clock.now() == NOON + timedelta(hours=8)


def test_a_sleep_in_which_both_clocks_went_on_is_a_jump() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(timedelta(days=1))
    assert clock.suspension()
    assert clock.now() == NOON + timedelta(days=1)
    machine.watch(clock, SUSPENSION)
    assert not clock.suspension()


@pytest.mark.parametrize("by", [JUMP, JUMP - SECOND])
def test_a_service_that_is_only_slow_was_not_asleep(by: timedelta) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(by)
    assert not clock.suspension()


def test_jumps_back_and_forth_never_take_time_back_and_each_begins_the_hour_anew() -> None:
    machine = Machine()
    clock = machine.clock()
    told = [clock.now()]
    for by in (timedelta(days=1), timedelta(days=-2), timedelta(days=400), timedelta(days=-400)):
        machine.wall_at += by
        machine.pass_time(SECOND)
        told.append(clock.now())
        assert clock.suspension()
        machine.watch(clock, SUSPENSION - SECOND)
        assert clock.suspension()
        told.append(clock.now())
    assert told == sorted(told)
    machine.watch(clock, SECOND)
    assert not clock.suspension()


def test_a_new_run_does_not_start_before_the_last_one_ended() -> None:
    machine = Machine()
    clock = machine.clock(floor=NOON + MINUTE)
    assert clock.now() == NOON + MINUTE
    machine.pass_time(SECOND)
    assert clock.now() == NOON + MINUTE + SECOND
    assert not clock.suspension()


def test_a_run_that_starts_far_before_the_last_one_ended_suspends_deadlines() -> None:
    clock = Machine().clock(floor=NOON + timedelta(days=1))
    assert clock.suspension()
    assert clock.now() == NOON + timedelta(days=1)


def test_a_run_that_starts_long_after_the_last_one_is_no_jump() -> None:
    clock = Machine().clock(floor=NOON - timedelta(days=1))
    assert clock.now() == NOON
    assert not clock.suspension()
