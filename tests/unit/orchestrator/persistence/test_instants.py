from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.persistence import instants

LAST = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@given(milliseconds=st.integers(0, 253_402_300_799_999))
def test_milliseconds_and_instants_are_inverse(milliseconds: int) -> None:
    assert instants.to_ms(instants.from_ms(milliseconds)) == milliseconds


def test_instants_are_rounded_down_to_the_millisecond() -> None:
    assert instants.from_ms(instants.to_ms(AT)) == AT.replace(microsecond=123000)
    assert instants.from_ms(instants.to_ms(LAST)) == LAST


def test_an_instant_is_the_same_in_every_time_zone() -> None:
    east = AT.astimezone(timezone(timedelta(hours=9)))
    assert instants.to_ms(east) == instants.to_ms(AT)
    assert instants.from_ms(instants.to_ms(east)).tzinfo is UTC


def test_none_stays_none() -> None:
    assert instants.to_ms_or_none(None) is None
    assert instants.from_ms_or_none(None) is None
    assert instants.near(AT)(None) is None
    assert instants.from_ms_or_none(instants.to_ms_or_none(AT)) == AT.replace(microsecond=123000)


def test_what_is_near_an_instant_converts_as_everything_else_does() -> None:
    convert = instants.near(AT)
    for at in (AT, AT + timedelta(0), AT + timedelta(seconds=1), instants.EPOCH):
        assert convert(at) == instants.to_ms(at)
