"""Removes what has been kept for long enough, a little at a time.

Rules:
- What is to go is found beside the writer; a transaction removes a bounded stretch of it, and is made as small as
  reports need. After each one the housekeeper rests for much longer than it took.
- Nothing is remembered between steps but what is stored: work that was killed goes on, and doing it twice does nothing.
- A clock that has jumped lately is not believed: nothing is too old for the hour in which deadlines are suspended.

Layer: application.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from orchestrator.application.paces import Pace
from orchestrator.application.ports import StorageError
from orchestrator.application.retentions import Remains

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from orchestrator.application.parts import Parts
    from orchestrator.application.retentions import Archive, Retention, Surplus

log = structlog.get_logger(__name__)

FIRST_SECONDS = 2.0
"""After the start, which is busy enough."""
LOOK_SECONDS = 60.0
"""Between two looks for what is too old."""
ROUND_SECONDS = 3600.0
"""Between two rounds of all endpoints, for those with too long a history."""
RESTS = 9
"""So many times as long as it removed, it rests: it takes a tenth of the writer's time at the most."""
LOOK_RESTS = 49
"""The same for looks at histories, which go on for as long as there are endpoints: a fiftieth of a core."""
ROWS = 2_000
"""Most rows that one transaction removes."""
ENDPOINTS = 200
"""Whose histories are measured at once."""


class Housekeeper:
    """Keeps the database of one partition from growing for ever."""

    def __init__(
        self,
        parts: Parts,
        archive: Archive,
        retention: Retention,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Remove from `archive` what `retention` does not ask for; `sleep` waits for some seconds."""
        self._archive = archive
        self._retention = retention
        self._clock = parts.clock
        self._elapsed = parts.elapsed
        self._removed = parts.tallies.removed
        self._steps = parts.steps
        self._sleep = sleep
        self._rows = Pace(most=ROWS)

    def loops(self) -> Mapping[str, Callable[[], Coroutine[None, None, None]]]:
        """The loops by name."""
        return {"house.ages": self.run_ages, "house.lengths": self.run_lengths}

    async def run_ages(self) -> None:
        """Look for what is too old, or too much, from time to time, until cancelled."""
        await self._repeat(LOOK_SECONDS, self.keep_ages)

    async def run_lengths(self) -> None:
        """Look for endpoints with too long a history, round after round, until cancelled."""
        await self._repeat(ROUND_SECONDS, self.keep_lengths)

    async def _repeat(self, seconds: float, work: Callable[[], Coroutine[None, None, None]]) -> None:
        await self._sleep(FIRST_SECONDS)
        while True:
            try:
                await work()
            except StorageError as error:
                if not error.transient:
                    raise
                log.warning("housekeeping interrupted; going on later", reason=str(error))
            await self._sleep(seconds)

    async def keep_ages(self) -> None:
        """Remove everything that is older than it is to be kept, or more than is to be kept, or counts nothing."""
        for what in Remains:
            if not self._retention.term(what).endless:
                while await self._remove_some(what):
                    pass
        while await self._remove_zeros():
            pass

    async def _remove_some(self, what: Remains) -> bool:
        """Remove one stretch; return whether there may be another."""
        if self._clock.suspension():
            return False
        term, begun = self._retention.term(what), self._elapsed()
        before = None if term.span is None else self._clock.now() - term.span
        stretch = await self._archive.oldest(what, before, term.most, self._rows.size)
        if stretch is None:
            return False
        self._removed[what.value] += await self._archive.remove(stretch)
        await self._rest(begun)
        return True

    async def _remove_zeros(self) -> bool:
        """Remove some numbers that are zero; return whether there may be more."""
        begun, size = self._elapsed(), self._rows.size
        removed = await self._archive.remove_zeros(size)
        if removed:
            self._removed["counters"] += removed
            await self._rest(begun)
        return removed == size

    async def keep_lengths(self) -> None:
        """Remove what endpoints have beyond their newest history entries: one round of all endpoints."""
        most, after = self._retention.per_endpoint, 0
        while most is not None:
            begun = self._elapsed()
            surplus = await self._archive.surplus(after, ENDPOINTS, most)
            await self._sleep(LOOK_RESTS * (self._elapsed() - begun))
            await self._shorten(surplus)
            if surplus.end is None:
                return
            after = surplus.end

    async def _shorten(self, surplus: Surplus) -> None:
        entries = surplus.entries
        while entries:
            begun, size = self._elapsed(), self._rows.size
            self._removed[Remains.HISTORY.value] += await self._archive.remove_entries(entries[:size])
            entries = entries[size:]
            await self._rest(begun)

    async def _rest(self, begun: float) -> None:
        self._steps("rows-removed")
        took = self._elapsed() - begun
        self._rows.took(took)
        await self._sleep(RESTS * took)
