"""Opening a database: one writing connection, a few reading ones, the lock, the migrations.

Rules:
- A SQLite file has one `serve`: an exclusive lock on a file beside it, held as long as the database is open.
- Migrations run before anything else, forward only; a database from a newer version is refused.

Layer: persistence.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
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

from orchestrator.application.ports import StorageError
from orchestrator.persistence import dialects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

_MIGRATIONS = Path(__file__).parent / "migrations"
_READERS = 4


class DatabaseBusyError(StorageError):
    """Another process serves this database."""

    code = "database-busy"

    def __init__(self, path: str) -> None:
        """Name the file."""
        super().__init__(f"{path} is served by another process", transient=False)


class DatabaseUnusableError(StorageError):
    """The database cannot be opened: wrong address, no permission, or written by a newer version."""

    code = "database-unusable"

    def __init__(self, reason: str) -> None:
        """Say why."""
        super().__init__(reason, transient=False)


class DatabaseDamagedError(StorageError):
    """The file is no database any more."""

    code = "database-damaged"

    def __init__(self, name: str, reason: str) -> None:
        """Say what was found, and the way back."""
        super().__init__(
            f"{name} is damaged ({reason}): go back to a copy with `otao restore FILE --replace`", transient=False
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The engines over one database: `writer` and `copier` have one connection each, `readers` a few."""

    path: Path
    writer: AsyncEngine
    readers: AsyncEngine
    copier: AsyncEngine
    """Not in a transaction: it copies the log (`checkpoints`)."""


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Lock, open and migrate a database.

    Raises:
        DatabaseBusyError: another process has it open.
        DatabaseUnusableError: it cannot be opened.
    """
    parsed = _parsed(url)
    with locked(parsed.database or ""):
        writer, readers = _engine(parsed, "BEGIN IMMEDIATE", 1), _engine(parsed, "BEGIN", _READERS)
        copier = _engine(parsed, None, 1)
        try:
            await _migrate(writer, parsed.database or "")
            yield Database(path=Path(parsed.database or ""), writer=writer, readers=readers, copier=copier)
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
        if _damaged(error.orig):
            raise DatabaseDamagedError(name, str(error.orig)) from error
        raise DatabaseUnusableError(str(error.orig)) from error


def _damaged(error: BaseException | None) -> bool:
    return getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def translated(error: BaseException) -> StorageError:
    """What the driver's own error means to a caller: what concurrency or a full disk may cause is transient."""
    if _damaged(error):
        return DatabaseDamagedError("the database", str(error))
    return StorageError(str(error), transient=isinstance(error, sqlite3.OperationalError))


def check_address(url: str) -> None:
    """Pass when a database could be at this address.

    Raises:
        DatabaseUnusableError: it is malformed, or of a kind that this version does not support.
    """
    _parsed(url)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUnusableError("the address is not of the form sqlite+aiosqlite:///PATH") from error
    if parsed.drivername != "sqlite+aiosqlite" or not parsed.database:
        raise DatabaseUnusableError(
            f"{parsed.drivername} is not supported by this version; use sqlite+aiosqlite:///PATH"
        )
    return parsed


def file_of(url: str) -> Path:
    """The file of a database.

    Raises:
        DatabaseUnusableError: the address is malformed, or names no file.
    """
    return Path(_parsed(url).database or "")


def address_of_file(path: Path) -> str:
    """The inverse of `file_of`."""
    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string()


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


def _engine(url: URL, begin: str | None, size: int) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=size, max_overflow=0, pool_timeout=30)

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
        # The driver's implicit BEGIN comes only before the first write: too late for one consistent read.
        connection.isolation_level = None
        dialects.configure(connection)

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        if begin is not None:
            connection.exec_driver_sql(begin)

    return engine


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise DatabaseUnusableError(f"it was written by a newer version (schema {present})")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
