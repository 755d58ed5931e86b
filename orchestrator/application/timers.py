"""What time does: back-offs, soaks and deadlines end, dates and windows come, stages begin, room is used.

Rules:
- Nothing happens before the present connection is reconciled: an endpoint's report may be waiting in the broker.
- Time without a broker, and the hour after a jump of the clock, does not count for deadlines.
- Superseded pushes are looked for beside the writer, and dropped in transactions as short as reports need.
- Due endpoints are found by an index, in bounded batches; a tick with nothing due reads one index page.
- A rollout date becomes a work item once, in the transaction that notes it, which is one for all applications.

Layer: application.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from orchestrator.application import drafts
from orchestrator.application.pacer import Pacer
from orchestrator.application.paces import Pace
from orchestrator.application.ports import StorageError
from orchestrator.domain import changes, trials
from orchestrator.domain.facts import DeadlinePassed
from orchestrator.domain.graphs import concerned_by
from protocol.links import LinkLost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.application.gatekeeper import Gatekeeper
    from orchestrator.application.outages import Outages
    from orchestrator.application.parts import Parts
    from orchestrator.application.publisher import Publisher
    from orchestrator.application.reconciler import Reconciler
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.application.rooms import Ledger
    from orchestrator.domain.versions import Version

log = structlog.get_logger(__name__)

DUE = 500
"""Endpoints whose timers are worked off in one transaction."""
TICK_SECONDS = 1.0
IDLE_RAISE = timedelta(seconds=5)
"""How often an idle service says that it is alive."""
PRUNED = 20_000
"""Pushes looked at for pruning in one tick, beside the writer."""
DROPPED = 4_000
"""Most pushes that one transaction drops."""
PRUNE_AGAIN = timedelta(minutes=10)
"""After the last push, until the first is looked at again."""


class Timers:
    """One loop for everything that waits for an instant."""

    def __init__(
        self,
        parts: Parts,
        publisher: Publisher,
        reconciler: Reconciler,
        outages: Outages,
        gatekeeper: Gatekeeper,
        *,
        sample_every: timedelta,
    ) -> None:
        """Take what it works with; some topics are read back every `sample_every`."""
        self._gatekeeper = gatekeeper
        self._pacer = Pacer(parts)
        self._link = parts.link
        self._storage = parts.storage
        self._editing = parts.editing
        self._directory = parts.directory
        self._publisher = publisher
        self._reconciler = reconciler
        self._presence = parts.presence
        self._outages = outages
        self._clock = parts.clock
        self._rooms = parts.rooms
        self._signals = parts.signals
        self._feed = parts.feed
        self._tallies = parts.tallies
        self._steps = parts.steps
        self._sample_every = sample_every
        self._sampled_at = parts.clock.now()
        self._raised_at = parts.clock.now()
        self._raised = 0
        self._elapsed = parts.elapsed
        self._pruned = 0
        self._dropping = Pace(most=DROPPED)
        self._prune_at = parts.clock.now()

    async def run(self) -> None:
        """Tick every second, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._signals.dates.wait()
            except TimeoutError:
                pass
            self._signals.dates.clear()
            try:
                await self.tick()
            except LinkLost as lost:
                log.info("the connection ended in a tick", reason=lost.reason)
            except StorageError as error:
                if not error.transient:
                    raise
                log.warning("tick interrupted; the next one goes on", reason=str(error))

    async def tick(self) -> None:
        """Do everything that is due now."""
        # Looked at without a broker too: a clock that nobody looks at takes the service for asleep.
        self._clock.now()
        connection = self._link.connection
        if connection is None:
            self._reconciler.lost()
            return
        if self._presence.reconciled != connection.number:
            return
        await self.elapse()
        await self._keep_house()

    async def elapse(self) -> None:
        """Do what the present instant asks for, housekeeping aside."""
        await self._open_dates()
        while await self._work_off_due() == DUE:
            pass
        await self.judge_and_pace()

    async def judge_and_pace(self) -> None:
        """Let stages begin or end, then make the offers for which there is room."""
        await self._gatekeeper.tick()
        await self._pacer.tick()

    async def _open_dates(self) -> None:
        now = self._clock.now()
        since = await self._storage.dates_at()
        if since is None:
            async with self._storage.transaction() as transaction:
                await transaction.note_dates(now)
                self._steps("dates-written")
            self._steps("dates-committed")
            return
        found = [(entry, entry.catalogue.opening_between(since, now)) for entry in self._directory.entries()]
        if any(opened for _, opened in found):
            await self._open([(entry, opened) for entry, opened in found if opened], now)

    async def _open(self, openings: Sequence[tuple[Entry, frozenset[Version]]], now: datetime) -> None:
        works = [(entry.application.key, await self._touched(entry, opened)) for entry, opened in openings]
        async with self._editing.edit() as edit:
            for application, touched in works:
                if touched:
                    await edit.add_work(application, touched, now)
            await edit.note_dates(now)
            self._steps("dates-written")
        self._steps("dates-committed")
        self._signals.work.set()

    async def _touched(self, entry: Entry, opened: frozenset[Version]) -> set[Version | None]:
        counters = await self._editing.counters(entry.application.key)
        running = [key.version for key in counters if key.name == "running"]
        return concerned_by(entry.catalogue, opened, [version for version in running if version is not None])

    async def _work_off_due(self) -> int:
        now = self._clock.now()
        membership = self._directory.membership_for(entry.application.key for entry in self._directory.entries())
        async with self._storage.transaction() as transaction:
            records = await transaction.find_due(now, DUE, membership)
            if not records:
                return 0
            concerned = {record.application for record in records}
            ledger = await self._rooms.enter(transaction, map(self._directory.by_key, concerned), now)
            worked = [self._work_off(record, ledger, now) for record in records]
            done = [draft for draft, _ in worked]
            offered = {(draft.before.application, version) for draft in done for version in drafts.offered(draft)}
            await transaction.store(done, [due for _, due in worked], now)
            await transaction.mark_offered(offered, now)
            self._steps("timers-stored")
        self._steps("timers-committed")
        for application, version in offered:
            entry = self._directory.by_key(application)
            if entry is not None:
                entry.freeze([version], now)
        self._feed.note(done, self._directory)
        self._tallies.deadlines += len(records)
        self._publisher.wake()
        return len(records)

    def _work_off(self, record: EndpointRecord, ledger: Ledger, now: datetime) -> tuple[Draft, datetime | None]:
        entry = self._directory.by_key(record.application)
        draft = drafts.begin(record, ledger.room(entry))
        if entry is None:
            return draft, None
        resumes_at = self._resumes_at(record, entry, now)
        if resumes_at is None:
            drafts.hear(draft, entry, DeadlinePassed(at=now), watermark=self._publisher.watermark, at=now)
        else:
            drafts.settle(draft, entry, now)
        draft.push = drafts.pushes_needed(draft, entry)
        due = changes.due_at(draft.after, entry.policy_of, now)
        if due is not None and due <= now:
            due = resumes_at or now
        return draft, due if due is None or due > now else now + timedelta(seconds=1)

    def _resumes_at(self, record: EndpointRecord, entry: Entry, now: datetime) -> datetime | None:
        """When the attempt is looked at again whose term is over and does not count yet; None: it counts."""
        term = trials.term(record.endpoint.attempt, entry.policy_of)
        if term is None or term.until > now:
            return None
        resumes_at = term.until + self._outages.within(term.since, now)
        if resumes_at > now:
            return resumes_at
        suspension = self._clock.suspension()
        return now + suspension if suspension else None

    async def _keep_house(self) -> None:
        now = self._clock.now()
        moved = self._publisher.watermark != self._raised
        if moved or now - self._raised_at >= IDLE_RAISE:
            self._raised, self._raised_at = self._publisher.watermark, now
            await self._publisher.raise_sentinel()
        await self._publisher.retry_parked()
        await self.prune()
        if now - self._sampled_at >= self._sample_every:
            self._sampled_at = now
            await self._reconciler.sample()

    async def prune(self) -> None:
        """Drop superseded pushes, a stretch at a time, so that the log stays as long as there are topics."""
        now = self._clock.now()
        if now < self._prune_at:
            return
        found = await self._storage.superseded(self._pruned, self._publisher.watermark, PRUNED)
        await self._drop(found.revisions)
        self._pruned = found.end or 0
        if found.end is None:
            self._prune_at = now + PRUNE_AGAIN

    async def _drop(self, revisions: Sequence[int]) -> None:
        while revisions:
            size = self._dropping.size
            async with self._storage.transaction() as transaction:
                begun = self._elapsed()
                await transaction.drop_pushes(revisions[:size])
                self._steps("pruning-written")
            self._steps("pruning-committed")
            self._dropping.took(self._elapsed() - begun)
            revisions = revisions[size:]
