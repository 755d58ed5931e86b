"""The engine's storage in plain dictionaries: the twin that engine tests run on, held to the same contract suite.

Rules:
- A transaction works on a copy, which takes the place of what is stored when it commits; there is one writer.
- It keeps no definitions: those come in with the directory's entries, as everywhere in the engine.

Layer: persistence; implements `ports.Storage`, nothing of `editing`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orchestrator.application.classes import Look, Work
from orchestrator.application.pushes import OFFER, Superseded, push_of
from orchestrator.persistence.memory_states import State
from orchestrator.persistence.memory_transactions import MemoryTransaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from datetime import datetime

    from orchestrator.application.classes import Renewal
    from orchestrator.application.directory import Entry
    from orchestrator.application.pushes import ParkedPush, Place, Push
    from orchestrator.domain.versions import Version


class MemoryStorage:
    """Implements `ports.Storage`."""

    def __init__(self) -> None:
        """Start with nothing stored."""
        self.state = State()
        """What was committed last; tests look into it."""
        self.commits = 0
        """See `ports.Storage.commits`."""
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        """See `ports.Storage.transaction`."""
        async with self._turn:
            state = self.state.copy()
            yield MemoryTransaction(state)
            self.state = state
            self.commits += 1

    async def add_work(
        self, application: int, running: Collection[Version | None] | None, *, renews: Renewal | None = None
    ) -> None:
        """Have endpoints decided anew, as `editing.Edit.add_work` does, or told anew, as `renew` does."""
        async with self._turn:
            number = max(self.state.works, default=0) + 1
            concerned = None if running is None else frozenset(running)
            work = Work(number=number, application=application, running=concerned, cursor=0, renews=renews)
            self.state.works[number] = work

    async def pushes(self, after: int, limit: int) -> list[Push]:
        """See `ports.Storage.pushes`."""
        chosen = sorted(revision for revision in self.state.pushes if revision > after)[:limit]
        return [self.state.push(revision) for revision in chosen]

    async def pushes_of(self, keys: Sequence[int]) -> list[Push]:
        """See `ports.Storage.pushes_of`."""
        known = [self.state.endpoints[key].record for key in keys if key in self.state.endpoints]
        return [push_of(record.push_revision, None, record) for record in known]

    async def superseded(self, after: int, upto: int, limit: int) -> Superseded:
        """See `ports.Storage.superseded`."""
        state = self.state
        looked = sorted(revision for revision in state.pushes if after < revision <= upto)[:limit]
        current = {kept.record.push_revision for kept in state.endpoints.values()}
        stale = [one for one in looked if state.pushes[one][1] in ({OFFER} if one in current else {OFFER, None})]
        return Superseded(revisions=stale, end=looked[-1] if len(looked) == limit else None)

    async def push_sample(self, after_key: int, limit: int) -> list[Push]:
        """See `ports.Storage.push_sample`."""
        pushed = (kept.record for key, kept in sorted(self.state.endpoints.items()) if key > after_key)
        chosen = [record for record in pushed if record.push_revision][:limit]
        return [push_of(record.push_revision, None, record) for record in chosen]

    async def residents(self, places: Sequence[Place]) -> dict[Place, Push]:
        """See `ports.Storage.residents`."""
        records = [kept.record for kept in self.state.endpoints.values()]
        found = [push_of(record.push_revision, None, record) for record in records]
        return {push.place: push for push in found if push.place in places}

    async def all_parked_topics(self) -> set[str]:
        """See `ports.Storage.all_parked_topics`."""
        return set(self.state.parked)

    async def parked(self, now: datetime, limit: int) -> list[ParkedPush]:
        """See `ports.Storage.parked`."""
        due = (push for push in self.state.parked.values() if push.retry_at <= now)
        return sorted(due, key=lambda push: push.retry_at)[:limit]

    async def look(self, work: Work, limit: int, entry: Entry) -> Look:
        """See `ports.Storage.look`."""
        page = await MemoryTransaction(self.state).page(work, limit, entry)
        return Look(
            end=page.end, classes=tuple(page.classes), particular=tuple(record.key for record in page.particular)
        )

    async def works(self) -> list[Work]:
        """See `ports.Storage.works`."""
        changes = [work for _, work in sorted(self.state.works.items()) if work.version is None]
        return sorted(changes, key=lambda work: work.renews is None)

    async def queues(self) -> list[Work]:
        """See `ports.Storage.queues`."""
        return [work for _, work in sorted(self.state.works.items()) if work.version is not None]

    async def deliveries(self) -> dict[int, int]:
        """See `ports.Storage.deliveries`."""
        return dict(self.state.deliveries)

    async def watermark(self) -> int:
        """See `ports.Storage.watermark`."""
        return self.state.watermark

    @property
    def revision(self) -> int:
        """See `ports.Storage.revision`."""
        return self.state.revision

    async def last_revision(self) -> int:
        """See `ports.Storage.last_revision`."""
        return max(max(self.state.pushes, default=0), self.state.watermark)

    async def alive_at(self) -> datetime | None:
        """See `ports.Storage.alive_at`."""
        return self.state.alive_at

    async def dates_at(self) -> datetime | None:
        """See `ports.Storage.dates_at`."""
        return self.state.dates_at

    async def outages(self) -> list[tuple[datetime, datetime]]:
        """See `ports.Storage.outages`."""
        return sorted(self.state.outages.items())
