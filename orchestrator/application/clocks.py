"""Time as the engine knows it: it never goes back, and it knows when it has jumped.

Rules:
- While the wall clock is behind what was already told, time goes on with the monotonic clock.
- A jump of more than five minutes, either way, is logged and suspends deadlines for an hour: after a sleep, endpoints
  get time to be heard before they are taken for lost.
- The service looks at the clock every second. When nobody has for more than five minutes, it was asleep itself, be it
  that both clocks went on meanwhile: that is a jump as well.

Layer: application; the two clocks come in as functions.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

JUMP = timedelta(minutes=5)
SUSPENSION = timedelta(hours=1)


class SteadyClock:
    """Implements `ports.Clock`."""

    def __init__(
        self, wall: Callable[[], datetime], monotonic: Callable[[], float], *, floor: datetime | None = None
    ) -> None:
        """Start from `floor`, the last instant that an earlier run told, if there was one.

        `monotonic` counts seconds.
        """
        self._wall = wall
        self._monotonic = monotonic
        present, ticks = wall(), monotonic()
        self._last = present if floor is None else max(floor, present)
        self._ticks = ticks
        self._offset = present - timedelta(seconds=ticks)
        self._suspended_until: float | None = None
        if floor is not None and floor - present > JUMP:
            self._jumped(present - floor, ticks)

    def now(self) -> datetime:
        """See `ports.Clock.now`."""
        present, ticks = self._wall(), self._monotonic()
        offset = present - timedelta(seconds=ticks)
        asleep = timedelta(seconds=ticks - self._ticks)
        if abs(offset - self._offset) > JUMP:
            self._jumped(offset - self._offset, ticks)
        elif asleep > JUMP:
            self._jumped(asleep, ticks)
        self._offset = offset
        steady = self._last + timedelta(seconds=ticks - self._ticks)
        self._last = present if present >= self._last else steady
        self._ticks = ticks
        return self._last

    def suspension(self) -> timedelta:
        """See `ports.Clock.suspension`."""
        self.now()
        if self._suspended_until is None:
            return timedelta()
        return timedelta(seconds=max(self._suspended_until - self._monotonic(), 0))

    def _jumped(self, by: timedelta, ticks: float) -> None:
        log.warning("the clock has jumped; deadlines are suspended for an hour", by_seconds=by.total_seconds())
        self._suspended_until = ticks + SUSPENSION.total_seconds()
