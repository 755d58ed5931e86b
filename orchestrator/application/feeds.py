"""What happens, in memory: the newest events of all applications, and those who read them.

Rules:
- Events are noted after the commit that made them true, never before.
- Noting costs the same whoever listens: an endpoint's history is kept as it is, and made into events by who reads.
- Readers share one ring, in which each has a place. One that falls behind loses the oldest events and is told how many;
  nothing waits for it.
- Numbers grow by one with each event, also across restarts: a run begins with the microsecond in which it started.

Layer: application; no I/O.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.application.documents import events
from orchestrator.application.documents.events import NUMBERS, OFFERS, Event

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from orchestrator.application.audits import AuditEntry
    from orchestrator.application.directory import Directory
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.records import Draft
    from orchestrator.domain.endpoints import HistoryEntry
    from orchestrator.domain.versions import Version

RING = 10_000
"""Happenings that are remembered; one is all that a batch did to an endpoint, or one event of another kind."""


class _Happening(NamedTuple):
    """One or several events in a row."""

    first: int
    """Number of its first event."""
    ordinal: int
    """How many events of its application came before."""
    application: str
    endpoint_id: str
    entries: Sequence[HistoryEntry]
    registered_at: datetime | None
    told: Event | None
    """The event itself, when it is not about an endpoint's history."""
    size: int
    """How many they are."""

    def events(self) -> Iterator[Event]:
        if self.told is not None:
            yield self.told
            return
        number = self.first
        if self.registered_at is not None:
            yield events.registered(number, self.application, self.endpoint_id, self.registered_at)
            number += 1
        for entry in self.entries:
            yield events.of_history(number, self.application, self.endpoint_id, entry)
            number += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a reader gets at once."""

    events: Sequence[Event]
    dropped: Mapping[str, int]
    """How many events of each application it has missed before these; those without are absent."""
    lost: bool
    """Whether it asked for events that are remembered no more: it has missed some, nobody knows how many."""


class Feed:
    """The events of all applications."""

    def __init__(self, *, start: int = 1, size: int = RING) -> None:
        """Begin with the number `start`, at least 1, and remember `size` happenings."""
        self._next = start
        self._size = size
        self._ring: list[_Happening] = []
        self._position = 0
        self._ordinals: dict[str, int] = {}
        self._touched: set[str] = set()
        self._arrived = asyncio.Event()
        self.readers = 0
        """How many read now."""
        self.closed = False

    @property
    def newest(self) -> int:
        """Number of the newest event, or the one before the first."""
        return self._next - 1

    def note(self, drafts: Iterable[Draft], directory: Directory, *, created: bool = False) -> None:
        """These drafts have been committed: each history entry, and each new endpoint, is an event.

        `created` says that they are of new endpoints; those without a key are in any case.
        """
        for draft in drafts:
            before = draft.before
            new = created or not before.key
            entry = directory.by_key(before.application) if new or draft.entries else None
            if entry is not None:
                registered_at = before.endpoint.registered_at if new else None
                self._append(entry.application.name, before.endpoint_id, draft.entries, registered_at, None)
        self._announce()

    def change(self, entry: AuditEntry, directory: Directory) -> None:
        """An operator's change has been committed; what is about all applications is told to each."""
        names = [item.application.name for item in directory.entries()]
        for name in names if entry.application is None else [entry.application]:
            self.tell(name, entry.action.value, entry.resource, events.of_change(entry), entry.at)

    def sweep(self, application: str, offered: Counter[Version], withdrawn: Counter[Version], at: datetime) -> None:
        """A page of endpoints has been decided anew, with this many offers made and withdrawn."""
        self._touched.add(application)
        if offered or withdrawn:
            self.tell(application, OFFERS, None, events.offers(offered, withdrawn), at)

    def tell(self, application: str, kind: str, subject: str | None, data: Document, at: datetime) -> None:
        """Something else has happened; `data` holds neither a specification nor a token."""
        told = Event(number=self._next, application=application, kind=kind, subject=subject, at=at, data=data)
        self._append(application, "", (), None, told)
        self._announce()

    def touch(self, application: str) -> None:
        """A number of an application has changed by nothing that is an event."""
        self._touched.add(application)

    def touched(self) -> set[str]:
        """The applications of which something was noted since this was asked last, numbers aside."""
        touched, self._touched = self._touched, set()
        return touched

    @contextmanager
    def read(
        self, application: str | None = None, *, after: int | None = None, histories: bool = True
    ) -> Iterator[Reader]:
        """Read events of one application, or of all, that come after number `after`, or from now on.

        Without `histories` those of single endpoints are left out, at no cost.
        """
        self.readers += 1
        try:
            yield Reader(self, application, after, histories=histories)
        finally:
            self.readers -= 1

    def close(self) -> None:
        """Let every reader end: the service stops."""
        self.closed = True
        self._announce()

    def _append(
        self,
        application: str,
        endpoint_id: str,
        entries: Sequence[HistoryEntry],
        registered_at: datetime | None,
        told: Event | None,
    ) -> None:
        ordinal = self._ordinals.get(application, 0)
        size = 1 if told is not None else len(entries) + (registered_at is not None)
        happening = _Happening(self._next, ordinal, application, endpoint_id, entries, registered_at, told, size)
        self._next += size
        self._ordinals[application] = ordinal + size
        if told is None or told.kind not in NUMBERS:
            self._touched.add(application)
        if len(self._ring) < self._size:
            self._ring.append(happening)
        else:
            self._ring[self._position % self._size] = happening
        self._position += 1

    def _announce(self) -> None:
        if self.readers or self.closed:
            arrived, self._arrived = self._arrived, asyncio.Event()
            arrived.set()

    # --- for readers: positions count happenings, from 0

    @property
    def end(self) -> int:
        """The position after the newest happening."""
        return self._position

    @property
    def oldest(self) -> int:
        """The position of the oldest happening that is remembered."""
        return max(0, self._position - self._size)

    def at(self, position: int) -> _Happening:
        """The happening at a position from `oldest` on and before `end`."""
        return self._ring[position % self._size]

    def ordinals(self) -> dict[str, int]:
        """How many events each application has had."""
        return self._ordinals.copy()

    def position_after(self, number: int) -> int | None:
        """Where the event after `number` is; None when it is forgotten, or was never."""
        oldest = self.at(self.oldest).first if self._ring else self._next
        if not oldest - 1 <= number < self._next:
            return None
        low, high = self.oldest, self._position
        while low < high:
            middle = (low + high) // 2
            happening = self.at(middle)
            if happening.first + happening.size <= number + 1:
                low = middle + 1
            else:
                high = middle
        return low

    async def moved(self, position: int) -> None:
        """Wait until there is something from `position` on, or the feed is closed."""
        while self._position <= position and not self.closed:
            await self._arrived.wait()


class Reader:
    """One place in the feed, as `Feed.read` gives it."""

    def __init__(self, feed: Feed, application: str | None, after: int | None, *, histories: bool) -> None:
        """Read of one application, or of all with None; see `Feed.read` for the others."""
        self._histories = histories
        self._feed = feed
        self._application = application
        self._expected: dict[str, int] | None = None
        """How many events of each application it should have seen; None: unknown until the next one of it."""
        self._lost = False
        self.after = feed.newest if after is None else after
        """Number of the last event that it has had."""
        position = feed.end if after is None else feed.position_after(after)
        if after is None:
            self._expected = feed.ordinals()
        elif position is None:
            # Of another run, or older than what is remembered; one that never was is answered from now on.
            self._lost = True
            known = after < feed.newest
            position = feed.oldest if known else feed.end
            self.after = 0 if known else feed.newest
        self._position = feed.end if position is None else position
        self._seen: dict[str, int] = {}

    @property
    def behind(self) -> int:
        """How many happenings, of whichever application, have come and were not looked at."""
        return self._feed.end - self._position

    async def wait(self) -> None:
        """Wait until something has come, of whichever application, or the feed is closed."""
        if not self._lost:
            await self._feed.moved(self._position)

    def take(self, limit: int) -> Taken:
        """What has come, oldest first, at most about `limit` events; does not wait."""
        lost, self._lost = self._lost, False
        self._position = max(self._position, self._feed.oldest)
        taken: list[Event] = []
        dropped: dict[str, int] = {}
        while self._position < self._feed.end and len(taken) < limit:
            happening = self._feed.at(self._position)
            self._position += 1
            name = happening.application
            if self._application not in {None, name}:
                continue
            missed = happening.ordinal - self._due(name, happening.ordinal)
            if missed:
                dropped[name] = dropped.get(name, 0) + missed
            self._seen[name] = happening.ordinal + happening.size
            if self._histories or happening.told is not None:
                taken += (event for event in happening.events() if event.number > self.after)
        if taken:
            self.after = taken[-1].number
        return Taken(events=taken, dropped=dropped, lost=lost)

    def _due(self, application: str, otherwise: int) -> int:
        """How many events of an application should have come before the next one."""
        if application in self._seen:
            return self._seen[application]
        return otherwise if self._expected is None else self._expected.get(application, 0)
