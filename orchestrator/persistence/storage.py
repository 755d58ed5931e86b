"""The storage on a SQL database: transactions of the one writer, and what is read beside them.

Rules:
- A transaction waits for the one before; readers wait for nobody.
- Errors of the driver become `StorageError`: what concurrency or a full disk may cause is transient.

Layer: persistence; implements `ports.Storage`, `editing.EditingStorage`, `retentions.Archive`, `retirements.Register`.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import insert, select, text, update

from orchestrator.application.classes import Look
from orchestrator.application.partitions import MAIN
from orchestrator.application.parts import no_steps
from orchestrator.application.ports import StorageError
from orchestrator.persistence import departures, dialects, restorations, retentions, schema, servers
from orchestrator.persistence.checkpoints import Checkpointer
from orchestrator.persistence.databases import open_database
from orchestrator.persistence.dictionaries import Dictionary
from orchestrator.persistence.edits import SqlEdit
from orchestrator.persistence.instants import from_ms
from orchestrator.persistence.numbers import Numbers
from orchestrator.persistence.places import LEFT_APPLICATION, Places
from orchestrator.persistence.scans import Scans
from orchestrator.persistence.sweeping import Sweep
from orchestrator.persistence.views import SqlViews

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.classes import Work
    from orchestrator.application.directory import Entry
    from orchestrator.application.ports import Steps
    from orchestrator.application.retentions import Stretch
    from orchestrator.persistence.databases import Database


class Identity(NamedTuple):
    """What an installation is known by; its name and secret are the same in all partitions."""

    name: str
    """Made when the database was."""
    generation: int
    """How often the partition was restored from a backup."""
    secret: str
    """What replicas sign with for each other."""


class SqlStorage(SqlViews):
    """One open database."""

    def __init__(self, database: Database, dictionary: Dictionary, numbers: Numbers, identity: Identity) -> None:
        """Use `open_storage`."""
        super().__init__(database.readers, dictionary)
        self.name = identity.name
        self.generation = identity.generation
        self.secret = identity.secret
        self._writer = database.writer
        self._numbers = numbers
        self._committed = numbers.revision
        self._commits = 0
        self._scans = Scans(dictionary)
        self._places = places(database)
        self._turn = asyncio.Lock()
        self.steps: Steps = no_steps
        """Told before and after the commit of what operators, and housekeeping, change."""
        self._stale = False
        """Whether the dictionary holds names of a transaction that failed, and could not be read since."""
        self.checkpointer: Checkpointer | None = None
        """Of SQLite."""
        if database.path is not None and database.copier is not None:
            self.checkpointer = Checkpointer(database.path, database.copier, self._turn)

    @property
    def revision(self) -> int:
        """See `ports.Storage.revision`."""
        return self._committed

    @property
    def commits(self) -> int:
        """See `ports.Storage.commits`."""
        return self._commits

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlEdit]:
        """See `ports.Storage.transaction`."""
        async with self._turn:
            edit: SqlEdit | None = None
            ticket: int | None = None
            try:
                async with self._writer.begin() as connection:
                    if self._stale:
                        await self._dictionary.load(connection)
                        self._stale = False
                    edit = SqlEdit(connection, self._dictionary, self._numbers, self._scans, self._places)
                    yield edit
                    ticket = servers.ticket(connection)
                self._note_commit()
            except BaseException as error:
                told = dialects.translated(self._writer, error)
                if ticket is not None and told is not None and await self._has_committed(ticket, told):
                    self._note_commit()
                    return
                if edit is not None:
                    await self._forget(edit)
                if told is None:
                    raise
                raise told from error

    @asynccontextmanager
    async def edit(self) -> AsyncIterator[SqlEdit]:
        """See `editing.EditingStorage.edit`."""
        async with self.transaction() as edit:
            yield edit
            self.steps("change-written")
        self.steps("change-committed")

    def _note_commit(self) -> None:
        self._committed = self._numbers.revision
        self._commits += 1

    async def _has_committed(self, ticket: int, told: StorageError) -> bool:
        """Whether a commit that was answered by an error has its effect nevertheless."""
        return told.transient and await servers.committed(self._writer, ticket)

    async def _forget(self, edit: SqlEdit) -> None:
        edit.forget()
        if edit.redefined:
            self._stale = True
            async with self.reading() as connection:
                await self._dictionary.load(connection)
            self._stale = False

    async def look(self, work: Work, limit: int, entry: Entry) -> Look:
        """See `ports.Storage.look`."""
        async with self.reading() as connection:
            sweep = Sweep(connection, work, self._scans.of(work, entry), self._dictionary)
            end = await sweep.end(limit)
            if end is None:
                return Look(end=None)
            classes, keys = await sweep.read(end)
            return Look(end=end, classes=tuple(classes), particular=tuple(keys))

    async def sign_out(self, session: str, until: datetime, now: datetime) -> None:
        """Keep that a shared session was signed out of, for all partitions, until it would have ended."""
        async with self.edit() as edit:
            await edit.sign_out(session, until, now)

    async def signed_out(self) -> dict[str, datetime]:
        """The shared sessions that were signed out of, in whatever partition, with when they would have ended."""
        async with self.reading() as connection:
            found = await departures.kept(connection, self._places.home)
        return {session: from_ms(until_ms) for session, until_ms in found.items()}

    async def left_app_versions(self) -> list[str]:
        """The application versions that were ever this partition's and were given up, also those that it has again."""
        async with self.reading() as connection:
            return await self._places.left(connection)

    async def left_applications(self) -> list[str]:
        """The same of applications."""
        async with self.reading() as connection:
            return await self._places.left(connection, LEFT_APPLICATION)

    async def remove(self, stretch: Stretch) -> int:
        """See `retentions.Archive.remove`."""
        async with self.transaction() as edit:
            removed = await edit.remove(stretch)
            self.steps("removal-written")
        return removed

    async def remove_zeros(self, limit: int) -> int:
        """See `retentions.Archive.remove_zeros`."""
        async with self.reading() as connection:
            found = await retentions.zeros(connection, limit)
        if not found:
            return 0
        async with self.transaction() as edit:
            return await edit.remove_zeros(found)

    async def remove_entries(self, entries: Sequence[int]) -> int:
        """See `retentions.Archive.remove_entries`."""
        async with self.transaction() as edit:
            removed = await edit.remove_entries(entries)
            self.steps("removal-written")
        return removed

    def loops(self) -> Mapping[str, Callable[[], Coroutine[None, None, None]]]:
        """What whoever keeps the storage open for long runs, by name."""
        return {} if self.checkpointer is None else {"storage.checkpoints": self.checkpointer.run}


def places(database: Database) -> Places:
    """The names that a partition takes among all."""
    return Places() if database.claim is None else Places(database.claim.partition, database.claim.home)


@asynccontextmanager
async def open_storage(url: str, *, lease: int | None = None, partition: str = MAIN) -> AsyncIterator[SqlStorage]:
    """Open a partition, under the `lease` of an epoch if one was taken, and read what is kept in memory of it.

    Raises:
        StorageError: it is in use by another process, cannot be opened, or is of a newer version.
    """
    async with open_database(url, lease=lease, partition=partition) as database:
        yield await _loaded(database)


async def _loaded(database: Database) -> SqlStorage:
    dictionary, numbers = Dictionary(), Numbers()
    try:
        async with database.writer.begin() as connection:
            identity = await _identity(connection, places(database))
            if database.claim is not None:
                await database.claim.begin(connection)
                if await restorations.notice(connection):
                    identity = await _identity(connection, places(database))
            await dictionary.load(connection)
            await numbers.load(connection)
    except Exception as error:
        told = dialects.translated(database.writer, error)
        if told is None:
            raise
        raise told from error
    return SqlStorage(database, dictionary, numbers, identity)


async def _identity(connection: AsyncConnection, places: Places) -> Identity:
    """Who the installation is; all partitions are what `main` is."""
    table = schema.installation
    known = select(table.c.name, table.c.generation, table.c.secret)
    found = (await connection.execute(known)).one_or_none()
    if found is not None and found.secret is not None:
        return Identity(*found)
    made = {"name": secrets.token_hex(4), "generation": 0, "secret": secrets.token_hex(32)}
    if places.home:
        copied = text(f'SELECT name, generation, "freeze", secret FROM {places.home}installation')  # noqa: S608 - ours
        first = (await connection.execute(copied)).mappings().one_or_none()
        if first is None or first["secret"] is None:
            raise StorageError("the partition main was not opened yet", transient=True)
        made = dict(first)
        await places.take_partition(connection)
    if found is None:
        await connection.execute(insert(table).values(id=1, **made))
    else:
        await connection.execute(update(table).values(secret=made["secret"]))
    return Identity(*(await connection.execute(known)).one())
