"""Cron expressions: what is one, the days and times that it names, and when these are."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from orchestrator.domain import crons

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
CAIRO = "Africa/Cairo"
HAVANA = "America/Havana"
NUUK = "America/Nuuk"
DAY = timedelta(days=1)


def comes(text: str, day: str, zone: str) -> list[str]:
    """When an expression comes on a local day, as clocks show it."""
    found = crons.instants(crons.parse(text), date.fromisoformat(day), ZoneInfo(zone))
    return [f"{at.astimezone(ZoneInfo(zone)):%d %H:%M %z}" for at in found]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "needs five fields and has 0: write minute, hour"),
        ("0 1 * *", "needs five fields and has 4: write minute, hour"),
        ("0 0 1 * * 1-5", "needs five fields and has 6: write minute, hour, day of the month, month, day of the week"),
        ("0 0 1 * * 1-5", "and no seconds, such as '0 1 * * 1-5'"),
        ("@daily", "the cron expression '@daily' needs five fields and has 1"),
        ("61 * * * *", "the minute '61' of the cron expression '61 * * * *' cannot be read: write *, 0-59, a list"),
        ("0 24 * * *", "the hour '24' of"),
        ("0 5-1 * * *", "the hour '5-1' of the cron expression '0 5-1 * * *' cannot be read: write *, 0-23, a list (1"),
        ("0 5-1 * * *", "a rising range (1-5)"),
        ("0 0 32 * *", "the day of month '32' of"),
        ("0 0 x 2 *", "the day of month 'x' of"),
        ("0 0 1 13 *", "the month '13' of"),
        ("0 0 1 */0 *", "the month '*/0' of"),
        ("0 0 1 JANUARY *", "1-12 or JAN-DEC"),
        ("0 0 * * 8", "the day of week '8' of"),
        ("0 0 * * MONDAY", "0-7 or SUN-SAT, where 0 and 7 are Sunday"),
        ("0 0 * * 1#6", "the day of week '1#6' of"),
        ("0 0 * * \u00b2L", "the day of week"),
        ("-5 * * * *", "the minute '-5' of"),
        ("0 0 31 2 *", "the window never opens: no day is at once day '31' of month '2' and day '*' of the week"),
        ("0 0 30,31 2 *", "the window never opens"),
        ("0 0 31 4,6,9,11 *", "choose days that the months have"),
        ("* * */20 * 1L", "the window never opens"),
        ("0" * 300, "longer than 256 characters"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_a_sentence_that_mends_it(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        crons.parse(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 * * *", ["02-01", "02-02", "02-03"]),
        ("0 0 31 * *", ["03-31", "05-31", "07-31"]),
        ("0 0 L * *", ["02-28", "03-31", "04-30"]),
        ("0 0 LW * *", ["02-26", "03-31", "04-30"]),
        ("0 0 * * MON", ["02-01", "02-08", "02-15"]),
        ("0 0 * * 7", ["02-07", "02-14", "02-21"]),
        ("0 0 * * 5L", ["02-26", "03-26", "04-30"]),
        ("0 0 * * 2#2", ["02-09", "03-09", "04-13"]),
        ("0 0 10 * 1", ["02-01", "02-08", "02-10"]),
        ("0 0 */2 * 1", ["02-01", "02-15", "03-01"]),
        ("0 0 1 jan-mar/2 *", ["03-01", "01-01", "03-01"]),
    ],
)
def test_the_days_are_those_of_debians_cron(text: str, days: list[str]) -> None:
    cron = crons.parse(text)
    found: list[str] = []
    day: date | None = date(2027, 2, 1)
    while len(found) < len(days):
        day = crons.day_from(cron, day) if day else None
        assert day is not None
        found.append(f"{day:%m-%d}")
        day += DAY
    assert found == days


def test_a_day_is_looked_for_backwards_among_so_many() -> None:
    cron = crons.parse("0 0 29 2 *")
    assert crons.day_until(cron, date(2028, 2, 29), 1) == date(2028, 2, 29)
    assert crons.day_until(cron, date(2028, 3, 9), 10) == date(2028, 2, 29)
    assert crons.day_until(cron, date(2028, 3, 10), 10) is None
    assert crons.day_from(cron, date(2096, 3, 1)) == date(2104, 2, 29)


@pytest.mark.parametrize(
    ("text", "daily"),
    [
        ("0 0 * * *", True),
        ("5 */2 1-31 * *", True),
        ("0 0 * 1-12 0-6", True),
        ("0 0 1-31 * 1", True),
        ("0 0 1-30 * *", False),
        ("0 0 * * 1-6", False),
        ("0 0 * 1-11 *", False),
        ("0 0 1-30 * 1-6", False),
    ],
)
def test_an_expression_knows_whether_it_names_every_day(text: str, *, daily: bool) -> None:
    assert crons.parse(text).daily is daily


@pytest.mark.parametrize(
    ("text", "day", "zone", "expected"),
    [
        # 28 March: 02:00 is 03:00.
        ("30 2 * * *", "2027-03-27", BERLIN, ["27 02:30 +0100"]),
        ("30 2 * * *", "2027-03-28", BERLIN, ["28 03:00 +0200"]),
        ("59 1-3 * * *", "2027-03-28", BERLIN, ["28 01:59 +0100", "28 03:00 +0200", "28 03:59 +0200"]),
        ("*/30 2 * * *", "2027-03-28", BERLIN, []),
        ("30 * * * *", "2027-03-28", BERLIN, [f"28 {h:02}:30 +0{1 + (h > 2)}00" for h in range(24) if h != 2]),
        # 31 October: 03:00 is 02:00.
        ("30 2 * * *", "2027-10-31", BERLIN, ["31 02:30 +0200"]),
        ("0 3 * * *", "2027-10-31", BERLIN, ["31 03:00 +0100"]),
        (
            "*/30 2 * * *",
            "2027-10-31",
            BERLIN,
            ["31 02:00 +0200", "31 02:30 +0200", "31 02:00 +0100", "31 02:30 +0100"],
        ),
        # 14 March, 02:00 is 03:00; 7 November, 02:00 is 01:00.
        ("0 2 * * *", "2027-03-14", NEW_YORK, ["14 03:00 -0400"]),
        ("15,45 1 * * *", "2027-11-07", NEW_YORK, ["07 01:15 -0400", "07 01:45 -0400"]),
        (
            "*/45 1 * * *",
            "2027-11-07",
            NEW_YORK,
            ["07 01:00 -0400", "07 01:45 -0400", "07 01:00 -0500", "07 01:45 -0500"],
        ),
        # 3 October, 02:00 is 02:30; 4 April, 02:00 is 01:30.
        ("15,45 2 * * *", "2027-10-03", LORD_HOWE, ["03 02:30 +1100", "03 02:45 +1100"]),
        ("*/15 2 * * *", "2027-10-03", LORD_HOWE, ["03 02:30 +1100", "03 02:45 +1100"]),
        ("*/15 3 * * *", "2027-10-03", LORD_HOWE, [f"03 03:{m:02} +1100" for m in (0, 15, 30, 45)]),
        ("45 1,2 * * *", "2027-04-04", LORD_HOWE, ["04 01:45 +1100", "04 02:45 +1030"]),
        ("*/45 1 * * *", "2027-04-04", LORD_HOWE, ["04 01:00 +1100", "04 01:45 +1100", "04 01:45 +1030"]),
        # 30 April begins at 01:00; 7 November has 00:00 to 01:00 twice; 27 March ends an hour early.
        ("30 0 * * 5", "2027-04-30", CAIRO, ["30 01:00 +0300"]),
        ("0 */2 * * 5", "2027-04-30", CAIRO, [f"30 {h:02}:00 +0300" for h in range(2, 24, 2)]),
        ("30 0 * * *", "2027-11-07", HAVANA, ["07 00:30 -0400"]),
        (
            "*/30 0 * * *",
            "2027-11-07",
            HAVANA,
            ["07 00:00 -0400", "07 00:30 -0400", "07 00:00 -0500", "07 00:30 -0500"],
        ),
        ("30 23 * * *", "2027-03-27", NUUK, ["28 00:00 -0100"]),
        ("*/30 23 * * *", "2027-03-27", NUUK, []),
    ],
)
def test_where_clocks_change(text: str, day: str, zone: str, expected: list[str]) -> None:
    assert comes(text, day, zone) == expected


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, "Asia/Kathmandu", "UTC"])
@pytest.mark.parametrize(
    "text", ["30 2 * * *", "*/20 1-3 * * 6,0", "0 */2 * * *", "15 1,2,3 28-31 * *", "5 * L * *", "* 2 7 11,3 *"]
)
def test_where_clocks_change_by_whole_hours_at_night_it_is_as_cronsim_has_it(text: str, zone: str) -> None:
    start, end = datetime(2027, 1, 1, tzinfo=ZoneInfo(zone)), datetime(2028, 1, 1, tzinfo=ZoneInfo(zone))
    theirs: list[datetime] = []
    for at in CronSim(text, start - timedelta(minutes=1)):
        if at >= end:
            break
        theirs.append(at.astimezone(UTC))
    cron = crons.parse(text)
    days = [date(2027, 1, 1) + n * DAY for n in range(365)]
    ours = [at for day in days if cron.names(day) for at in crons.instants(cron, day, ZoneInfo(zone))]
    assert ours == theirs
