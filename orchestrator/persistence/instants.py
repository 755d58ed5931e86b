"""Instants as the database keeps them: epoch milliseconds, UTC.

Layer: persistence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(at: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return (at - EPOCH) // _MILLISECOND


def to_ms_or_none(at: datetime | None) -> int | None:
    """The same, with None for None."""
    return None if at is None else (at - EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """The inverse: an aware instant in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def from_ms_or_none(milliseconds: int | None) -> datetime | None:
    """The same, with None for None."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
