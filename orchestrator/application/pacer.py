"""Goes on with the queues of endpoints that wait for room, as room comes.

Rules:
- A queue is a stored cursor: endpoints that wait have no row of their own, and a queue that was killed goes on.
- A tick turns pages until there is no more room, or its time is over; without queues it costs one look.

Layer: application.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.application.pages import Pages

if TYPE_CHECKING:
    from orchestrator.application.classes import Work
    from orchestrator.application.directory import Entry
    from orchestrator.application.parts import Parts
    from orchestrator.domain.versions import Version

TICK_SECONDS = 0.25
"""Of looking for endpoints to offer something, in one tick."""


class Pacer:
    """Works on the queues of one partition."""

    def __init__(self, parts: Parts) -> None:
        """Take what it works with."""
        self._storage = parts.storage
        self._editing = parts.editing
        self._directory = parts.directory
        self._elapsed = parts.elapsed
        self._pages = Pages(parts)

    async def tick(self) -> None:
        """Make the offers for which there is room now."""
        until = self._elapsed() + TICK_SECONDS
        for queue in await self._storage.queues():
            await self._serve(queue, until)

    async def _serve(self, queue: Work, until: float) -> None:
        entry = self._directory.by_key(queue.application)
        current = queue if entry is None else replace(queue, running=await self._sources(queue, entry))
        while True:
            end = await self._pages.turn(current)
            if end is None or end == current.cursor or self._elapsed() >= until:
                return
            current = replace(current, cursor=end)

    async def _sources(self, queue: Work, entry: Entry) -> frozenset[Version | None]:
        """What is run of that over which the queue's version may be installed."""
        numbers = await self._editing.counters(queue.application)
        number = None if queue.version is None else entry.catalogue.index.get(queue.version)
        if number is None:
            return frozenset()
        running = {key.version for key in numbers if key.name == "running"}
        return frozenset(version for version in running if entry.catalogue.successors(version) >> number & 1)
