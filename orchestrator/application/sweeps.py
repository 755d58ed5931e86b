"""What follows from a change of software, filter or time: the endpoints that it concerns are decided anew.

Rules:
- Such a change is a stored work item with a cursor; a page of endpoints is one transaction, so that a sweep that was
  killed goes on where it was and reports are let in between.
- Endpoints with nothing particular are decided once per class and written by one statement per table; the others
  (setbacks, pins, started installs, running timers, suspended tokens) one by one, as reports are.
- Both ways take the same decision: the class's is that of an endpoint of the class (a property test holds them).

Layer: application.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from orchestrator.application import drafts
from orchestrator.application.counters import CounterKey
from orchestrator.application.paces import Pace
from orchestrator.application.ports import StorageError
from orchestrator.domain import changes
from orchestrator.domain.attempts import OPEN, AttemptState
from orchestrator.domain.endpoints import Attempt, Endpoint, HistoryKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.application.parts import Parts
    from orchestrator.application.ports import Transaction
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.domain.versions import Version

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
PAGE = 4_000
"""Endpoints looked at in one transaction, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One change whose consequences are being drawn."""

    number: int
    application: int
    running: frozenset[Version | None] | None
    """Only endpoints that run one of these are concerned; None: all, and their pushes are written anew."""
    cursor: int
    """Key of the last endpoint looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointClass:
    """Endpoints that differ in nothing that the decision, the offer or the numbers look at."""

    running: Version | None
    attempt: Version | None
    origin: Version | None
    state: AttemptState
    """Meaningless without an attempt."""
    filters: frozenset[str]
    numbers: tuple[int, ...] = ()
    """What the storage knows the class by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassVerdict:
    """What happens to every endpoint of a class: its offer is withdrawn, or a new one is made, or both."""

    of: EndpointClass
    hop: Version | None
    reason: str | None
    """Why an open offer is withdrawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The next endpoints of a work item."""

    end: int | None
    """Key of the last endpoint looked at; None: there are no more."""
    classes: dict[EndpointClass, int] = field(default_factory=dict)
    """How many endpoints each class has."""
    particular: Sequence[EndpointRecord] = ()
    """Endpoints that have to be looked at one by one."""


def verdict(of: EndpointClass, entry: Entry, at: datetime) -> ClassVerdict | None:
    """What replanning does to an endpoint of this class; None: nothing."""
    attempt = None
    if of.attempt is not None:
        attempt = Attempt(version=of.attempt, number=1, sequence=1, origin=of.origin, state=of.state, offered_at=at)
    endpoint = Endpoint(running=of.running, registered_at=at, filters=of.filters, attempt=attempt, sequence=1)
    change = changes.replan(endpoint, entry.decide(endpoint, at), entry.catalogue, at)
    after = change.endpoint.attempt
    if change.endpoint is endpoint or after is None:
        return None
    reason = next((item.reason for item in change.entries if item.version == of.attempt), None)
    return ClassVerdict(of=of, hop=after.version if after.state is AttemptState.OFFERED else None, reason=reason)


def differences(
    application: int, verdicts: Sequence[ClassVerdict], sizes: dict[EndpointClass, int]
) -> Counter[CounterKey]:
    """What the verdicts do to the stored numbers."""
    total: Counter[CounterKey] = Counter()
    for item in verdicts:
        of, amount = item.of, sizes[item.of]
        was_open = of.state in OPEN
        if of.attempt is not None:
            settled = AttemptState.WITHDRAWN if was_open else of.state
            total[CounterKey(application, "latest", of.attempt, None, of.state.value)] -= amount
            total[CounterKey(application, "attempts", of.attempt, of.origin, of.state.value)] -= amount
            total[CounterKey(application, "attempts", of.attempt, of.origin, settled.value)] += amount
            if item.hop is None:
                total[CounterKey(application, "latest", of.attempt, None, settled.value)] += amount
        if item.hop is not None:
            offered = AttemptState.OFFERED.value
            total[CounterKey(application, "latest", item.hop, None, offered)] += amount
            total[CounterKey(application, "attempts", item.hop, of.running, offered)] += amount
    return Counter({key: amount for key, amount in total.items() if amount})


@dataclass(slots=True, kw_only=True)
class _Swept:
    """What a page has come to: how many offers of each version were made and withdrawn."""

    offered: Counter[Version] = field(default_factory=Counter)
    withdrawn: Counter[Version] = field(default_factory=Counter)
    fresh: set[Version] = field(default_factory=set)
    """Software that nobody was offered before."""

    def add(self, verdict: ClassVerdict, amount: int) -> None:
        """Count what happens to each endpoint of a class."""
        if verdict.hop is not None:
            self.offered[verdict.hop] += amount
        if verdict.of.attempt is not None and verdict.of.state in OPEN:
            self.withdrawn[verdict.of.attempt] += amount

    def add_one(self, draft: Draft) -> None:
        """Count what has happened to one endpoint."""
        for entry in draft.entries:
            if entry.version is not None and entry.kind in {HistoryKind.OFFERED, HistoryKind.WITHDRAWN}:
                counted = self.offered if entry.kind is HistoryKind.OFFERED else self.withdrawn
                counted[entry.version] += 1


class Sweeper:
    """Draws the consequences of changes, page by page."""

    def __init__(self, parts: Parts) -> None:
        """Take what it works with."""
        self._instances = parts.instances
        self._storage = parts.storage
        self._directory = parts.directory
        self._clock = parts.clock
        self._signals = parts.signals
        self._feed = parts.feed
        self._tallies = parts.tallies
        self._steps = parts.steps
        self._pace = Pace(most=PAGE)

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
        elapsed = asyncio.get_running_loop().time
        async with self._storage.transaction() as transaction:
            begun = elapsed()
            # Inside: a change that is being made has the writer's turn, and replaces the entry before it gives it up.
            entry = self._directory.by_key(work.application)
            if entry is None:
                await transaction.advance(work, None)
                return None
            page = await transaction.page(work, self._pace.size, entry)
            self._steps("sweep-read")
            swept = await self._write(transaction, work, page, entry)
            await transaction.advance(work, page.end)
            self._steps("sweep-written")
        self._pace.took(elapsed() - begun)
        at = self._clock.now()
        entry.freeze(swept.fresh, at)
        self._feed.sweep(entry.application.name, swept.offered, swept.withdrawn, at)
        self._steps("sweep-committed")
        self._tallies.swept_pages += 1
        self._signals.pushes.set()
        return None if page.end is None else replace(work, cursor=page.end)

    async def _write(self, transaction: Transaction, work: Work, page: Page, entry: Entry) -> _Swept:
        at = self._clock.now()
        swept = _Swept()
        verdicts = [item for item in (verdict(of, entry, at) for of in page.classes) if item is not None]
        if verdicts:
            await transaction.move_classes(work, page, verdicts, entry, at)
        for item in verdicts:
            swept.add(item, page.classes[item.of])
        changed = []
        for record in page.particular:
            draft = drafts.begin(record)
            drafts.settle(draft, entry, at)
            if work.running is None:
                drafts.push_anew(draft, entry, self._instances)
            if drafts.changed(draft):
                draft.push = drafts.pushes_needed(draft, entry)
                swept.add_one(draft)
                changed.append(draft)
        due = [changes.due_at(draft.after, entry.policy_of, at) for draft in changed]
        await transaction.store(changed, due, at)
        swept.fresh = entry.unfrozen(swept.offered)
        await transaction.mark_offered([(work.application, version) for version in swept.fresh], at)
        return swept
