"""When a window is open, when that changes next, and which windows are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest

from orchestrator.domain import windows, zones
from orchestrator.domain.errors import DomainError
from orchestrator.domain.policies import OnClose, Window
from orchestrator.domain.windows import Opening, WindowError

BERLIN = "Europe/Berlin"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(cron: str, duration: timedelta, zone: str | None = BERLIN) -> Window:
    return Window(cron=cron, duration=duration, time_zone=zone)


def changes(that: Window, at: str, number: int, zone: str | None = None) -> list[str]:
    """The states from an instant on: `open` or `shut`, until when."""
    found: list[str] = []
    after: datetime | None = utc(at)
    while after is not None and len(found) < number:
        opening = windows.state(that, after, zone)
        found.append(f"{'open' if opening.open else 'shut'} {opening.until:%d %H:%M}" if opening.until else "for ever")
        after = opening.until
    return found


NIGHTS = window("0 1 * * 1-5", 4 * HOUR)
OWN = window("0 1 * * *", 4 * HOUR, None)
ALWAYS = window("* * * * *", MINUTE)


@pytest.mark.parametrize(
    ("that", "field", "sentence"),
    [
        (window("0 1 * *", HOUR), "cron", "needs five fields and has 4"),
        (window("0 0 1 * * *", HOUR), "cron", "no seconds"),
        (window("0 25 * * *", HOUR), "cron", "the hour '25'"),
        (window("0 1 31 2 *", HOUR), "cron", "the window never opens"),
        (window("0 1 * * *", timedelta()), "duration", "the duration has to be longer than nothing, such as PT4H"),
        (window("0 1 * * *", -HOUR), "duration", "longer than nothing"),
        (window("0 1 * * *", 366 * DAY + MICROSECOND), "duration", "the duration is longer than 366 days: shorten it"),
        (window("0 1 * * *", HOUR, "Mars/Base"), "timeZone", "'Mars/Base': use IANA names such as Europe/Berlin"),
        (window("0 1 * * *", HOUR, ""), "timeZone", "there is no time zone ''"),
        (window("0 1 * * *", HOUR, "x" * 1000), "timeZone", f"there is no time zone '{'x' * 64}'"),
    ],
)
def test_a_window_that_is_none_is_refused_by_its_field_with_a_sentence_that_mends_it(
    that: Window, field: str, sentence: str
) -> None:
    with pytest.raises(WindowError) as caught:
        windows.check(that)
    assert isinstance(caught.value, DomainError)
    assert (caught.value.code, caught.value.field) == ("window-invalid", field)
    assert sentence in str(caught.value)
    with pytest.raises(WindowError):
        windows.state(that, utc("2027-01-01"), None)


@pytest.mark.parametrize(
    "that",
    [
        NIGHTS,
        OWN,
        ALWAYS,
        window("0 0 * * *", 366 * DAY),
        window("0 0 29 2 1", timedelta(seconds=1)),
        window("0 0 LW * 5#3", HOUR, "UTC"),
    ],
)
def test_rare_and_lasting_windows_are_windows(that: Window) -> None:
    windows.check(that)


def test_a_window_is_open_from_its_instant_on_and_closed_from_the_end_on() -> None:
    opens, closes = utc("2027-01-11T00:00"), utc("2027-01-11T04:00")
    assert windows.state(NIGHTS, opens - MICROSECOND, None) == Opening(open=False, until=opens)
    assert windows.state(NIGHTS, opens, None) == Opening(open=True, until=closes)
    assert windows.state(NIGHTS, closes - MICROSECOND, None) == Opening(open=True, until=closes)
    assert windows.state(NIGHTS, closes, None) == Opening(open=False, until=utc("2027-01-12T00:00"))


def test_a_weekend_is_passed_over() -> None:
    assert changes(NIGHTS, "2027-01-15T02:30", 3) == ["open 15 04:00", "shut 18 00:00", "open 18 04:00"]


def test_what_happens_at_the_close_does_not_matter_to_when_that_is() -> None:
    withdrawing = Window(cron="0 1 * * 1-5", duration=4 * HOUR, time_zone=BERLIN, on_close=OnClose.WITHDRAW)
    at = utc("2027-01-11T01:00")
    assert windows.state(withdrawing, at, None) == windows.state(NIGHTS, at, None)


@pytest.mark.parametrize(
    ("zone", "until"),
    [
        ("Asia/Tokyo", "2027-01-10T16:00"),
        ("Asia/Kathmandu", "2027-01-10T19:15"),
        ("America/New_York", "2027-01-11T06:00"),
        ("UTC", "2027-01-11T01:00"),
        (None, "2027-01-11T01:00"),
        ("Mars/Base", "2027-01-11T01:00"),
        ("", "2027-01-11T01:00"),
        ("../etc", "2027-01-11T01:00"),
    ],
)
def test_the_endpoints_zone_counts_where_the_window_names_none_and_is_else_utc(zone: str | None, until: str) -> None:
    assert windows.state(OWN, utc("2027-01-10T12:00"), zone) == Opening(open=False, until=utc(until))


def test_the_endpoints_zone_does_not_count_where_the_window_names_one() -> None:
    at = utc("2027-01-10T12:00")
    assert windows.state(NIGHTS, at, "Asia/Tokyo") == windows.state(NIGHTS, at, None)


@pytest.mark.parametrize(
    ("cron", "hours", "at", "expected"),
    [
        # Clocks go from 02:00 to 03:00: the night is an hour shorter, the window is not.
        ("0 1 * * *", 4, "2027-03-27T23:00", ["shut 28 00:00", "open 28 04:00", "shut 28 23:00", "open 29 03:00"]),
        ("30 2 * * *", 1, "2027-03-27T23:00", ["shut 28 01:00", "open 28 02:00", "shut 29 00:30"]),
        ("*/30 2 * * *", 1, "2027-03-27T01:10", ["open 27 02:30", "shut 29 00:00", "open 29 01:30"]),
        # Clocks go from 03:00 to 02:00.
        ("0 1 * * *", 4, "2027-10-30T22:30", ["shut 30 23:00", "open 31 03:00", "shut 01 00:00"]),
        ("30 2 * * *", 1, "2027-10-30T23:00", ["shut 31 00:30", "open 31 01:30", "shut 01 01:30"]),
        ("*/30 2 * * *", 1, "2027-10-30T23:00", ["shut 31 00:00", "open 31 02:30", "shut 01 01:00"]),
    ],
)
def test_berlin_when_clocks_change(cron: str, hours: int, at: str, expected: list[str]) -> None:
    assert changes(window(cron, hours * HOUR), at, len(expected)) == expected


@pytest.mark.parametrize(
    ("zone", "cron", "at", "expected"),
    [
        ("America/New_York", "30 2 * * *", "2027-03-14T06:00", ["shut 14 07:00", "open 14 08:00", "shut 15 06:30"]),
        ("America/New_York", "30 1 * * *", "2027-11-07T05:00", ["shut 07 05:30", "open 07 06:30", "shut 08 06:30"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2027-10-02T15:00", ["shut 02 15:30", "open 02 16:30", "shut 03 15:15"]),
        ("Australia/Lord_Howe", "0 4 * * *", "2027-10-02T15:00", ["shut 02 17:00", "open 02 18:00", "shut 03 17:00"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2027-04-03T14:00", ["shut 03 14:45", "open 03 15:45", "shut 04 15:15"]),
        ("Africa/Cairo", "0 0 * * *", "2027-04-29T12:00", ["shut 29 22:00", "open 29 23:00", "shut 30 21:00"]),
        ("America/Nuuk", "30 23 * * *", "2027-03-27T12:00", ["shut 28 01:00", "open 28 02:00", "shut 29 00:30"]),
    ],
)
def test_other_zones_when_clocks_change(zone: str, cron: str, at: str, expected: list[str]) -> None:
    assert changes(window(cron, HOUR, None), at, len(expected), zone) == expected


@pytest.mark.parametrize(
    ("cron", "duration", "at", "expected"),
    [
        ("*/10 1,2 * * *", timedelta(minutes=15), "2027-01-10T00:12", ["open 10 02:05", "shut 11 00:00"]),
        ("*/10 1,2 * * *", timedelta(minutes=10), "2027-01-10T00:12", ["open 10 02:00", "shut 11 00:00"]),
        ("*/10 1,2 * * *", timedelta(minutes=5), "2027-01-10T00:12", ["open 10 00:15", "shut 10 00:20"]),
        ("0 12 * * 1-3", timedelta(hours=30), "2027-01-11T12:00", ["open 14 17:00", "shut 18 11:00"]),
        ("0 22 * * *", timedelta(hours=5), "2027-01-10T23:30", ["open 11 02:00", "shut 11 21:00"]),
        ("0 0,6,23 * * *", timedelta(hours=2), "2027-01-10T22:30", ["open 11 01:00", "shut 11 05:00", "open 11 07:00"]),
        ("0 0 1 * *", timedelta(days=31), "2027-01-15", ["open 31 22:00", "shut 31 23:00"]),  # October has an hour more
    ],
)
def test_openings_that_overlap_or_touch_are_one(cron: str, duration: timedelta, at: str, expected: list[str]) -> None:
    assert changes(window(cron, duration), at, len(expected)) == expected


def test_a_day_that_has_an_hour_more_is_not_filled_by_a_window_of_24_hours() -> None:
    daily = window("0 0 * * *", DAY)
    assert windows.state(daily, utc("2027-05-01"), None) == Opening(open=True, until=utc("2027-10-31T22:00"))
    assert windows.state(daily, utc("2027-10-31T22:59"), None) == Opening(open=False, until=utc("2027-10-31T23:00"))
    assert windows.state(daily, utc("2027-10-31T23:00"), None).until == utc("2028-10-29T22:00")
    assert windows.state(window("0 0 * * *", DAY, "UTC"), utc("2027-05-01"), None) == Opening(open=True, until=None)


def test_a_gap_in_the_middle_of_the_clocks_change_ends_a_window_that_is_else_always_open() -> None:
    # 00:10 does not exist on 30 April in Cairo, and 02:10 is an hour late.
    that = window("10 */2 * * *", 2 * HOUR, "Africa/Cairo")
    for days in range(60):
        at = utc("2027-04-29T20:00") - days * DAY
        assert windows.state(that, at, None) == Opening(open=True, until=utc("2027-04-29T22:10"))
    assert windows.state(that, utc("2027-04-29T22:10"), None) == Opening(open=False, until=utc("2027-04-29T23:10"))


@pytest.mark.parametrize(
    "that",
    [ALWAYS, window("*/2 * * * *", 3 * MINUTE), window("0 12 1 * *", 32 * DAY), window("0 0 1 1 *", 366 * DAY)],
)
def test_a_window_that_is_always_open_never_changes(that: Window) -> None:
    assert windows.state(that, utc("2027-06-01T12:34:56"), None) == Opening(open=True, until=None)
    assert windows.next_change(that, utc("2027-06-01")) is None
    assert not windows.changing_between(that, utc("2027-06-01"), utc("2099-01-01"))


def test_the_next_opening_may_be_years_away() -> None:
    that = window("0 0 29 2 *", HOUR, "UTC")
    assert windows.state(that, utc("2096-03-01"), None) == Opening(open=False, until=utc("2104-02-29"))
    own = window("0 0 29 2 *", HOUR, None)
    assert windows.next_change(own, utc("2096-03-01")) == utc("2104-02-28T10:00")  # Kiribati is first


@pytest.mark.parametrize("that", [NIGHTS, OWN, ALWAYS, window("0 0 29 2 *", HOUR), window("0 0 * * *", 366 * DAY)])
@pytest.mark.parametrize("at", ["9900-01-01", "9998-02-28", "9999-12-31T23:59:59"])
def test_at_the_end_of_the_calendar_windows_are_closed_for_good(that: Window, at: str) -> None:
    assert windows.state(that, utc(at), BERLIN) == Opening(open=False, until=None)
    assert windows.next_change(that, utc(at)) is None
    windows.state(that, utc("9899-12-31T23:59:59"), "Pacific/Kiritimati")


def test_the_next_change_of_a_named_zone_is_the_next_opening_or_closing() -> None:
    assert windows.next_change(NIGHTS, utc("2027-01-11T00:00") - MICROSECOND) == utc("2027-01-11T00:00")
    assert windows.next_change(NIGHTS, utc("2027-01-11T00:00")) == utc("2027-01-11T04:00")


def test_the_next_change_of_endpoints_zones_is_the_first_one_anywhere() -> None:
    at = utc("2027-01-10T12:00")
    found: list[str] = []
    for _ in range(8):
        change = windows.next_change(OWN, at)
        assert change is not None
        found.append(f"{change:%H:%M}")
        at = change
    # +12 opens, +11, +10:30 (and -9:30 closes), +14 closes, +13:45 closes, +9:30 opens, +9, +8:45.
    assert found == ["13:00", "14:00", "14:30", "15:00", "15:15", "15:30", "16:00", "16:15"]


@pytest.mark.parametrize("cron", ["0 1 * * *", "*/10 2 * * 0", "7 3 1 * *", "0 0 29 2 *"])
def test_the_next_change_anywhere_is_the_first_of_every_zone(cron: str) -> None:
    that = window(cron, timedelta(minutes=25), None)
    for hours in range(0, 24 * 7 * 2, 29):
        at = utc("2027-03-20T00:20:13") + hours * HOUR
        untils = (windows.state(that, at, zone.key).until for zone in zones.every())
        assert windows.next_change(that, at) == min(until for until in untils if until is not None)


def test_changes_between_include_the_last_instant_and_not_the_first() -> None:
    opens, closes = utc("2027-01-11T00:00"), utc("2027-01-11T04:00")
    assert windows.changing_between(NIGHTS, opens - MINUTE, opens)
    assert not windows.changing_between(NIGHTS, opens - MINUTE, opens - MICROSECOND)
    assert not windows.changing_between(NIGHTS, opens, closes - MICROSECOND)
    assert windows.changing_between(NIGHTS, opens, closes)
    assert windows.changing_between(OWN, utc("2027-01-10T14:00"), utc("2027-01-10T14:30"))
    assert not windows.changing_between(OWN, utc("2027-01-10T14:00"), utc("2027-01-10T14:29"))


def test_a_window_opens_between_two_instants_when_it_is_open_in_between_or_at_the_first() -> None:
    opening = windows.state(NIGHTS, utc("2027-01-11T12:00"), None)
    assert not opening.open
    opens = opening.until
    assert opens is not None
    closes = windows.state(NIGHTS, opens, None).until
    assert closes is not None
    assert not windows.opens_between(NIGHTS, utc("2027-01-11T12:00"), opens)
    assert windows.opens_between(NIGHTS, utc("2027-01-11T12:00"), opens + MICROSECOND)
    assert windows.opens_between(NIGHTS, closes - MICROSECOND, closes)
    assert not windows.opens_between(NIGHTS, closes, closes + HOUR)
    assert windows.opens_between(ALWAYS, opens, opens + HOUR)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin"])
def test_a_window_in_the_endpoints_zones_opens_where_one_of_them_has_it(zone: str) -> None:
    that = window("0 1 1 1 *", HOUR, None)
    opens = windows.state(that, utc("2026-12-20"), zone).until
    assert opens is not None
    assert windows.opens_between(that, opens, opens + MICROSECOND)
    assert not windows.opens_between(that, utc("2027-01-04"), utc("2027-12-29"))


@pytest.mark.parametrize("that", [NIGHTS, OWN, ALWAYS, window("* * * * *", MINUTE / 2), window("0 0 29 2 *", HOUR)])
def test_asking_often_is_cheap(that: Window) -> None:
    instants = [utc("2027-06-01") + n * timedelta(minutes=7) for n in range(500)]
    windows.state(that, instants[0], BERLIN)
    began = perf_counter()
    for at in instants:
        windows.state(that, at, BERLIN)
    # A few microseconds each, were nothing else running.
    assert perf_counter() - began < len(instants) * 1e-3
