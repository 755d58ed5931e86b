"""One transaction over plain dictionaries, and what they hold.

Rules:
- The state belongs to the transaction: who begins it hands in a copy.

Layer: persistence; implements `ports.Transaction`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.application import counters, drafts
from orchestrator.application.memberships import Subject
from orchestrator.application.sweeps import EndpointClass, Page, Work
from orchestrator.domain.attempts import OPEN, Attempt, AttemptState, move
from orchestrator.domain.endpoints import HistoryEntry, HistoryKind, TokenState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.ports import Membership
    from orchestrator.application.pushes import ParkedPush
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.application.sweeps import ClassVerdict
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.versions import Version

_CLEAR = frozenset({AttemptState.OFFERED, AttemptState.CONFIRMED, AttemptState.WITHDRAWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One endpoint as it is kept."""

    record: EndpointRecord
    endpoint_id: str
    attributes: str = "{}"
    due_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that is stored; its values are never changed in place, so that a copy is shallow."""

    endpoints: dict[int, Kept] = field(default_factory=dict)
    history: dict[int, tuple[int, HistoryEntry]] = field(default_factory=dict)
    """Number → number of the entry before, and the entry."""
    attempts: dict[int, tuple[Attempt, ...]] = field(default_factory=dict)
    """Superseded ones by endpoint, oldest first."""
    pushes: dict[int, tuple[int, str | None]] = field(default_factory=dict)
    """Revision → endpoint, or 0 and the topic that was left."""
    counters: Counter[CounterKey] = field(default_factory=Counter)
    offered: dict[tuple[int, Version], datetime] = field(default_factory=dict)
    parked: dict[str, ParkedPush] = field(default_factory=dict)
    works: dict[int, Work] = field(default_factory=dict)
    deliveries: dict[int, int] = field(default_factory=dict)
    dead_letters: dict[int, tuple[str, bytes, str, datetime]] = field(default_factory=dict)
    outages: dict[datetime, datetime] = field(default_factory=dict)
    serial: int = 0
    revision: int = 0
    watermark: int = 0
    alive_at: datetime | None = None
    dates_at: datetime | None = None

    def copy(self) -> State:
        """Another state with the same content."""
        return replace(
            self,
            endpoints=self.endpoints.copy(),
            history=self.history.copy(),
            attempts=self.attempts.copy(),
            pushes=self.pushes.copy(),
            counters=self.counters.copy(),
            offered=self.offered.copy(),
            parked=self.parked.copy(),
            works=self.works.copy(),
            deliveries=self.deliveries.copy(),
            dead_letters=self.dead_letters.copy(),
            outages=self.outages.copy(),
        )


class MemoryTransaction:
    """Implements `ports.Transaction` on a state of its own."""

    def __init__(self, state: State) -> None:
        """Work on `state` in place."""
        self._state = state

    async def find(self, tokens: Sequence[tuple[int, str]], membership: Membership | None) -> list[EndpointRecord]:
        """See `ports.Transaction.find`."""
        wanted = set(tokens)
        found = (kept for kept in self._state.endpoints.values() if _place(kept.record) in wanted)
        return [_loaded(kept, membership) for kept in found]

    async def find_keys(self, keys: Sequence[int], membership: Membership | None) -> list[EndpointRecord]:
        """See `ports.Transaction.find_keys`."""
        return [_loaded(self._state.endpoints[key], membership) for key in keys if key in self._state.endpoints]

    async def find_due(self, now: datetime, limit: int, membership: Membership | None) -> list[EndpointRecord]:
        """See `ports.Transaction.find_due`."""
        moments = ((kept.due_at, key) for key, kept in self._state.endpoints.items())
        due = sorted((moment, key) for moment, key in moments if moment is not None and moment <= now)
        return await self.find_keys([key for _, key in due[:limit]], membership)

    async def taken(self, endpoint_ids: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
        """See `ports.Transaction.taken`."""
        present = {(kept.record.application, kept.endpoint_id) for kept in self._state.endpoints.values()}
        return present.intersection(endpoint_ids)

    async def attributes(self, keys: Sequence[int]) -> dict[int, str]:
        """See `ports.Transaction.attributes`."""
        return {key: self._state.endpoints[key].attributes for key in keys if key in self._state.endpoints}

    async def save_attributes(self, attributes: Mapping[int, str]) -> None:
        """See `ports.Transaction.save_attributes`."""
        for key, text in attributes.items():
            self._state.endpoints[key] = replace(self._state.endpoints[key], attributes=text)

    async def store(self, drafts: Sequence[Draft], due: Sequence[datetime | None], at: datetime) -> None:
        """See `ports.Transaction.store`."""
        del at
        for draft, due_at in zip(drafts, due, strict=True):
            self._store(draft, due_at)
        self._state.counters.update(counters.deltas(drafts))

    def _store(self, draft: Draft, due_at: datetime | None) -> None:
        state, before = self._state, draft.before
        key = before.key
        if not key:
            state.serial += 1
            key = state.serial
            state.endpoints[key] = Kept(
                record=before, endpoint_id=before.endpoint_id, attributes=draft.new_attributes or "{}"
            )
        last = before.last_history
        for entry in draft.entries:
            state.history[len(state.history) + 1] = (last, entry)
            last = len(state.history)
        state.attempts[key] = (*state.attempts.get(key, ()), *draft.superseded)
        for topic in draft.cleared_topics:
            self._push(0, topic)
        revision = self._push(key, None) if draft.push else before.push_revision
        record = drafts.stored(draft, key=key, push_revision=revision, last_history=last)
        record = replace(record, endpoint=replace(record.endpoint, filters=frozenset()), subject=None)
        state.endpoints[key] = replace(state.endpoints[key], record=record, due_at=due_at)

    def _push(self, key: int, topic: str | None) -> int:
        self._state.revision += 1
        self._state.pushes[self._state.revision] = (key, topic)
        return self._state.revision

    async def mark_offered(self, offered: Collection[tuple[int, Version]], at: datetime) -> None:
        """See `ports.Transaction.mark_offered`."""
        for software in offered:
            self._state.offered.setdefault(software, at)

    async def remember(self, deliveries: Sequence[tuple[int, int]]) -> None:
        """See `ports.Transaction.remember`."""
        self._state.deliveries.update(deliveries)

    async def forget_deliveries(self) -> None:
        """See `ports.Transaction.forget_deliveries`."""
        self._state.deliveries.clear()

    async def bury(self, topic: str, payload: bytes, error: str, at: datetime) -> None:
        """See `ports.Transaction.bury`."""
        self._state.dead_letters[len(self._state.dead_letters) + 1] = (topic, payload, error, at)

    async def page(self, work: Work, limit: int, entry: Entry) -> Page:
        """See `ports.Transaction.page`."""
        keys = sorted(key for key, kept in self._inside(work) if key > work.cursor)[:limit]
        if not keys:
            return Page(end=None)
        classes: Counter[EndpointClass] = Counter()
        particular = []
        for kept in map(self._state.endpoints.__getitem__, keys):
            record = _loaded(kept, lambda _, subject: entry.memberships.of(subject))
            if not _concerned(record.endpoint, work):
                continue
            if _plain(kept) and (work.running is not None or record.endpoint.offer is None):
                classes[_class(record.endpoint)] += 1
            else:
                particular.append(record)
        return Page(end=keys[-1], classes=dict(classes), particular=particular)

    def _inside(self, work: Work) -> Iterable[tuple[int, Kept]]:
        kept = self._state.endpoints.items()
        return ((key, item) for key, item in kept if item.record.application == work.application)

    async def move_classes(
        self, work: Work, page: Page, verdicts: Sequence[ClassVerdict], entry: Entry, at: datetime
    ) -> None:
        """See `ports.Transaction.move_classes`."""
        if page.end is None:
            return
        moves = {item.of: item for item in verdicts}
        lone = {record.key for record in page.particular}
        moved = []
        for key, kept in sorted(self._inside(work), key=lambda item: item[0]):
            record = _loaded(kept, lambda _, subject: entry.memberships.of(subject))
            concerned = work.cursor < key <= page.end and key not in lone and _concerned(record.endpoint, work)
            verdict = moves.get(_class(record.endpoint)) if concerned else None
            if verdict is not None:
                draft = _moved(record, verdict, at)
                draft.push = drafts.pushes_needed(draft, entry)
                moved.append(draft)
        await self.store(moved, [None] * len(moved), at)

    async def advance(self, work: Work, cursor: int | None) -> None:
        """See `ports.Transaction.advance`."""
        if cursor is None:
            self._state.works.pop(work.number, None)
        else:
            self._state.works[work.number] = replace(work, cursor=cursor)

    async def park(self, pushes: Sequence[ParkedPush]) -> None:
        """See `ports.Transaction.park`."""
        for push in pushes:
            earlier = self._state.parked.get(push.topic, push)
            self._state.parked[push.topic] = replace(push, parked_at=earlier.parked_at)

    async def unpark(self, topics: Sequence[str]) -> None:
        """See `ports.Transaction.unpark`."""
        for topic in topics:
            self._state.parked.pop(topic, None)

    async def raise_watermark(self, revision: int, at: datetime) -> None:
        """See `ports.Transaction.raise_watermark`."""
        self._state.watermark, self._state.alive_at = revision, at

    async def note_dates(self, at: datetime) -> None:
        """See `ports.Transaction.note_dates`."""
        self._state.dates_at = at

    async def add_outage(self, started_at: datetime, ended_at: datetime) -> None:
        """See `ports.Transaction.add_outage`."""
        self._state.outages[started_at] = ended_at

    async def prune(self, below: int, limit: int) -> int:
        """See `ports.Transaction.prune`."""
        current = {kept.record.push_revision for kept in self._state.endpoints.values()}
        for revision, (_, topic) in list(self._state.pushes.items()):
            if below < revision <= below + limit and topic is None and revision not in current:
                del self._state.pushes[revision]
        return below + limit


def _place(record: EndpointRecord) -> tuple[int, str]:
    return record.application, record.token


def _loaded(kept: Kept, membership: Membership | None) -> EndpointRecord:
    if membership is None:
        return kept.record
    endpoint = kept.record.endpoint
    subject = Subject(
        attributes=kept.attributes,
        endpoint_id=kept.endpoint_id,
        app_version=kept.record.app_version,
        running=endpoint.running,
        registered_at=endpoint.registered_at,
        last_seen_at=endpoint.last_seen_at,
    )
    filters = membership(kept.record.application, subject)
    return replace(kept.record, endpoint=replace(endpoint, filters=filters), subject=subject)


def _concerned(endpoint: Endpoint, work: Work) -> bool:
    return work.running is None or endpoint.running in work.running


def _plain(kept: Kept) -> bool:
    """Whether its class says all about an endpoint; as `sweeping` has it."""
    endpoint = kept.record.endpoint
    ordinary = endpoint.token_state is TokenState.ACTIVE and endpoint.observe and endpoint.pinned is None
    unhindered = not endpoint.setbacks and not endpoint.consents and kept.due_at is None
    return ordinary and unhindered and (endpoint.attempt is None or endpoint.attempt.state in _CLEAR)


def _class(endpoint: Endpoint) -> EndpointClass:
    attempt = endpoint.attempt
    return EndpointClass(
        running=endpoint.running,
        attempt=None if attempt is None else attempt.version,
        origin=None if attempt is None else attempt.origin,
        state=AttemptState.OFFERED if attempt is None else attempt.state,
        filters=endpoint.filters,
    )


def _moved(record: EndpointRecord, verdict: ClassVerdict, at: datetime) -> Draft:
    """The draft of one endpoint of a class that a verdict was given on."""
    draft = drafts.begin(record)
    attempt = record.endpoint.attempt
    draft.push = True
    if attempt is not None and attempt.state in OPEN:
        attempt = move(attempt, AttemptState.WITHDRAWN, at, reason=verdict.reason)
        draft.entries.append(
            HistoryEntry(at=at, kind=HistoryKind.WITHDRAWN, version=attempt.version, reason=verdict.reason)
        )
    sequence = record.endpoint.sequence
    if verdict.hop is not None:
        draft.superseded += [] if attempt is None else [attempt]
        sequence += 1
        attempt = Attempt(
            version=verdict.hop, number=1, sequence=sequence, origin=record.endpoint.running, offered_at=at
        )
        draft.entries.append(HistoryEntry(at=at, kind=HistoryKind.OFFERED, version=verdict.hop))
    draft.after = replace(record.endpoint, attempt=attempt, sequence=sequence)
    return draft
