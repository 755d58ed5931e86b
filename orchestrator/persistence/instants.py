"""Instants as the database keeps them: epoch milliseconds, UTC.

Layer: persistence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Milliseconds: TypeAlias = Callable[[datetime | None], int | None]
    """`to_ms_or_none`, or one of `near`."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(at: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return (at - EPOCH) // _MILLISECOND


def to_ms_or_none(at: datetime | None) -> int | None:
    """The same, with None for None."""
    return None if at is None else (at - EPOCH) // _MILLISECOND


def near(at: datetime) -> Milliseconds:
    """`to_ms_or_none` for a batch of that moment: most of its rows hold that very instant, worked out once."""
    known = to_ms(at)

    def convert(moment: datetime | None) -> int | None:
        return known if moment is at else to_ms_or_none(moment)

    return convert


def from_ms(milliseconds: int) -> datetime:
    """The inverse: an aware instant in UTC."""
    return EPOCH + milliseconds * _MILLISECOND


def from_ms_or_none(milliseconds: int | None) -> datetime | None:
    """The same, with None for None."""
    return None if milliseconds is None else EPOCH + milliseconds * _MILLISECOND
