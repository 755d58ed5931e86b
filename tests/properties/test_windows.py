"""A window is what a clock that is looked at minute by minute makes of it."""

from __future__ import annotations

import calendar
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from orchestrator.domain import windows, zones
from orchestrator.domain.policies import Window
from orchestrator.domain.windows import WindowError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 24 * 365 * 3
EIGHT_YEARS = 8 * 365 * 86_400
AHEAD = 2 * DAY
"""How far the clock is watched."""
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/Nuuk",
    "America/Santiago",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Pacific/Chatham",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The oracle: it knows nothing but what clocks show, and compares field by field."""

    cron: str
    zone: ZoneInfo

    def openings(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """Yield the minutes at which the window opens, one by one."""
        exact = not any(field.startswith("*") for field in self.cron.split()[:2])
        before = self.shown(first - MINUTE)
        at = first
        while at <= last:
            now = self.shown(at)
            if exact:
                again = at.astimezone(self.zone).fold == 1
                opens = (self.fits(now) and not again) or any(map(self.fits, skips(before, now)))
            else:
                opens = self.fits(now)
            if opens:
                yield at
            before, at = now, at + MINUTE

    def shown(self, at: datetime) -> datetime:
        return at.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def fits(self, wall: datetime) -> bool:
        minute, hour, day, month, weekday = self.cron.split()
        if wall.minute not in numbers(minute, 0, 59) or wall.hour not in numbers(hour, 0, 23):
            return False
        if wall.month not in numbers(month, 1, 12):
            return False
        by_day = wall.day in days(day, wall.year, wall.month)
        by_weekday = wall.isoweekday() % 7 in {number % 7 for number in numbers(weekday, 0, 7)}
        both = day.startswith("*") or weekday.startswith("*")
        return (by_day and by_weekday) if both else (by_day or by_weekday)


def skips(before: datetime, now: datetime) -> list[datetime]:
    return [before + n * MINUTE for n in range(1, (now - before) // MINUTE)]


@cache
def numbers(field: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(found)


def days(field: str, year: int, month: int) -> frozenset[int]:
    return frozenset({calendar.monthrange(year, month)[1]}) if field == "L" else numbers(field, 1, 31)


@cache
def clock_changes(name: str) -> tuple[datetime, ...]:
    zone = ZoneInfo(name)
    hours = [BEGIN + n * HOUR for n in range(HOURS)]
    changes = [
        after
        for before, after in pairwise(hours)
        if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset()
    ]
    return tuple(changes) or (BEGIN,)


crons = st.builds(
    lambda *fields: " ".join(fields),
    st.sampled_from(["*", "*/7", "*/20", "0", "30", "5,35", "10-20", "59"]),
    st.sampled_from(["*", "*/2", "*/5", "0", "1", "2", "3", "0-4", "23", "0,12"]),
    st.sampled_from(["*", "*", "*", "*/2", "1", "24-31", "L"]),
    st.sampled_from(["*", "*", "*", "3,10", "2-4,9-11"]),
    st.sampled_from(["*", "*", "*", "0", "7", "1-5", "4,5,6"]),
)
durations = st.sampled_from(
    [SECOND, 30 * SECOND, MINUTE, 7 * MINUTE, 90 * SECOND, 20 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, DAY, 2 * DAY]
) | st.timedeltas(MICROSECOND, 3 * DAY)
names = st.sampled_from(ZONES)
near_a_change = st.builds(
    lambda name, which, distance: (name, clock_changes(name)[which % len(clock_changes(name))] + distance),
    names,
    st.integers(0, 100),
    st.timedeltas(-30 * HOUR, 30 * HOUR),
)
anywhere = st.tuples(names, st.integers(0, EIGHT_YEARS).map(lambda seconds: BEGIN + timedelta(seconds=seconds)))


@settings(deadline=None)
@given(crons, durations, near_a_change | anywhere)
@example("10 */2 * * *", 2 * HOUR, ("Africa/Cairo", datetime(2027, 4, 29, 20, tzinfo=UTC)))
@example("0 */5 * * *", 4 * HOUR, ("Africa/Cairo", datetime(2027, 4, 28, 20, tzinfo=UTC)))
@example("0 0 * * *", DAY, ("Europe/Berlin", datetime(2027, 10, 31, 12, tzinfo=UTC)))
def test_a_window_is_open_when_the_clock_says_so_and_changes_when_it_says(
    cron: str, duration: timedelta, place: tuple[str, datetime]
) -> None:
    name, at = place
    end = at + AHEAD
    minute = (at - duration).replace(second=0, microsecond=0)
    starts = list(Clock(cron=cron, zone=ZoneInfo(name)).openings(minute, end))

    def is_open(moment: datetime) -> bool:
        number = bisect_right(starts, moment)
        return number > 0 and moment < starts[number - 1] + duration

    opening = windows.state(Window(cron=cron, duration=duration, time_zone=name), at, None)
    event(f"{'open' if opening.open else 'shut'}, {'changes' if opening.until and opening.until <= end else 'stays'}")
    assert opening.open == is_open(at)
    assert opening.until is None or opening.until > at
    steady_until = min(opening.until or end, end)
    for moment in (*starts, *(start + duration for start in starts)):
        if at < moment < steady_until:
            assert is_open(moment) == opening.open
    if opening.until is not None and opening.until <= end:
        assert is_open(opening.until) != opening.open
        assert is_open(opening.until - MICROSECOND) == opening.open


@settings(deadline=None, max_examples=15)
@given(crons, durations | st.timedeltas(DAY, 366 * DAY), anywhere)
def test_the_next_change_anywhere_is_the_first_of_all_zones(
    cron: str, duration: timedelta, place: tuple[str, datetime]
) -> None:
    _, at = place
    window = Window(cron=cron, duration=duration, time_zone=None)
    untils = (windows.state(window, at, zone.key).until for zone in zones.every())
    assert windows.next_change(window, at) == min((until for until in untils if until is not None), default=None)


@given(st.text(alphabet="0123456789*/-,LW#SUNJAN \t²١", max_size=20) | st.text(max_size=300))
def test_any_text_is_a_cron_expression_or_refused_by_a_sentence(text: str) -> None:
    try:
        windows.check(Window(cron=text, duration=HOUR))
    except WindowError as error:
        field = error.field
    else:
        field = "cron"
    assert field == "cron"


@given(st.text() | st.sampled_from(["Europe", "../UTC", "UTC/", "/UTC", "right/UTC", "zone.tab", "tzdata.zi"]))
def test_any_text_is_a_time_zone_or_none(text: str) -> None:
    assert zones.find(text) is None or text in {zone.key for zone in zones.every()}
