"""Time in which no endpoint could be heard: it does not count for deadlines.

Layer: application.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class Outages:
    """The spans without a broker, or without this service."""

    def __init__(self, spans: Iterable[tuple[datetime, datetime]] = ()) -> None:
        """Start with stored spans, oldest first."""
        self._spans = list(spans)

    def add(self, started_at: datetime, ended_at: datetime) -> None:
        """Remember one more, later than all others."""
        self._spans.append((started_at, ended_at))

    def within(self, started_at: datetime, ended_at: datetime) -> timedelta:
        """How much of a span the outages cover."""
        covered = timedelta()
        for first, last in reversed(self._spans):
            if last <= started_at:
                break
            covered += max(min(last, ended_at) - max(first, started_at), timedelta())
        return covered
