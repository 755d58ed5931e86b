"""What is kept for how long, and the storage as housekeeping needs it.

Rules:
- Nothing that is removed is looked at by a decision, a gate or a timer: the present attempt and the setbacks of an
  endpoint are its own rows, and numbers are stored. What removed attempts counted for is kept as sums, so that every
  number can still be counted anew (invariant 8).

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

OUTAGES_KEPT = timedelta(days=400)
"""For longer no deadline is put off by an outage that is over."""


class Remains(Enum):
    """What grows with time alone."""

    HISTORY = "history"
    ATTEMPTS = "attempts"
    """Those that a newer one has replaced."""
    AUDIT = "audit"
    DEAD_LETTERS = "dead-letters"
    OUTAGES = "outages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long one kind is kept, and how many of it; None: for ever, and all."""

    span: timedelta | None = None
    most: int | None = None

    @property
    def endless(self) -> bool:
        """Whether nothing is ever removed."""
        return self.span is None and self.most is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept."""

    history: timedelta | None = None
    """Of entries, and of attempts that a newer one has replaced."""
    per_endpoint: int | None = None
    """History entries of one endpoint, the newest."""
    audit: Term = Term()
    dead_letters: Term = Term()

    def term(self, what: Remains) -> Term:
        """How long one kind is kept."""
        match what:
            case Remains.AUDIT:
                return self.audit
            case Remains.DEAD_LETTERS:
                return self.dead_letters
            case Remains.OUTAGES:
                return Term(span=OUTAGES_KEPT)
            case _:
                return Term(span=self.history)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Rows of one kind that follow each other, to be removed at once."""

    what: Remains
    after: int
    """Identifier of the row before the first."""
    end: int
    """Of the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surplus:
    """History entries that some endpoints, which follow each other, have too many of."""

    end: int | None
    """Key of the last endpoint; None: there are none any more."""
    entries: Sequence[int] = ()
    """Identifiers, the oldest first, so that the chain of an endpoint is whole whenever work is interrupted."""


class Archive(Protocol):
    """The storage of what grows with time alone."""

    async def oldest(self, what: Remains, before: datetime | None, most: int | None, limit: int) -> Stretch | None:
        """The oldest rows of a kind, at most `limit`: those from before an instant, or more than the newest `most`.

        Read beside the writer. None: there are none to remove.
        """

    async def surplus(self, after: int, endpoints: int, most: int) -> Surplus:
        """What the next endpoints after a key, so many at the most, have beyond their newest `most` history entries.

        Read beside the writer.
        """

    async def remove(self, stretch: Stretch) -> int:
        """Remove rows in a transaction of their own; return how many there were. Again, it does nothing.

        Raises:
            StorageError: nothing is removed.
        """

    async def remove_zeros(self, limit: int) -> int:
        """Remove numbers that are zero, at most `limit`; return how many there were.

        Found beside the writer, and removed in a transaction of their own.

        Raises:
            StorageError: nothing is removed.
        """

    async def remove_entries(self, entries: Sequence[int]) -> int:
        """The same for history entries by identifier."""
