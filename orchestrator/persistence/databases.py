"""Opening a database: one writing connection, a few reading ones, the lock, the migrations.

Rules:
- A SQLite file has one `serve`: an exclusive lock on a file beside it, held as long as the database is open. A
  PostgreSQL database has one writer: whoever opens it under the newest lease. See `servers`.
- Migrations run before anything else, forward only, on PostgreSQL under a lock of their own; a database from a newer
  version is refused.
- Each partition is migrated by whoever opens it, so that versions may serve side by side. What all have in common is
  changed by the first of them, in the schema of `main`, whoever serves that (`migrations`).

Layer: persistence.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from orchestrator.application.partitions import MAIN
from orchestrator.persistence import dialects, servers, sqlite
from orchestrator.persistence.refusals import (
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseNewerError,
    DatabaseUnreachableError,
    DatabaseUnusableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

_MIGRATIONS = Path(__file__).parent / "migrations"
_READERS = 4
SQLITE, POSTGRESQL = "sqlite+aiosqlite", "postgresql+asyncpg"
_FORMS = f"{SQLITE}:///PATH or {POSTGRESQL}://USER:PASSWORD@HOST/DATABASE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The engines over one database: `writer` and `copier` have one connection each, `readers` a few."""

    writer: AsyncEngine
    readers: AsyncEngine
    path: Path | None = None
    """Of SQLite's file."""
    copier: AsyncEngine | None = None
    """Not in a transaction: it copies SQLite's log (`checkpoints`)."""
    claim: servers.Claim | None = None
    """Of PostgreSQL."""


@asynccontextmanager
async def open_database(url: str, *, lease: int | None = None, partition: str = MAIN) -> AsyncIterator[Database]:
    """Lock, open and migrate a partition; under a `lease`, its epoch, nobody else keeps it from being opened.

    Raises:
        DatabaseBusyError: another process has it open.
        LeaseLostError: there is a newer lease.
        DatabaseNewerError: it was written by a newer version.
        DatabaseUnusableError: it cannot be opened.
        DatabaseUnreachableError: its server does not answer.
    """
    address = parsed(url)
    claim = servers.Claim(address.database or "", lease, partition)
    opened = _open_server(address, claim) if address.drivername == POSTGRESQL else _open_file(address)
    async with opened as database:
        yield database


@asynccontextmanager
async def _open_server(address: URL, claim: servers.Claim) -> AsyncIterator[Database]:
    async with servers.open_engines(address, claim) as (writer, readers):
        try:
            async with writer.connect() as connection:
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({servers.MIGRATING})")
                if claim.schema is not None:
                    await connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {claim.schema}")
                await connection.run_sync(_upgrade, claim.home)
                await connection.commit()
        except Exception as error:
            told = dialects.translated(writer, error)
            if told is None:
                raise
            if told.transient:
                raise DatabaseUnreachableError(told.reason) from error
            raise DatabaseUnusableError(told.reason) from error
        yield Database(writer=writer, readers=readers, claim=claim)


@asynccontextmanager
async def _open_file(address: URL) -> AsyncIterator[Database]:
    with locked(address.database or ""):
        writer = _engine(address, "BEGIN IMMEDIATE", 1, sqlite.WRITERS_CACHE_KIB)
        readers = _engine(address, "BEGIN", _READERS)
        copier = _engine(address, None, 1)
        try:
            await _migrate(writer, address.database or "")
            yield Database(path=Path(address.database or ""), writer=writer, readers=readers, copier=copier)
        finally:
            await copier.dispose()
            await readers.dispose()
            await writer.dispose()


async def _migrate(writer: AsyncEngine, name: str) -> None:
    try:
        async with writer.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    except DBAPIError as error:
        if sqlite.damaged(error.orig):
            raise DatabaseDamagedError(name, str(error.orig)) from error
        raise DatabaseUnusableError(str(error.orig)) from error


def check_address(url: str) -> None:
    """Pass when a database could be at this address.

    Raises:
        DatabaseUnusableError: it is malformed, or of a kind that this version does not support.
    """
    parsed(url)


def parsed(url: str) -> URL:
    """The parts of the address of a database.

    Raises:
        DatabaseUnusableError: it is malformed, or of a kind that this version does not support.
    """
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise DatabaseUnusableError(f"the address is not of the form {_FORMS}") from error
    if address.drivername not in {SQLITE, POSTGRESQL} or not address.database:
        raise DatabaseUnusableError(f"{address.drivername} is not supported so; use {_FORMS}")
    return address


def is_shared(url: str) -> bool:
    """Whether several replicas may serve a database, one at a time.

    Raises:
        DatabaseUnusableError: the address is malformed, or of a kind that this version does not support.
    """
    return parsed(url).drivername == POSTGRESQL


def file_of(url: str) -> Path:
    """The file of a database.

    Raises:
        DatabaseUnusableError: the address is malformed, or names no file.
    """
    address = parsed(url)
    if address.drivername != SQLITE:
        raise DatabaseUnusableError("it is on a server, which has tools of its own for this: pg_dump, pg_restore")
    return Path(address.database or "")


def address_of_file(path: Path) -> str:
    """The inverse of `file_of`."""
    return URL.create(SQLITE, database=str(path)).render_as_string()


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold a file for oneself.

    Raises:
        DatabaseBusyError: another process holds it.
        DatabaseUnusableError: nothing can be written beside it.
    """
    try:
        # The file itself, by whatever name it was given.
        handle = os.open(f"{Path(path).resolve()}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DatabaseUnusableError(f"{path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatabaseBusyError(path) from error
        yield
    finally:
        os.close(handle)


def _engine(url: URL, begin: str | None, size: int, cache_kib: int = sqlite.READERS_CACHE_KIB) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=size, max_overflow=0, pool_timeout=30, pool_reset_on_return=None)

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
        # The driver's implicit BEGIN comes only before the first write: too late for one consistent read.
        connection.isolation_level = None
        sqlite.configure(connection, cache_kib)

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        if begin is None:
            return
        try:
            sqlite.begin(connection.connection.dbapi_connection, begin)
        except BaseException:
            # Who was cancelled does not know whether the driver's thread has begun, or is about to.
            connection.invalidate()
            raise

    @event.listens_for(engine.sync_engine, "reset")
    def _reset(connection: Any, _record: object, _state: object) -> None:  # noqa: ANN401 - as above
        # Nearly always it has ended already, and ending it once more would be one more visit.
        if connection.driver_connection.in_transaction:
            connection.rollback()

    return engine


def _upgrade(connection: Connection, home: str = "") -> None:
    """Take the steps that are missing; `home` stands before names of tables of `main`, where those are elsewhere."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise DatabaseNewerError(present)
    config.attributes.update(connection=connection, home=home)
    command.upgrade(config, "head")
