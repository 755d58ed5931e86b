"""The storages that the contract suite runs on, and short ways to fill them and to look into them."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import select

from orchestrator.application.classes import ClassVerdict
from orchestrator.application.directory import Entry
from orchestrator.application.records import (
    REQUIRED,
    Application,
    Draft,
    EndpointRecord,
    FilterRecord,
    PushMode,
    Registration,
    SoftwareRecord,
)
from orchestrator.application.rooms import PLENTY
from orchestrator.domain import changes
from orchestrator.domain.attempts import OPEN, Attempt, AttemptState, move
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.cohorts import cohort
from orchestrator.domain.endpoints import Endpoint, HistoryEntry
from orchestrator.persistence import schema
from orchestrator.persistence.instants import from_ms, from_ms_or_none
from orchestrator.persistence.memory import MemoryStorage
from orchestrator.persistence.rows import ATTEMPT_STATES, HISTORY_KINDS, stage_of
from orchestrator.persistence.schema import KEY_SPAN
from orchestrator.persistence.storage import open_storage
from protocol.configurations import Profile
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sqlalchemy import Row

    from orchestrator.application.classes import EndpointClass, Renewal
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.ports import Storage
    from orchestrator.application.pushes import Push
    from orchestrator.domain.filters import Filter
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.storage import SqlStorage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
APP = Application(
    key=0,
    name="kettle",
    app_versions=("kettle-v1", "kettle-v2"),
    profile=Profile.KAA,
    push=PushMode.RETAINED,
    registration=Registration.OPEN,
    consent="none",
    operator_keys=(),
    description=None,
    revision=1,
    created_at=NOW,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What has been with endpoints."""

    entries: Mapping[int, tuple[int, HistoryEntry]]
    """History entries by number, each with the number of the one before."""
    attempts: Mapping[int, Sequence[Attempt]]
    """Superseded ones by endpoint, oldest first, as far as they are kept."""

    def history(self, record: EndpointRecord) -> list[HistoryEntry]:
        """The chain of an endpoint, newest first."""
        chain, number = [], record.last_history
        while number:
            number, entry = self.entries[number]
            chain.append(entry)
        return chain


class Shelf(Protocol):
    """A storage with its definitions, and what no port of the engine shows."""

    @property
    def storage(self) -> Storage:
        """What is tested."""

    async def define(
        self, application: Application, software: Iterable[Software] = (), filters: Iterable[Filter] = ()
    ) -> Entry:
        """Create (key 0) or replace an application with its definitions."""

    async def add_work(self, application: int, running: Collection[Version | None] | None) -> None:
        """Have endpoints decided anew."""

    async def renew(self, application: int, renewal: Renewal, running: Collection[Version | None]) -> None:
        """Have those told anew that the renewal is about."""

    async def counters(self, application: int) -> Counter[CounterKey]:
        """The numbers, zeros left out."""

    async def past(self, application: int) -> Past:
        """What has been with an application's endpoints."""

    async def offered(self, entry: Entry) -> Mapping[Version, datetime]:
        """Software that was offered to anyone, and since when."""

    async def dead_letters(self) -> list[tuple[str, bytes, str, datetime]]:
        """Everything that was buried, oldest first."""


@dataclass(kw_only=True)
class MemoryShelf:
    """Definitions live in the test alone."""

    storage: MemoryStorage = field(default_factory=MemoryStorage)
    defined: int = 0

    async def define(
        self, application: Application, software: Iterable[Software] = (), filters: Iterable[Filter] = ()
    ) -> Entry:
        self.defined += not application.key
        key = application.key or self.defined
        return entry_of(replace(application, key=key), software, filters)

    async def add_work(self, application: int, running: Collection[Version | None] | None) -> None:
        await self.storage.add_work(application, running)

    async def renew(self, application: int, renewal: Renewal, running: Collection[Version | None]) -> None:
        await self.storage.add_work(application, running, renews=renewal)

    async def counters(self, application: int) -> Counter[CounterKey]:
        numbers = self.storage.state.counters.items()
        return Counter({key: amount for key, amount in numbers if amount and key[0] == application})

    async def past(self, application: int) -> Past:
        del application
        state = self.storage.state
        attempts = {key: [kept(attempt) for attempt in found] for key, found in state.attempts.items()}
        return Past(entries=state.history, attempts=attempts)

    async def offered(self, entry: Entry) -> Mapping[Version, datetime]:
        found = self.storage.state.offered.items()
        return {version: at for (application, version), at in found if application == entry.application.key}

    async def dead_letters(self) -> list[tuple[str, bytes, str, datetime]]:
        return list(self.storage.state.dead_letters.values())


@dataclass(kw_only=True)
class SqlShelf:
    """Definitions are written beside the endpoints; what no port shows is read from the tables."""

    storage: SqlStorage

    async def define(
        self, application: Application, software: Iterable[Software] = (), filters: Iterable[Filter] = ()
    ) -> Entry:
        wanted = entry_of(application, software, filters)
        async with self.storage.edit() as edit:
            key = (await edit.put_application(application)).key
            before = await edit.entry(key)
            for filter_id in before.filters:
                await edit.delete_filter(key, filter_id)
            for version in before.software.keys() - wanted.software.keys():
                await edit.delete_software(key, version)
            for group in wanted.filters.values():
                await edit.put_filter(key, group)
            for record in wanted.software.values():
                earlier = before.software.get(record.software.version, record)
                await edit.put_software(key, replace(record, offered_at=earlier.offered_at))
            return await edit.entry(key)

    async def add_work(self, application: int, running: Collection[Version | None] | None) -> None:
        async with self.storage.edit() as edit:
            await edit.add_work(application, running, NOW)

    async def renew(self, application: int, renewal: Renewal, running: Collection[Version | None]) -> None:
        async with self.storage.edit() as edit:
            await edit.renew(application, renewal, running, NOW)

    async def counters(self, application: int) -> Counter[CounterKey]:
        return await self.storage.counters(application)

    async def past(self, application: int) -> Past:
        first = application * KEY_SPAN
        history, attempt = schema.history, schema.attempt
        async with self.storage.reading() as connection:
            entries = await connection.execute(
                select(history).where(history.c.endpoint_id.between(first, first + KEY_SPAN))
            )
            rows = await connection.execute(
                select(attempt).where(attempt.c.endpoint_id.between(first, first + KEY_SPAN)).order_by(attempt.c.id)
            )
        attempts: dict[int, list[Attempt]] = {}
        for row in rows:
            attempts.setdefault(row.endpoint_id, []).append(self._attempt(row))
        return Past(entries={row.id: (row.previous_id, self._entry(row)) for row in entries}, attempts=attempts)

    def _entry(self, row: Row[Any]) -> HistoryEntry:
        return HistoryEntry(
            at=from_ms(row.at_ms),
            kind=HISTORY_KINDS[row.kind],
            version=self.storage._dictionary.version(row.version_id),
            status_code=row.status_code,
            reason=row.reason,
        )

    def _attempt(self, row: Row[Any]) -> Attempt:
        dictionary = self.storage._dictionary
        return Attempt(
            version=dictionary.versions[row.version_id],
            number=row.number,
            sequence=row.sequence,
            origin=dictionary.version(row.origin_id),
            state=ATTEMPT_STATES[row.state],
            offered_at=from_ms(row.offered_ms),
            reached_at=from_ms_or_none(row.reached_ms),
            settled_at=from_ms_or_none(row.settled_ms),
            reason=row.reason,
            stage=stage_of(row.stage),
            healthy=None if row.healthy is None else bool(row.healthy),
        )

    async def offered(self, entry: Entry) -> Mapping[Version, datetime]:
        async with self.storage.edit() as edit:
            fresh = await edit.entry(entry.application.key)
        found = ((version, record.offered_at) for version, record in fresh.software.items())
        return {version: at for version, at in found if at is not None}

    async def dead_letters(self) -> list[tuple[str, bytes, str, datetime]]:
        table = schema.dead_letter
        async with self.storage.reading() as connection:
            rows = await connection.execute(select(table).order_by(table.c.id))
        return [(row.topic, row.payload, row.error, from_ms(row.at_ms)) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation:
    """One way to make a storage."""

    name: str
    open: Callable[[Path], AbstractAsyncContextManager[Shelf]]


@asynccontextmanager
async def open_memory(folder: Path) -> AsyncIterator[Shelf]:
    """The twin; it needs no folder."""
    del folder
    yield MemoryShelf()


def url_in(folder: Path) -> str:
    """The address of a SQLite file in a folder."""
    return f"sqlite+aiosqlite:///{folder}/otao.db"


@asynccontextmanager
async def open_sqlite(folder: Path) -> AsyncIterator[SqlShelf]:
    """A SQLite file, new or as it was left."""
    async with open_storage(url_in(folder)) as storage:
        yield SqlShelf(storage=storage)


@asynccontextmanager
async def open_postgresql(folder: Path) -> AsyncIterator[SqlShelf]:
    """The database of a folder on a real server, new or as it was left."""
    async with open_storage(await postgres.shared().fresh(postgres.name_for(folder))) as storage:
        yield SqlShelf(storage=storage)


IMPLEMENTATIONS = (
    Implementation(name="memory", open=open_memory),
    Implementation(name="sqlite", open=open_sqlite),
    Implementation(name="postgresql", open=open_postgresql),
)


def entry_of(application: Application, software: Iterable[Software] = (), filters: Iterable[Filter] = ()) -> Entry:
    """The entry of an application that was just defined."""
    records = {item.version: software_record(item) for item in software}
    return Entry(
        application=application,
        software=records,
        filters={item.filter_id: FilterRecord(filter=item, description=None, revision=1) for item in filters},
        catalogue=Catalogue.of(
            (record.software for record in records.values()),
            freeze=application.frozen,
            consent=application.consent == REQUIRED,
            application=application.name,
            limits=application.limits,
        ),
    )


def software_record(software: Software) -> SoftwareRecord:
    """A software as stored, with a specification that names its version, if it shall have one."""
    return SoftwareRecord(
        software=software,
        specification=f'{{"link":"{software.version}"}}' if software.has_specification else None,
        metadata="{}",
        rollout=None,
        upgradable_from=tuple(item.text for item in software.upgradable_from),
        offered_at=None,
        revision=1,
        created_at=NOW,
        updated_at=NOW,
    )


def newcomer(entry: Entry, token: str, endpoint: Endpoint | None = None) -> Draft:
    """The draft of an endpoint that is not stored yet."""
    state = placed(endpoint or Endpoint(registered_at=NOW), token, entry.application.name)
    before = EndpointRecord(
        key=0,
        application=entry.application.key,
        endpoint_id=token,
        app_version=entry.application.app_versions[0],
        token=token,
        endpoint=Endpoint(registered_at=NOW),
    )
    return Draft(before=before, after=state, app_version=before.app_version)


def placed(endpoint: Endpoint, token: str, application: str = APP.name) -> Endpoint:
    """The same endpoint with the cohort of its name, which is its token in most tests."""
    return replace(endpoint, cohort=cohort(application, token))


async def store(shelf: Shelf, entry: Entry, *drafts: Draft) -> Sequence[Push]:
    """Write drafts with the timers that follow from them; return what is to be published."""
    due = [changes.due_at(draft.after, entry.policy_of, NOW) for draft in drafts]
    async with shelf.storage.transaction() as transaction:
        return await transaction.store(drafts, due, NOW)


async def found(shelf: Shelf, entry: Entry, tokens: Sequence[str]) -> list[EndpointRecord]:
    """The endpoints of these tokens, in order of key, with the filters that match."""
    places = [(entry.application.key, token) for token in tokens]
    async with shelf.storage.transaction() as transaction:
        records = await transaction.find(places, lambda _, subject: entry.memberships.belonging(subject))
    return sorted(records, key=lambda record: record.key)


async def history(shelf: Shelf, record: EndpointRecord) -> list[HistoryEntry]:
    """The history of an endpoint, newest first."""
    return (await shelf.past(record.application)).history(record)


async def attempts(shelf: Shelf, record: EndpointRecord) -> Sequence[Attempt]:
    """Superseded attempts of an endpoint, oldest first."""
    return (await shelf.past(record.application)).attempts.get(record.key, [])


async def one(shelf: Shelf, entry: Entry, token: str) -> EndpointRecord:
    """The endpoint of a token that has one."""
    (record,) = await found(shelf, entry, [token])
    return record


def seen(endpoint: Endpoint) -> Endpoint:
    """An endpoint as `find` answers it: when it was registered is not loaded."""
    return replace(endpoint, registered_at=NOW)


def kept(attempt: Attempt) -> Attempt:
    """An attempt as it is kept when a newer one has replaced it."""
    return replace(
        attempt,
        percent=None,
        progress=None,
        returns=0,
        returned_at=None,
        soaking_at=None,
        soak_reports=0,
        lapsed=False,
    )


def verdict_on(
    of: EndpointClass,
    hop: Version | None,
    reason: str | None,
    *,
    asks: Version | None = None,
    stage: int | None = None,
    most: int = PLENTY,
    due_at: datetime | None = None,
) -> ClassVerdict:
    """What offers `hop` to the first `most` endpoints of a class, and takes away what all of them are offered."""
    before = of.endpoint(NOW)
    attempt = before.attempt
    if attempt is not None and attempt.state in OPEN:
        attempt = move(attempt, AttemptState.WITHDRAWN, NOW, reason=reason)
    rest = after = replace(before, attempt=attempt, asked=asks, consulted=before.consulted or asks is not None)
    if hop is not None:
        made = Attempt(version=hop, number=1, sequence=2, origin=of.running, offered_at=NOW, stage=stage)
        after = replace(after, attempt=made, sequence=2)
    return ClassVerdict(of=of, before=before, after=after, rest=rest, reason=reason, most=most, due_at=due_at)
