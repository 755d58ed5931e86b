"""Time zones: which there are, what their clocks show, and which of them show the same.

Rules:
- A zone is known by its IANA name alone, written as the database writes it; files such as `localtime` are no zones.
- Names and rules come from the machine's zone files, and where it has none from the package tzdata. They are read
  once and then held: this module's answers do not change while the process runs.

Layer: orchestrator.domain; pure, but for zoneinfo's reading of zone files.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT = ZoneInfo("UTC")
YEARS_BEFORE = 2
YEARS_AFTER = 4
"""`kinds` compares zones from the start of the year so many years before, to the start of that so many years after."""
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_STEP = timedelta(days=28)
"""Clocks that leave an offset stay away for longer: the shortest such time is Morocco's Ramadan, five weeks."""


@lru_cache(maxsize=4096)
def find(name: str) -> ZoneInfo | None:
    """Return the zone of this name; None where there is none. Any text may be asked for."""
    return ZoneInfo(name) if name in _names() else None


@cache
def every() -> tuple[ZoneInfo, ...]:
    """Return all zones, in order of name; the first call reads several hundred files, in about 50 ms."""
    return tuple(ZoneInfo(name) for name in sorted(_names()))


@lru_cache(maxsize=4)
def kinds(year: int) -> tuple[ZoneInfo, ...]:
    """Return one zone for each way in which clocks go in the years around this one: less than a hundred.

    Every other zone shows the same as one of them, at each instant from the start of the year `YEARS_BEFORE` years
    earlier to the start of the year `YEARS_AFTER` years later.
    """
    alike = {tuple(_offsets(zone, year)): zone for zone in every()}
    return tuple(alike.values())


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a local day begins, in UTC: the first midnight, or the end of a gap that has it."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def change(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant of a local day, to the minute, at which clocks change; its begin where they do not."""
    return _change(zone, midnight(day, zone) - _MINUTE, midnight(day + _DAY, zone))


def steady(first: date, last: date, zone: ZoneInfo) -> bool:
    """Whether local time runs evenly from the first day's midnight to the last day's, at most four weeks later."""
    return datetime.combine(first, time(), zone).utcoffset() == datetime.combine(last, time(), zone).utcoffset()


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})


def _offsets(zone: ZoneInfo, year: int) -> Iterator[tuple[datetime, timedelta | None]]:
    """Yield each offset, and from when on it holds."""
    at = datetime(year - YEARS_BEFORE, 1, 1, tzinfo=UTC)
    end = datetime(year + YEARS_AFTER, 1, 1, tzinfo=UTC)
    offset = _offset(zone, at)
    yield at, offset
    while at < end:
        at += _STEP
        if (new := _offset(zone, at)) != offset:
            yield _change(zone, at - _STEP, at), new
            offset = new


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Find the first minute with the second instant's offset: clocks have changed once in between."""
    offset = _offset(zone, after)
    low, high = 0, (after - before) // _MINUTE
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, before + middle * _MINUTE) == offset:
            high = middle
        else:
            low = middle
    return before + high * _MINUTE


def _offset(zone: ZoneInfo, at: datetime) -> timedelta | None:
    return at.astimezone(zone).utcoffset()
