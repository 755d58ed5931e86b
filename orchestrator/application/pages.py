"""One page of a work item: its endpoints are read by class, decided, written, and told.

Rules:
- A page is one transaction; it is made as small as ingestion needs (`paces`).
- Behind a page of the same change on which no class has changed, the next is looked at beside the writer, as long as
  none does: reports do not wait for a change that changes little. Only what has to be decided one by one is then read
  again by the writer. The first page has the writer's turn after the change itself, and so its definitions.
- Who is changed after that look is decided by what changes it, under the same definitions; these are compared first.
- A change concerns all that runs certain versions; a queue only those that would be offered its version, and it goes
  no further than there is room.

Layer: application.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.application import classes, drafts
from orchestrator.application.classes import Page, Renewal
from orchestrator.application.paces import Pace
from orchestrator.domain import changes
from orchestrator.domain.endpoints import HistoryKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.application.classes import ClassVerdict, Look, Work
    from orchestrator.application.directory import Entry
    from orchestrator.application.parts import Parts
    from orchestrator.application.ports import Transaction
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.application.rooms import Ledger
    from orchestrator.domain.versions import Version
    from protocol.topics import Instances

PAGE = 4_000
"""Endpoints looked at in one transaction, at most."""


@dataclass(slots=True, kw_only=True)
class Swept:
    """What a page has come to: how many offers of each version were made and withdrawn."""

    offered: Counter[Version] = field(default_factory=Counter)
    withdrawn: Counter[Version] = field(default_factory=Counter)
    fresh: set[Version] = field(default_factory=set)
    """Software that nobody was offered before."""
    held: set[Version] = field(default_factory=set)
    """Software for which there was not room enough."""
    still: bool = True
    """Whether all of a class stay as they are, for all classes."""

    def add(self, verdict: ClassVerdict, size: int) -> None:
        """Count what happens to the endpoints of a class."""
        hop, offered = verdict.hop, verdict.offered(size)
        if hop is not None:
            self.offered[hop] += offered
            self.held |= {hop} if offered < size else set()
        if verdict.of.attempt is not None and verdict.withdraws:
            self.withdrawn[verdict.of.attempt] += size

    def add_one(self, draft: Draft) -> None:
        """Count what has happened to one endpoint."""
        for entry in draft.entries:
            if entry.version is not None and entry.kind in {HistoryKind.OFFERED, HistoryKind.WITHDRAWN}:
                counted = self.offered if entry.kind is HistoryKind.OFFERED else self.withdrawn
                counted[entry.version] += 1
        if draft.held is not None:
            self.held.add(draft.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was seen beside the writer, and under which definitions nothing of it changes but perhaps the particular."""

    entry: Entry
    look: Look


class Pages:
    """Turns the pages of work items."""

    def __init__(self, parts: Parts) -> None:
        """Take what it works with."""
        self._instances = parts.instances
        self._storage = parts.storage
        self._directory = parts.directory
        self._clock = parts.clock
        self._elapsed = parts.elapsed
        self._rooms = parts.rooms
        self._signals = parts.signals
        self._feed = parts.feed
        self._steps = parts.steps
        self._pace = Pace(most=PAGE)
        self._still: int | None = None
        """The work item of the last page, if no class has changed on it."""

    async def turn(self, work: Work) -> int | None:
        """Do the next page of a work item; return the cursor from which to go on, None when it is done.

        A queue whose cursor stays where it was has come to the end of its room. A cursor behind endpoints of which none
        had to be written is stored with the next one that is: whoever is killed before looks at them again.
        """
        elapsed = self._elapsed
        seen = await self._look(work) if self._still == work.number else None
        if seen is not None and not seen.look.particular:
            return seen.look.end
        async with self._storage.transaction() as transaction:
            begun = elapsed()
            # Inside: a change that is being made has the writer's turn, and replaces the entry before it gives it up.
            entry = self._directory.by_key(work.application)
            at = self._clock.now()
            if entry is None or not _worthwhile(work, entry):
                await transaction.advance(work, None)
                self._still = None
                return None
            ledger = await self._rooms.enter(transaction, [entry], at)
            if work.version is not None and not ledger.may_offer(entry, work.version):
                return work.cursor
            page = await self._read(transaction, work, entry, seen)
            self._steps("sweep-read")
            swept = await _Turning(transaction, entry, ledger, at).write(work, page, self._instances)
            end = await self._advance(transaction, work, page, swept)
            self._steps("sweep-written")
        self._pace.took(elapsed() - begun)
        self._still = work.number if swept.still and end is not None else None
        entry.freeze(swept.fresh, at)
        self._feed.sweep(entry.application.name, swept.offered, swept.withdrawn, at)
        self._steps("sweep-committed")
        self._signals.pushes.set()
        return end

    async def _look(self, work: Work) -> _Seen | None:
        """Look at the next page beside the writer; None: somebody has to be changed there, or it is the last."""
        entry = self._directory.by_key(work.application)
        if entry is None or work.running is None or work.version is not None or work.renews is not None:
            return None
        look = await self._storage.look(work, self._pace.most, entry)
        at = self._clock.now()
        still = all(classes.stays(of, entry, at) for of in look.classes)
        self._still = work.number if still else None
        known = look.end is not None and len(look.particular) <= self._pace.size
        unchanged = self._directory.by_key(work.application) is entry
        return _Seen(entry=entry, look=look) if still and known and unchanged else None

    async def _read(self, transaction: Transaction, work: Work, entry: Entry, seen: _Seen | None) -> Page:
        """What is to be decided: all of the next page, or of one that was looked at what its classes do not say."""
        if seen is None or seen.entry is not entry:
            return await transaction.page(work, self._pace.size, entry)
        membership = self._directory.membership_for([work.application])
        records = await transaction.find_keys(seen.look.particular, membership)
        return Page(end=seen.look.end, particular=records)

    async def _advance(self, transaction: Transaction, work: Work, page: Page, swept: Swept) -> int | None:
        if work.version is not None:
            if swept.held:
                return work.cursor
            if page.end is None and await transaction.requeue(work):
                return 0
        await transaction.advance(work, page.end)
        return page.end


def _worthwhile(work: Work, entry: Entry) -> bool:
    """Whether a queue's version may be offered to anybody; whoever lets it be offered again begins a sweep."""
    if work.version is None:
        return True
    item = entry.catalogue.get(work.version)
    return item is not None and item.servable and not item.rollout.held and entry.application.frozen is None


class _Turning:
    """The writing half of a page."""

    def __init__(self, transaction: Transaction, entry: Entry, ledger: Ledger, at: datetime) -> None:
        self._transaction = transaction
        self._entry = entry
        self._ledger = ledger
        self._at = at

    async def write(self, work: Work, page: Page, instances: Instances) -> Swept:
        """Decide every class and every particular endpoint, and write what becomes of them."""
        transaction, entry, at = self._transaction, self._entry, self._at
        swept = Swept()
        verdicts = self._verdicts(work, page)
        moving = [item for item in verdicts if item.moves]
        if moving:
            await transaction.move_classes(work, page, moving, entry, at)
        swept.still = not verdicts
        for item in verdicts:
            swept.add(item, page.classes[item.of])
        if work.version is None:
            for version in sorted(swept.held):
                await transaction.queue(work.application, version, work.cursor, at)
        await self._write_particular(work, page.particular, swept, instances)
        swept.fresh = entry.unfrozen(swept.offered)
        await transaction.mark_offered([(work.application, version) for version in swept.fresh], at)
        return swept

    def _verdicts(self, work: Work, page: Page) -> list[ClassVerdict]:
        found = []
        for of, size in page.classes.items():
            if work.version is not None and self._entry.decide(of.endpoint(self._at), self._at).hop != work.version:
                continue
            verdict = classes.verdict(of, size, self._entry, self._ledger, self._at)
            if verdict is not None:
                found.append(verdict)
        return found

    async def _write_particular(
        self, work: Work, records: Sequence[EndpointRecord], swept: Swept, instances: Instances
    ) -> None:
        entry, at = self._entry, self._at
        changed, due = [], []
        for record in records:
            draft = drafts.begin(record, self._ledger.room(entry))
            drafts.settle(draft, entry, at)
            if work.running is None:
                drafts.push_anew(draft, entry, instances)
            if work.renews is Renewal.ASKS:
                drafts.ask_anew(draft)
            elif work.renews is Renewal.SHOWN:
                drafts.show_anew(draft, entry)
            due_at = changes.due_at(draft.after, entry.policy_of, at)
            if not drafts.changed(draft) and due_at == record.due_at:
                continue
            draft.push = drafts.pushes_needed(draft, entry)
            swept.add_one(draft)
            changed.append(draft)
            due.append(due_at)
        await self._transaction.store(changed, due, at)
