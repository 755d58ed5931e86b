"""How many watch at once, and how much each of them gets.

Rules:
- All streams share what one event loop can give away beside its work; one that is given less than happens is told how
  many events it has missed.

Layer: api.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.application.problems import RequestError

MOST = 200
"""Streams at once."""
PAUSE_SECONDS = 0.05
"""Between two looks of a stream at the feed."""
_EVENTS_AT_ONCE = 200
"""Of all streams together, in one pause: 4,000 a second."""


class TooManyStreamsError(RequestError):
    """Enough others watch already."""

    code = "too-many-streams"
    status_code = 503

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        super().__init__(f"{limit} streams of events are open already; try again later")


class Streams:
    """The streams that are open."""

    def __init__(self, limit: int = MOST) -> None:
        """Let `limit` be open at once."""
        self._limit = limit
        self.open = 0
        self.opened = 0
        """Since the service started."""

    @property
    def share(self) -> int:
        """How many events a stream may take at once."""
        return max(1, _EVENTS_AT_ONCE // max(1, self.open))

    def check(self) -> None:
        """Pass when one more may be opened.

        Raises:
            TooManyStreamsError: it may not.
        """
        if self.open >= self._limit:
            raise TooManyStreamsError(self._limit)

    @contextmanager
    def one(self) -> Iterator[int]:
        """Be open inside the block; the value is a number that no other stream has."""
        self.open += 1
        self.opened += 1
        try:
            yield self.opened
        finally:
            self.open -= 1
