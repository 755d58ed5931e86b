"""Cron expressions of five fields: the days and the times of day that they name, and the instants that these are.

Rules:
- Minute, hour, day of the month, month, day of the week, as Debian's cron reads them: a day has to fit both day
  fields where one of them begins with `*`, and one of the two elsewhere. `L`, `LW`, `5L` and `5#2` are known.
- Where clocks are set forward or back, an expression whose minute or hour begins with `*` goes by the clock: a time
  that is skipped does not come, one that is shown twice comes twice. Any other expression comes once for each day
  and time that it names: at the end of the gap where that is skipped, the first time where it is shown twice.

Spec: Debian's cron(8), "local time changes"; cronsim reads the fields and knows the days. Its own steps through local
time are not used: what they find depends on where they began, on days on which clocks change by half an hour, or at
midnight.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from orchestrator.domain import zones

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

MAX_CHARS = 256
_DAY = timedelta(days=1)
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_RARE = 366 * 50
"""Days in which whatever comes at all has come: a 29th of February on a given day of the week takes up to 40 years."""
_CYCLE = 366 * 4
"""Days after which an expression that has missed none will not miss any."""
_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L or LW",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT, where 0 and 7 are Sunday",
}
_SHAPE = "minute, hour, day of the month, month, day of the week and no seconds, such as '0 1 * * 1-5'"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cron:
    """A cron expression; make it with `parse`."""

    times: tuple[timedelta, ...]
    """When it comes on a day that it names, after midnight; at least one, in order."""
    months: frozenset[int]
    matches: Callable[[date], bool]
    """Whether the day fits both day fields, or one, by cron's rule; months aside."""
    exact: bool
    """Whether neither minute nor hour begins with `*`."""
    daily: bool
    """Whether it names every day there is."""

    def names(self, day: date) -> bool:
        """Whether it comes on this day."""
        return day.month in self.months and self.matches(day)


@lru_cache(maxsize=1024)
def parse(text: str) -> Cron:
    """Parse strictly; equal texts give the same object, as long as the bounded cache has it.

    Raises:
        ValueError: It has not five fields, one cannot be read, or it names no day that exists; with a sentence that
            says so and how to mend it.
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"the cron expression is longer than {MAX_CHARS} characters: write {_SHAPE}")
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"the cron expression {text!r} needs five fields and has {len(fields)}: write {_SHAPE}")
    found = _read(text, fields)
    months = frozenset(found.months)
    cron = Cron(
        times=tuple(timedelta(hours=h, minutes=m) for h in sorted(found.hours) for m in sorted(found.minutes)),
        months=months,
        matches=found.match_day,
        exact=not fields[0].startswith("*") and not fields[1].startswith("*"),
        daily=all(day.month in months and found.match_day(day) for day in _days(_CYCLE)),
    )
    if not any(cron.names(day) for day in _days(_RARE)):
        raise ValueError(_never(fields))
    return cron


@lru_cache(maxsize=16384)
def day_from(cron: Cron, first: date) -> date | None:
    """Return the first day that the expression names, from this one on; None in none of the next fifty years."""
    day = first
    for _ in range(_RARE):
        if cron.names(day):
            return day
        day += _DAY
    return None


@lru_cache(maxsize=16384)
def day_until(cron: Cron, last: date, days: int) -> date | None:
    """Return the last day that the expression names, up to this one; None where there is none among so many days."""
    day = last
    for _ in range(days):
        if cron.names(day):
            return day
        day -= _DAY
    return None


def instants(cron: Cron, day: date, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return when an expression comes that names this local day: instants in UTC, in order; two may be the same.

    There may be none, where all times were skipped.
    """
    change = zones.change(day, zone)
    old = zones.midnight(day, zone)
    new = zones.midnight(day + _DAY, zone) - _DAY
    # Times below the first number are shown before the change, those from the second number on after it.
    before, after = bisect_left(cron.times, change - old), bisect_left(cron.times, change - new)
    skipped = [change] if cron.exact and before < after else []
    once = max(before, after) if cron.exact else after
    return (*(old + span for span in cron.times[:before]), *skipped, *(new + span for span in cron.times[once:]))


def _read(text: str, fields: list[str]) -> CronSim:
    try:
        return CronSim(text, _ANY_DAY)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        place = list(_FIELDS).index(name)
        if name == "day-of-month" and _readable(fields[2]):
            raise ValueError(_never(fields)) from error
        raise ValueError(
            f"the {name.replace('-', ' ')} {fields[place]!r} of the cron expression {text!r} cannot be read: write *, "
            f"{_FIELDS[name]}, a list (1,3), a rising range (1-5) or a step (*/2)"
        ) from error


def _readable(day_of_month: str) -> bool:
    try:
        CronSim(f"* * {day_of_month} * *", _ANY_DAY)
    except CronSimError:
        return False
    return True


def _never(fields: list[str]) -> str:
    return (
        f"the window never opens: no day is at once day {fields[2]!r} of month {fields[3]!r} and day "
        f"{fields[4]!r} of the week: choose days that the months have"
    )


def _days(number: int) -> map[date]:
    start = _ANY_DAY.date().toordinal()
    return map(date.fromordinal, range(start, start + number))
