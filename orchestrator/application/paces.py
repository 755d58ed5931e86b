"""How many endpoints a page of a sweep takes: as many as hold reports up for no longer than they may be.

Rules:
- Nobody else writes while a page is worked off, so that its length is what a report waits for.
- A page that took too long is followed by one of half the size, one that took less than half
  of that by one of twice the size.

Layer: application; pure.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

LONG_SECONDS = 0.03
"""Of one page, beyond which the next one is shorter: whatever else delays a page, it is to end within 50 ms."""
SHORT_SECONDS = LONG_SECONDS / 2
LEAST = 1_000
"""Endpoints of a page: below this, most of the time is what a page costs whatever its size."""


def running_time() -> float:
    """Seconds, as the event loop counts them."""
    return asyncio.get_running_loop().time()


@dataclass(slots=True, kw_only=True)
class Pace:
    """The size of the next page."""

    most: int
    size: int = 0

    def __post_init__(self) -> None:
        """Begin in the middle: the first page is as likely to be a costly one."""
        self.size = self.size or max(self.most // 4, 1)

    def took(self, seconds: float) -> None:
        """Look at how long a page of the present size has taken."""
        if seconds > LONG_SECONDS:
            self.size = max(self.size // 2, min(LEAST, self.most))
        elif seconds < SHORT_SECONDS:
            self.size = min(self.size * 2, self.most)
