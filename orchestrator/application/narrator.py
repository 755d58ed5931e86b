"""Tells how rollouts get on, when that has changed.

Rules:
- Of rollouts that gates judge: while they go on, and once more when they stop.
- At most once a second for each, and only while somebody reads: at any load it costs one read a second and application.

Layer: application.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from orchestrator.application import rulings
from orchestrator.application.documents import progress, texts
from orchestrator.application.documents.events import PROGRESS
from orchestrator.application.ports import StorageError
from orchestrator.application.problems import NotFoundError

if TYPE_CHECKING:
    from orchestrator.application.directory import Directory
    from orchestrator.application.feeds import Feed
    from orchestrator.application.ports import Clock
    from orchestrator.application.rollouts import Rollouts, View
    from orchestrator.domain.versions import Version

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0


class Narrator:
    """Tells of the rollouts of all applications."""

    def __init__(self, feed: Feed, rollouts: Rollouts, directory: Directory, clock: Clock) -> None:
        """Take what it tells of."""
        self._feed = feed
        self._rollouts = rollouts
        self._directory = directory
        self._clock = clock
        self._told: dict[tuple[str, Version], str] = {}

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
                log.warning("rollouts not read; the next tick tries again", reason=str(error))

    async def tick(self) -> None:
        """Tell of the rollouts that have changed since they were told of last."""
        told: dict[tuple[str, Version], str] = {}
        for name in [entry.application.name for entry in self._directory.entries()]:
            for view in await self._judged(name):
                place = (name, view.record.software.version)
                goes_on = rulings.goes_on(view.record.software)
                if goes_on or place in self._told:
                    text = self._tell(name, view, self._told.get(place))
                    if goes_on:
                        told[place] = text
        self._told = told

    async def _judged(self, name: str) -> list[View]:
        try:
            return await self._rollouts.judged(name)
        except NotFoundError:
            return []

    def _tell(self, name: str, view: View, before: str | None) -> str:
        now = self._clock.now()
        document = progress.build(view, now)
        text = texts.build(document)
        if text != before:
            subject = f"software/{view.record.software.version}/rollout"
            self._feed.tell(name, PROGRESS, subject, document, now)
        return text
