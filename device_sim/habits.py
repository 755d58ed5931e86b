"""When a device can be reached: always, by day, now and then, for minutes every few hours, or never.

Rules:
- Instants are seconds since some 9:00 in the morning, whole where windows begin and end. Nothing is rounded, so that a
  device is reachable at the very instant at which it is said to come back.

Layer: device_sim; pure: chance comes in as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MORNING = 9 * HOUR
"""The time of day from which instants are counted."""
USUAL = "steady=58%,nightly=10%,roaming=18%,sleeping=10%,stored=4%"
"""A fleet of which 10-30 % are offline at any time, sleepers not counted."""


class Habit(StrEnum):
    """When a device can be reached."""

    STEADY = "steady"
    """Always."""
    NIGHTLY = "nightly"
    """It is offline overnight."""
    ROAMING = "roaming"
    """It is offline for hours to days, then online for hours."""
    SLEEPING = "sleeping"
    """It wakes for minutes every few hours."""
    STORED = "stored"
    """Never, as long as anybody looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """A habit in time."""

    period: int
    """At least 1."""
    awake: int
    """From the beginning of each period on it is reachable for so long; the whole period: always; 0: never."""
    phase: int
    """How far it is in its period at 0."""

    def reachable_at(self, at: float) -> bool:
        """Whether a message would get through at once."""
        return (at + self.phase) % self.period < self.awake

    def next_reachable(self, at: float) -> float | None:
        """The first instant from `at` on at which it is reachable; None: there is none."""
        if not self.awake:
            return None
        position = (at + self.phase) % self.period
        return at if position < self.awake else at + self.period - position


_ALWAYS = Rhythm(period=1, awake=1, phase=0)
_NEVER = Rhythm(period=1, awake=0, phase=0)


def rhythm(habit: Habit, first: float, second: float, third: float) -> Rhythm:
    """The rhythm of a device with this habit, by three numbers from 0 to below 1."""
    match habit:
        case Habit.NIGHTLY:
            # from between 6:00 and 9:00 until between 18:00 and 24:00
            since = between(0, 3 * HOUR, first)
            return Rhythm(period=DAY, awake=since + between(9 * HOUR, 15 * HOUR, second), phase=since)
        case Habit.ROAMING:
            awake = between(4 * HOUR, 30 * HOUR, first)
            period = awake + int(8 * HOUR * 15**second)
            return Rhythm(period=period, awake=awake, phase=between(0, period, third))
        case Habit.SLEEPING:
            period = between(2 * HOUR, 8 * HOUR, first)
            awake = between(2 * MINUTE, 10 * MINUTE, second)
            return Rhythm(period=period, awake=awake, phase=between(0, period, third))
        case Habit.STORED:
            return _NEVER
        case Habit.STEADY:
            return _ALWAYS


def between(least: int, most: int, drawn: float) -> int:
    """A whole number from `least` on and below `most`, by a number from 0 to below 1."""
    return least + int((most - least) * drawn)
