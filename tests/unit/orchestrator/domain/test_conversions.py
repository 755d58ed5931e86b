from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from orchestrator.domain import conversions
from tests.unit.orchestrator.domain.builders import NOW, v


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T12:00:00Z", NOW),
        ("2026-03-01T12:00:00.123456789Z", NOW + timedelta(microseconds=123456)),
        ("2026-03-01T12:00:00.5Z", NOW + timedelta(milliseconds=500)),
        ("2026-03-01T14:30:00+02:30", NOW),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("2026-02-29T00:00:00Z", None),
        ("2026-03-01T24:00:00Z", None),
        ("2026-03-01T12:00:00", None),
        ("2026-03-01 12:00:00Z", None),
        ("2026-03-01T12:00:00Z\n", None),
        ("٢026-03-01T12:00:00Z", None),
        ("", None),
    ],
)
def test_a_text_names_an_instant_or_none(text: str, instant: datetime | None) -> None:
    assert conversions.instant(text) == instant


def test_a_text_names_a_version_or_none() -> None:
    assert conversions.version("1.2.3-rc.1+b") == v("1.2.3-rc.1")
    assert [conversions.version(text) for text in ("1.2", "v1.2.3", "", "1.2.3\n", "9" * 200)] == [None] * 5


def test_instants_are_counted_in_microseconds_and_stored_in_milliseconds() -> None:
    before = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert conversions.microseconds(before) == -1
    assert conversions.stored(before) == before - timedelta(microseconds=999)
    berlin = timezone(timedelta(hours=1))
    assert conversions.stored(NOW.astimezone(berlin) + timedelta(microseconds=1999)) == NOW + timedelta(milliseconds=1)


def test_a_whole_number_beyond_64_bits_is_a_double() -> None:
    kept = [conversions.whole(number) for number in (2**63 - 1, 2**63, -(2**63), -(2**63) - 1)]
    assert kept == [2**63 - 1, 2.0**63, -(2**63), -(2.0**63)]
    assert list(map(type, kept)) == [int, float, int, float]
