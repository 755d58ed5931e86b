"""One transaction over plain dictionaries.

Rules:
- The state belongs to the transaction: who begins it hands in a copy.

Layer: persistence; implements `ports.Transaction`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.application import counters, drafts
from orchestrator.application.classes import EndpointClass, Page, Renewal, Work
from orchestrator.application.memberships import Subject
from orchestrator.application.pushes import OFFER
from orchestrator.domain.attempts import OPEN, Attempt, AttemptState, move
from orchestrator.domain.endpoints import HistoryEntry, HistoryKind, TokenState
from orchestrator.persistence.memory_states import Kept

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.application.classes import ClassVerdict
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.ports import Deliveries, Membership
    from orchestrator.application.pushes import ParkedPush, Push
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.memory_states import State

_CLEAR = frozenset({AttemptState.OFFERED, AttemptState.CONFIRMED, AttemptState.WITHDRAWN})


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

    async def store(
        self, drafts: Sequence[Draft], due: Sequence[datetime | None], at: datetime, deliveries: Deliveries = ()
    ) -> Sequence[Push]:
        """See `ports.Transaction.store`."""
        before = self._state.revision
        await self.remember(deliveries)
        for draft, due_at in zip(drafts, due, strict=True):
            self._store(draft, due_at)
        self._state.counters.update(counters.deltas(drafts))
        # A queue begins before the first of those that wait.
        for draft in sorted(drafts, key=lambda draft: draft.before.key):
            if draft.held is not None:
                await self.queue(draft.before.application, draft.held, max(draft.before.key - 1, 0), at)
        return [self._state.push(revision) for revision in range(before + 1, self._state.revision + 1)]

    async def numbers(self, applications: Collection[int], names: Collection[str]) -> Counter[CounterKey]:
        """See `ports.Transaction.numbers`."""
        stored = self._state.counters.items()
        return Counter({key: n for key, n in stored if key.application in applications and key.name in names and n})

    async def queue(self, application: int, version: Version, after: int, at: datetime) -> None:
        """See `ports.Transaction.queue`."""
        del at
        works = self._state.works
        for work in works.values():
            if (work.application, work.version) == (application, version):
                if after < work.cursor:
                    self._state.again.add(work.number)
                return
        number = max(works, default=0) + 1
        works[number] = Work(number=number, application=application, running=frozenset(), cursor=after, version=version)

    async def requeue(self, work: Work) -> bool:
        """See `ports.Transaction.requeue`."""
        again = work.number in self._state.again
        if again:
            self._state.again.discard(work.number)
            self._state.works[work.number] = replace(self._state.works[work.number], cursor=0)
        return again

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
        if draft.repeat and not draft.push:
            self._push(key, OFFER)
        record = drafts.stored(draft, key=key, push_revision=revision, last_history=last)
        endpoint = replace(record.endpoint, filters=frozenset(), zone=None)
        record = replace(record, endpoint=endpoint, subject=None, due_at=due_at)
        state.endpoints[key] = replace(state.endpoints[key], record=record, due_at=due_at)

    def _push(self, key: int, topic: str | None) -> int:
        self._state.revision += 1
        self._state.pushes[self._state.revision] = (key, topic)
        return self._state.revision

    async def mark_offered(self, offered: Collection[tuple[int, Version]], at: datetime) -> None:
        """See `ports.Transaction.mark_offered`."""
        for software in offered:
            self._state.offered.setdefault(software, at)

    async def remember(self, deliveries: Deliveries) -> None:
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
            record = _loaded(kept, lambda _, subject: entry.memberships.belonging(subject))
            if not _concerned(record.endpoint, work):
                continue
            whole = work.running is not None or record.endpoint.offer is None
            if whole and work.renews is None and _plain(kept, entry):
                classes[_class(record.endpoint, entry)] += 1
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
        placed: Counter[EndpointClass] = Counter()
        lone = {record.key for record in page.particular}
        moved, due = [], []
        for key, kept in sorted(self._inside(work), key=lambda item: item[0]):
            record = _loaded(kept, lambda _, subject: entry.memberships.belonging(subject))
            of = _class(record.endpoint, entry)
            concerned = work.cursor < key <= page.end and key not in lone and _concerned(record.endpoint, work)
            verdict = moves.get(of) if concerned else None
            if verdict is not None:
                placed[of] += 1
                draft = _moved(record, verdict, at, room=placed[of] <= verdict.most)
                draft.push = drafts.pushes_needed(draft, entry)
                moved.append(draft)
                due.append(verdict.due_at if draft.after.sequence != record.endpoint.sequence else None)
        await self.store(moved, due, at)

    async def advance(self, work: Work, cursor: int | None) -> None:
        """See `ports.Transaction.advance`."""
        if cursor is None:
            self._state.works.pop(work.number, None)
            self._state.again.discard(work.number)
        else:
            self._state.works[work.number] = replace(self._state.works[work.number], cursor=cursor)

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

    async def drop_pushes(self, revisions: Sequence[int]) -> None:
        """See `ports.Transaction.drop_pushes`."""
        for revision in revisions:
            self._state.pushes.pop(revision, None)


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
    filters, zone = membership(kept.record.application, subject)
    return replace(kept.record, endpoint=replace(endpoint, filters=filters, zone=zone), subject=subject)


def _concerned(endpoint: Endpoint, work: Work) -> bool:
    inside = work.running is None or endpoint.running in work.running
    if work.renews is None or endpoint.asked is not None:
        return inside
    offer = endpoint.offer
    return inside and work.renews is Renewal.SHOWN and offer is not None and offer.state is AttemptState.OFFERED


def _plain(kept: Kept, entry: Entry) -> bool:
    """Whether its class says all about an endpoint; as `sweeping` has it."""
    endpoint = kept.record.endpoint
    ordinary = endpoint.token_state is TokenState.ACTIVE and endpoint.observe and endpoint.pinned is None
    unhindered = not endpoint.setbacks and not endpoint.consents and kept.due_at is None
    clear = endpoint.attempt is None or (endpoint.attempt.state in _CLEAR and endpoint.attempt.healthy is not False)
    return ordinary and unhindered and clear and not _without_term(endpoint, entry)


def _without_term(endpoint: Endpoint, entry: Entry) -> bool:
    """Whether its offer was made before there was a limit that gives its slot back."""
    offer = endpoint.offer
    unheard = offer is not None and offer.reached_at is None and not offer.lapsed
    return offer is not None and unheard and offer.version in entry.catalogue.slotted


def _class(endpoint: Endpoint, entry: Entry) -> EndpointClass:
    attempt = endpoint.attempt
    restrictions = enumerate(entry.catalogue.restrictions)
    held = (1 << place for place, item in restrictions if not item.admits(endpoint))
    of = EndpointClass(
        running=endpoint.running,
        attempt=None,
        origin=None,
        state=AttemptState.OFFERED,
        filters=endpoint.filters,
        asked=endpoint.asked,
        held=sum(held),
        zone=endpoint.zone,
        cohort=endpoint.cohort,
        key=endpoint.key,
    )
    if attempt is None:
        return of
    return replace(
        of,
        attempt=attempt.version,
        origin=attempt.origin,
        state=attempt.state,
        stage=attempt.stage,
        reached=attempt.reached_at is not None,
        healthy=attempt.healthy,
        lapsed=attempt.lapsed,
    )


def _moved(record: EndpointRecord, verdict: ClassVerdict, at: datetime, *, room: bool) -> Draft:
    """The draft of one endpoint of a class that a verdict was given on."""
    draft = drafts.begin(record)
    before = record.endpoint
    attempt = before.attempt
    asks = (verdict.after if room else verdict.rest).asked
    hop = verdict.hop if room else None
    draft.push = hop is not None or verdict.withdraws or asks != before.asked
    if attempt is not None and attempt.state in OPEN:
        attempt = move(attempt, AttemptState.WITHDRAWN, at, reason=verdict.reason)
        draft.entries.append(
            HistoryEntry(at=at, kind=HistoryKind.WITHDRAWN, version=attempt.version, reason=verdict.reason)
        )
    sequence = before.sequence
    if hop is not None:
        draft.superseded += [] if attempt is None else [attempt]
        sequence += 1
        attempt = Attempt(
            version=hop, number=1, sequence=sequence, origin=before.running, offered_at=at, stage=verdict.stage
        )
        draft.entries.append(HistoryEntry(at=at, kind=HistoryKind.OFFERED, version=hop))
    if asks is not None and asks != before.asked:
        draft.entries.append(HistoryEntry(at=at, kind=HistoryKind.ASKED, version=asks))
    consulted = before.consulted or asks is not None
    draft.after = replace(before, attempt=attempt, sequence=sequence, asked=asks, consulted=consulted)
    return draft
