"""Which time zones there are, what their clocks show, and which show the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from orchestrator.domain import zones

BERLIN = ZoneInfo("Europe/Berlin")
CAIRO = ZoneInfo("Africa/Cairo")
HAVANA = ZoneInfo("America/Havana")
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "Etc/GMT+5", "Asia/Calcutta"])
def test_a_zone_is_found_by_its_iana_name(name: str) -> None:
    found = zones.find(name)
    assert found is not None
    assert found.key == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Base",
        "europe/berlin",
        "Europe",
        "localtime",
        "posixrules",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/Berlin ",
        "Europe/Berlin\0",
        "CEST",
        "+02:00",
        "\ud800",
        "x" * 10_000,
    ],
)
def test_any_other_text_names_no_zone(name: str) -> None:
    assert zones.find(name) is None


def test_every_zone_is_there_once() -> None:
    names = [zone.key for zone in zones.every()]
    assert len(names) == len(set(names)) > 400
    assert {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"} < set(names)


def test_few_kinds_stand_for_all_zones() -> None:
    kinds = zones.kinds(2027)
    assert 40 < len(kinds) < 150
    hours = [utc("2025-01-01") + timedelta(hours=37 * n) for n in range(1415)]  # to the end of 2030
    shown = {tuple(at.astimezone(zone).utcoffset() for at in hours) for zone in kinds}
    assert {tuple(at.astimezone(zone).utcoffset() for at in hours) for zone in zones.every()} == shown


def test_zones_that_change_at_other_hours_are_of_other_kinds() -> None:
    def kind(name: str, year: int) -> list[object]:
        return list(zones._offsets(ZoneInfo(name), year))

    assert kind("Europe/Berlin", 2027) == kind("Europe/Paris", 2027)
    assert kind("Europe/Berlin", 2027) != kind("Africa/Cairo", 2027)
    assert (utc("2027-03-28T01:00"), timedelta(hours=2)) in kind("Europe/Berlin", 2027)
    assert (utc("2027-10-02T15:30"), timedelta(hours=11)) in kind("Australia/Lord_Howe", 2027)
    # The break of daylight saving time in Ramadan is the shortest there is.
    assert (utc("2026-02-15T02:00"), timedelta()) in kind("Africa/Casablanca", 2027)
    assert (utc("2026-03-22T02:00"), timedelta(hours=1)) in kind("Africa/Casablanca", 2027)


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        (BERLIN, "2027-07-01", "2027-06-30T22:00"),
        (CAIRO, "2027-04-30", "2027-04-29T22:00"),  # it has no midnight: 00:00 is 01:00
        (HAVANA, "2027-11-07", "2027-11-07T04:00"),  # it has two
    ],
)
def test_a_day_begins_at_its_first_midnight_or_after_the_gap(zone: ZoneInfo, day: str, instant: str) -> None:
    assert zones.midnight(date.fromisoformat(day), zone) == utc(instant)


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        (BERLIN, "2027-03-28", "2027-03-28T01:00"),
        (BERLIN, "2027-10-31", "2027-10-31T01:00"),
        (CAIRO, "2027-04-30", "2027-04-29T22:00"),
        (HAVANA, "2027-11-07", "2027-11-07T05:00"),
        (BERLIN, "2027-07-01", "2027-06-30T22:00"),
    ],
)
def test_the_change_of_a_day_is_found_to_the_minute(zone: ZoneInfo, day: str, instant: str) -> None:
    assert zones.change(date.fromisoformat(day), zone) == utc(instant)


def test_a_day_is_steady_unless_clocks_change_on_it() -> None:
    day = date(2027, 3, 27)
    assert zones.steady(day, day + DAY, BERLIN)
    assert not zones.steady(day + DAY, day + 2 * DAY, BERLIN)
    assert zones.steady(day + 2 * DAY, day + 3 * DAY, BERLIN)
    assert not zones.steady(day, day + 8 * DAY, BERLIN)
    assert zones.steady(date(2027, 4, 29), date(2027, 4, 30), CAIRO)
    assert not zones.steady(date(2027, 4, 30), date(2027, 5, 1), CAIRO)
