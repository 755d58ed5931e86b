"""The numbers of applications, told when they have changed.

Rules:
- At most once a second for each application, and only while somebody reads: at any load it costs one read a second.

Layer: application.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from orchestrator.application.documents import texts
from orchestrator.application.documents.events import SUMMARY
from orchestrator.application.ports import StorageError
from orchestrator.application.problems import NotFoundError

if TYPE_CHECKING:
    from orchestrator.application.directory import Directory
    from orchestrator.application.feeds import Feed
    from orchestrator.application.observations import Observations
    from orchestrator.application.ports import Clock

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0


class Summaries:
    """Those of all applications."""

    def __init__(self, feed: Feed, observations: Observations, directory: Directory, clock: Clock) -> None:
        """Take what they are made from."""
        self._feed = feed
        self._observations = observations
        self._directory = directory
        self._clock = clock
        self._told: dict[str, str] = {}
        self._due: set[str] = set()

    def renew(self) -> None:
        """Whoever kept what was told has lost it: tell every application's numbers again."""
        self._told.clear()
        self._due.update(entry.application.name for entry in self._directory.entries())

    async def run(self) -> None:
        """Tell what has changed every second, until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self._feed.readers:
                continue
            try:
                await self.tick()
            except StorageError as error:
                if not error.transient:
                    raise
                log.warning("numbers not read; the next tick tries again", reason=str(error))

    async def tick(self) -> None:
        """Tell the numbers that have changed since they were told last."""
        self._due |= self._feed.touched()
        while self._due:
            name = min(self._due)
            await self._tell(name)
            self._due.discard(name)

    async def _tell(self, name: str) -> None:
        try:
            document = await self._observations.summary(name)
        except NotFoundError:
            self._told.pop(name, None)
            return
        text = texts.build(document)
        if self._told.get(name) != text:
            self._told[name] = text
            self._feed.tell(name, SUMMARY, None, document, self._clock.now())
