"""What follows from a change of software, filter or time: the endpoints that it concerns are decided anew.

Rules:
- Such a change is a stored work item with a cursor; a page of endpoints is one transaction, so that a sweep that was
  killed goes on where it was and reports are let in between. Pages on which nothing changes need none (`pages`).
- Endpoints with nothing particular are decided once per class and written by one statement per table; the others
  (setbacks, pins, started installs, running timers, suspended tokens) one by one, as reports are.
- Those for which there is no room now are queued: the `pacer` goes on with them.

Layer: application.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from orchestrator.application.pages import Pages
from orchestrator.application.ports import StorageError

if TYPE_CHECKING:
    from orchestrator.application.classes import Work
    from orchestrator.application.parts import Parts

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0


class Sweeper:
    """Draws the consequences of changes, page by page."""

    def __init__(self, parts: Parts) -> None:
        """Take what it works with."""
        self._storage = parts.storage
        self._signals = parts.signals
        self._tallies = parts.tallies
        self._pages = Pages(parts)

    async def run(self) -> None:
        """Work off work items whenever there are some, until cancelled."""
        while True:
            await self._signals.work.wait()
            self._signals.work.clear()
            try:
                for work in await self._storage.works():
                    await self.work_off(work)
            except StorageError as error:
                if not error.transient:
                    raise
                log.warning("sweep interrupted; going on where it was", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self._signals.work.set()

    async def work_off(self, work: Work) -> None:
        """Finish one work item."""
        current: Work | None = work
        while current is not None:
            current = await self._page(current)

    async def _page(self, work: Work) -> Work | None:
        end = await self._pages.turn(work)
        self._tallies.swept_pages += 1
        return None if end is None else replace(work, cursor=end)
