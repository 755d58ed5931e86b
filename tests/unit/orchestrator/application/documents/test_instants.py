from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.application.documents import instants

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-01T12:00:00Z", NOON),
        ("2026-12-01t12:00:00z", NOON),
        ("2026-12-01T14:00:00+02:00", NOON),
        ("2026-12-01T06:30:00-05:30", NOON),
        ("2026-12-01T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
        ("2026-12-01T12:00:00.123999999Z", NOON + timedelta(milliseconds=123)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_to_the_millisecond(text: str, at: datetime) -> None:
    assert instants.parse(text) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-01",
        "2026-12-01T12:00:00",
        "2026-12-01 12:00:00Z",
        "2026-12-01T12:00Z",
        "20261201T120000Z",
        "2026-12-01T12:00:00.Z",
        "2026-12-01T12:00:00+02",
        "2026-W49-2T12:00:00Z",
        "2026-12-01T12:00:00Z\n",
        "２026-12-01T12:00:00Z",
    ],
)
def test_what_is_not_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        instants.parse(text)


@pytest.mark.parametrize(
    "text",
    ["2026-02-30T12:00:00Z", "2026-12-01T24:00:01Z", "2026-12-01T12:00:00+99:00", "9999-12-31T23:59:59-23:59"],
)
def test_what_is_no_real_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no real moment"):
        instants.parse(text)


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_what_databases_here_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="before 1970"):
        instants.parse(text)


@given(st.integers(0, 4_102_444_800_000))
def test_what_is_built_is_read_back(milliseconds: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    assert instants.parse(instants.build(at)) == at


def test_instants_are_written_in_utc_and_without_a_fraction_that_is_zero() -> None:
    assert instants.build(NOON) == "2026-12-01T12:00:00Z"
    assert instants.build(NOON + timedelta(milliseconds=20)) == "2026-12-01T12:00:00.020Z"
    assert instants.build_optional(None) is None
