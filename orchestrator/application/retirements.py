"""Endpoints that have not been heard for long: how many there are, and their retirement where that is wanted.

Rules:
- An endpoint is unseen when it has been silent for `unseen_after`, and is retired after `retire_after`, if that is set:
  its offer is withdrawn, it counts in no stage, and its first accepted message brings it back.
- Time without a broker or without this service is no silence, and nobody is retired before everything that had waited
  in the broker is committed, nor while deadlines are suspended.
- How many are unseen is told per application, for its numbers: as of the last round.
- Whoever is to be retired is looked at again in the transaction that does it.

Layer: application.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from orchestrator.application import drafts
from orchestrator.application.ports import StorageError
from orchestrator.domain import changes
from orchestrator.domain.endpoints import TokenState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from datetime import datetime, timedelta

    from orchestrator.application.outages import Outages
    from orchestrator.application.parts import Parts
    from orchestrator.application.publisher import Publisher
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.application.rooms import Ledger

log = structlog.get_logger(__name__)

FIRST_SECONDS = 5.0
"""After the start, until endpoints are looked at first."""
ROUND_SECONDS = 600.0
"""Between two rounds of all endpoints; where spans are short, a quarter of the shortest."""
RESTS = 9
"""So many times as long as it worked, it rests."""
ENDPOINTS = 5_000
"""That are looked at at once."""
RETIRED = 100
"""Endpoints that one transaction retires at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """An endpoint whose token is good and that has not been heard for some time."""

    key: int
    application: int
    heard_at: datetime
    """When it was heard last; of one that never was, when it was registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some endpoints that follow each other."""

    end: int | None
    """Key of the last of them; None: there are none any more."""
    silent: Sequence[Silent] = ()
    retired: int = 0
    """How many of them are retired."""


class Register(Protocol):
    """The endpoints by when they were heard."""

    async def silent(self, after: int, endpoints: int, since: datetime) -> Page:
        """Among the next endpoints after a key, those that were not heard since an instant; read beside the writer."""


class Retirer:
    """One partition's."""

    def __init__(
        self,
        parts: Parts,
        register: Register,
        publisher: Publisher,
        outages: Outages,
        *,
        unseen_after: timedelta | None,
        retire_after: timedelta | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take what it works with; without `unseen_after` nobody is unseen, without `retire_after` nobody retired."""
        self._register = register
        self._publisher = publisher
        self._outages = outages
        self._unseen_after = unseen_after
        self._retire_after = retire_after
        self._storage = parts.storage
        self._directory = parts.directory
        self._clock = parts.clock
        self._elapsed = parts.elapsed
        self._feed = parts.feed
        self._link = parts.link
        self._presence = parts.presence
        self._rooms = parts.rooms
        self._steps = parts.steps
        self._silences = parts.silences
        self._tallies = parts.tallies
        self._sleep = sleep
        self.retired = 0
        """Those that were retired."""

    def loops(self) -> Mapping[str, Callable[[], Coroutine[None, None, None]]]:
        """The loop by name; none where nobody wants to know."""
        return {"house.silence": self.run} if self._spans else {}

    @property
    def _spans(self) -> list[timedelta]:
        return [span for span in (self._unseen_after, self._retire_after) if span is not None]

    async def run(self) -> None:
        """Look at all endpoints, round after round, until cancelled."""
        await self._sleep(FIRST_SECONDS)
        while True:
            try:
                await self.look()
            except StorageError as error:
                if not error.transient:
                    raise
                log.warning("the look for silent endpoints was interrupted", reason=str(error))
            await self._sleep(max(min(ROUND_SECONDS, min(self._spans).total_seconds() / 4), 1.0))

    async def look(self) -> None:
        """Look at all endpoints once."""
        unseen: Counter[int] = Counter()
        retired = 0
        after: int | None = 0
        while after is not None:
            begun = self._elapsed()
            page = await self._register.silent(after, ENDPOINTS, self._clock.now() - min(self._spans))
            gone = await self._retire(page.silent)
            left = (item for item in page.silent if item.key not in gone)
            unseen.update(item.application for item in left if self._quiet(item.heard_at, self._unseen_after))
            retired += len(gone) + page.retired
            after = page.end
            await self._sleep(RESTS * (self._elapsed() - begun))
        self.retired = retired
        if self._unseen_after is not None:
            present = {entry.application.key: entry.application.name for entry in self._directory.entries()}
            for application in self._silences.count(present, unseen):
                self._feed.touch(present[application])

    def _quiet(self, heard_at: datetime, span: timedelta | None) -> bool:
        """Whether an endpoint has been silent for so long, although it could have been heard."""
        now = self._clock.now()
        silence = now - heard_at
        if span is None or silence < span:
            return False
        return silence - self._outages.within(heard_at, now) >= span

    async def _retire(self, silent: Sequence[Silent]) -> set[int]:
        """Retire those that have been silent for too long; return their keys."""
        span, retired = self._retire_after, set[int]()
        if span is None:
            return retired
        keys = [item.key for item in silent if self._quiet(item.heard_at, span)]
        for first in range(0, len(keys), RETIRED):
            if not self._believed():
                break
            retired |= await self._retire_some(keys[first : first + RETIRED], span)
        return retired

    def _believed(self) -> bool:
        """Whether silence means anything now."""
        connection = self._link.connection
        heard = connection is not None and self._presence.reconciled == connection.number
        return heard and not self._clock.suspension()

    async def _retire_some(self, keys: Sequence[int], span: timedelta) -> set[int]:
        now = self._clock.now()
        membership = self._directory.membership_for(entry.application.key for entry in self._directory.entries())
        async with self._storage.transaction() as transaction:
            records = [one for one in await transaction.find_keys(keys, membership) if self._still(one, span)]
            if not records:
                return set()
            concerned = {record.application for record in records}
            ledger = await self._rooms.enter(transaction, map(self._directory.by_key, concerned), now)
            worked = [self._put_aside(record, ledger, now) for record in records]
            done = [draft for draft, _ in worked]
            await transaction.store(done, [due for _, due in worked], now)
            self._steps("retirement-written")
        self._steps("endpoints-retired")
        self._feed.note(done, self._directory)
        self._tallies.retired += len(done)
        self._publisher.wake()
        return {record.key for record in records}

    def _still(self, record: EndpointRecord, span: timedelta) -> bool:
        endpoint = record.endpoint
        heard_at = endpoint.last_seen_at
        active = endpoint.token_state is TokenState.ACTIVE
        return active and (heard_at is None or self._quiet(heard_at, span))

    def _put_aside(self, record: EndpointRecord, ledger: Ledger, now: datetime) -> tuple[Draft, datetime | None]:
        entry = self._directory.by_key(record.application)
        draft = drafts.begin(record, ledger.room(entry))
        if entry is None:
            return draft, None
        drafts.retire(draft, entry, now)
        draft.push = drafts.pushes_needed(draft, entry)
        return draft, changes.due_at(draft.after, entry.policy_of, now)
