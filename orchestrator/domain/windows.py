"""When a window is open, and when that changes next.

Rules:
- A window opens at each instant of its cron expression, in local time, and closes its duration later. The duration is
  elapsed time, not local time: a window of four hours is open for four hours, whatever clocks do meanwhile. What local
  times that are skipped or shown twice mean is in `crons`.
- It is open from the instant at which it opens, and closed from that at which it closes. Openings that overlap or
  touch are one: it closes when the last of them ends.
- The endpoint's own zone counts only where the window names none; where that is unknown, it is UTC.
- A window that stays open beyond `HORIZON` is said never to close.
- Towards the end of the calendar, from `LATEST` on, windows are said to be closed for good.

Layer: orchestrator.domain; pure, but for the zone files that `zones` reads.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.domain import crons, zones
from orchestrator.domain.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    from orchestrator.domain.crons import Cron
    from orchestrator.domain.policies import Window

MAX_DURATION = timedelta(days=366)
HORIZON = timedelta(days=800)
"""From the day of an opening on: at least 400 days from any instant at which the window is still open by it."""
LATEST = datetime(9900, 1, 1, tzinfo=UTC)
"""Far enough from the last day that there is for whatever is looked for from here on."""
MAX_ZONE_CHARS = 64
_DAY = timedelta(days=1)
_ZONES_APART = timedelta(days=2)
"""More than any zone is ahead of UTC or behind it, whatever its clocks do."""
_WEEK = timedelta(days=7)
_LOOK_BACK = MAX_DURATION.days + 2


class WindowError(DomainError):
    """A window can never be open, or cannot be understood; the sentence says how to mend it."""

    code = "window-invalid"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        """`cron`, `duration` or `timeZone`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Whether a window is open at an instant, and until when that stays so."""

    open: bool
    until: datetime | None
    """The next instant at which it changes, in UTC, later than the one asked for; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spans:
    """Times that neither overlap nor touch, in order."""

    opens: Sequence[timedelta]
    closes: Sequence[timedelta]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """A window without its zone."""

    cron: Cron
    duration: timedelta
    usual: _Spans
    """Those that begin on a day on which clocks run evenly, from its midnight on."""
    seamless: bool
    """Whether it stays open while clocks run evenly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """The spans that begin on one local day."""

    begin: datetime
    spans: _Spans
    """From `begin` on; on most days those of the plan, as there may be a thousand."""

    @property
    def last(self) -> int:
        """The number of the last span, from 0; -1 where there is none."""
        return len(self.spans.opens) - 1

    def begun(self, at: datetime) -> int:
        """Return the number of the last span that has begun by an instant; -1 where none has."""
        return bisect_right(self.spans.opens, at - self.begin) - 1

    def opening(self, number: int) -> datetime:
        """Return when a span begins."""
        return self.begin + self.spans.opens[number]

    def closing(self, number: int) -> datetime:
        """Return when a span ends, should none of another day go on from there."""
        return self.begin + self.spans.closes[number]


def check(window: Window) -> None:
    """Accept a window that the other functions can be asked about; one that is always open is among them.

    Raises:
        WindowError: Its cron expression has not five fields, cannot be read or names no day that exists; its duration
            is not above zero and at most `MAX_DURATION`; or no time zone has its name.
    """
    _plan(window.cron, window.duration)
    _zone(window, None)


def state(window: Window, at: datetime, zone: str | None) -> Opening:
    """Tell whether a window is open at an instant, for an endpoint whose own time zone has this name.

    Raises:
        WindowError: The window is one that `check` refuses.
    """
    return _state(_plan(window.cron, window.duration), at, _zone(window, zone))


def next_change(window: Window, after: datetime) -> datetime | None:
    """Return the next instant at which a window opens or closes, in UTC; None: never.

    A window in the endpoints' own zones has the changes of every zone there is. About 0.5 ms then; 0.1 s once a year.

    Raises:
        WindowError: The window is one that `check` refuses.
    """
    if window.time_zone is not None:
        return state(window, after, None).until
    plan = _plan(window.cron, window.duration)
    first = _first_of_hour(plan, after.replace(minute=0, second=0, microsecond=0))
    return first if first is None or first > after else _first_anywhere(plan, after)


def changing_between(window: Window, after: datetime, until: datetime) -> bool:
    """Whether a window opens or closes, anywhere, later than the first instant and not later than the second.

    Raises:
        WindowError: The window is one that `check` refuses.
    """
    change = next_change(window, after)
    return change is not None and change <= until


def opens_between(window: Window, begin: datetime, end: datetime) -> bool:
    """Whether a window is open at some time from the first instant on, and before the second.

    A window in the endpoints' own zones is taken for one in UTC with the time by which zones may differ on either side:
    where it is said never to open, it opens in none of them.

    Raises:
        WindowError: The window is one that `check` refuses.
    """
    margin = _ZONES_APART if window.time_zone is None else timedelta()
    first = begin - margin
    opening = state(window, first, None)
    return opening.open or (opening.until is not None and opening.until < end + margin)


def _zone(window: Window, own: str | None) -> ZoneInfo:
    if window.time_zone is None:
        return (None if own is None else zones.find(own)) or zones.DEFAULT
    found = zones.find(window.time_zone)
    if found is None:
        name = window.time_zone[:MAX_ZONE_CHARS]
        raise WindowError("timeZone", f"there is no time zone {name!r}: use IANA names such as Europe/Berlin")
    return found


@lru_cache(maxsize=1024)
def _plan(text: str, duration: timedelta) -> _Plan:
    try:
        cron = crons.parse(text)
    except ValueError as error:
        raise WindowError("cron", str(error)) from error
    if duration <= timedelta():
        raise WindowError("duration", "the duration has to be longer than nothing, such as PT4H")
    if duration > MAX_DURATION:
        longest = f"the duration is longer than {MAX_DURATION.days} days"
        raise WindowError("duration", f"{longest}: shorten it, or leave the window out, which is as one that is open")
    usual = _merged(cron.times, duration)
    lasting = len(usual.opens) == 1 and usual.closes[0] >= usual.opens[0] + _DAY
    return _Plan(cron=cron, duration=duration, usual=usual, seamless=cron.daily and lasting)


def _merged(starts: Iterable[timedelta], duration: timedelta) -> _Spans:
    opens: list[timedelta] = []
    closes: list[timedelta] = []
    for start in starts:
        if closes and start <= closes[-1]:
            closes[-1] = start + duration
        else:
            opens.append(start)
            closes.append(start + duration)
    return _Spans(opens=tuple(opens), closes=tuple(closes))


@lru_cache(maxsize=16384)
def _day(plan: _Plan, day: date, zone: ZoneInfo) -> _Day:
    begin = zones.midnight(day, zone)
    if zones.steady(day, day + _DAY, zone):
        return _Day(begin=begin, spans=plan.usual)
    starts = (at - begin for at in crons.instants(plan.cron, day, zone))
    return _Day(begin=begin, spans=_merged(starts, plan.duration))


def _state(plan: _Plan, at: datetime, zone: ZoneInfo) -> Opening:
    """Look at the last span that has begun: as all starts last equally long, no earlier one ends later."""
    if at >= LATEST:
        return Opening(open=False, until=None)
    today = at.astimezone(zone).date()
    day = crons.day_until(plan.cron, today, _LOOK_BACK)
    while day is not None:
        that = _day(plan, day, zone)
        number = that.begun(at)
        if number >= 0:
            break
        day = crons.day_until(plan.cron, day - _DAY, _LOOK_BACK)
    else:
        return Opening(open=False, until=_opening_from(plan, today, zone))
    inner = number < that.last
    if at < that.closing(number):
        return Opening(open=True, until=that.closing(number) if inner else _end(plan, day, zone))
    return Opening(open=False, until=that.opening(number + 1) if inner else _opening_from(plan, day + _DAY, zone))


def _opening_from(plan: _Plan, first: date, zone: ZoneInfo) -> datetime | None:
    """Return the first opening of a local day, or of those after it."""
    day = _day_from(plan, first, zone)
    return None if day is None else _day(plan, day, zone).opening(0)


def _day_from(plan: _Plan, first: date, zone: ZoneInfo) -> date | None:
    """Find the first local day, from this one on, on which a span begins."""
    day = crons.day_from(plan.cron, first)
    while day is not None and _day(plan, day, zone).last < 0:
        day = crons.day_from(plan.cron, day + _DAY)
    return day


@lru_cache(maxsize=16384)
def _end(plan: _Plan, day: date, zone: ZoneInfo) -> datetime | None:
    """Return when the last span of a local day ends, with those that go on from there; None: beyond the horizon."""
    horizon = day + HORIZON
    while day <= horizon:
        if plan.seamless and zones.steady(day, day + _WEEK + _DAY, zone):
            day += _WEEK  # on which clocks run evenly, too: it is entered as every day of the week before
            continue
        end = _day(plan, day, zone).closing(-1)
        following = _day_from(plan, day + _DAY, zone)
        if following is None or end < (next_day := _day(plan, following, zone)).opening(0):
            return end
        if next_day.last > 0:
            return next_day.closing(0)
        day = following
    return None


def _first_anywhere(plan: _Plan, after: datetime) -> datetime | None:
    """Return the first change later than an instant, in any zone."""
    if after >= LATEST:
        return None
    compared_until = datetime(after.year + zones.YEARS_AFTER, 1, 1, tzinfo=UTC)
    first = _first_in(plan, after, zones.kinds(after.year))
    return first if first is None or first < compared_until else _first_in(plan, after, zones.every())


_first_of_hour = lru_cache(maxsize=1024)(_first_anywhere)
"""The same, for instants that are full hours: held, it answers for every instant until that change."""


def _first_in(plan: _Plan, after: datetime, among: Iterable[ZoneInfo]) -> datetime | None:
    changes = (_state(plan, after, zone).until for zone in among)
    return min((change for change in changes if change is not None), default=None)
