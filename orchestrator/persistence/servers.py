"""A PostgreSQL server: its connections, who may write, and what has become of a commit that was not answered.

Rules:
- A database has one `serve`: a session lock on the writer's own connection. Whoever opens the database raises its
  epoch; a writer that comes back to another epoch than its own has been replaced, and ends.
- A commit is durable before it is answered, whatever the server's own setting is.
- When a commit is not answered, the server is asked for its outcome until it knows: neither side of "committed" may be
  guessed.
- A statement that takes more than a minute is given up; migrations and what is only read may take longer.

Spec: PostgreSQL 15, §13.3.5 (advisory locks), §9.27.10 (transaction identifiers), §20.5 (synchronous_commit).
Layer: persistence.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from sqlalchemy import event, text, update
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable

from orchestrator.application.ports import StorageError
from orchestrator.persistence import dialects, schema, temporary
from orchestrator.persistence.postgresql import DIALECT, ERRORS
from orchestrator.persistence.refusals import DatabaseBusyError, DatabaseUnusableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = structlog.get_logger(__name__)

SERVING, MIGRATING = 0x07A0_0001, 0x07A0_0002
"""Advisory locks."""
LOCK_SECONDS = 3
"""So long the session of a process that was killed may take to end."""
CONNECT_SECONDS = 10
WRITE_SECONDS, READ_SECONDS = 60, 300
READERS = 4
OLDEST = 150_000
_TICKET = "otao.ticket"
_PAUSES = (0.05, 0.2, 0.5, 1.0)
_SESSION = {
    "application_name": "otao",
    "jit": "off",
    "timezone": "UTC",
    "synchronous_commit": "on",
    # A peer that has vanished lets go of its locks after half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
}


@dataclass(slots=True)
class Claim:
    """The right to write: a lock of the writer's session, and the epoch that it was taken in."""

    database: str
    """Its name."""
    epoch: int | None = None
    """None: not taken yet."""

    async def take(self, connection: asyncpg.Connection) -> None:
        """Prepare a new connection of the writer.

        Raises:
            DatabaseBusyError: another session has the lock, or the database was taken over meanwhile.
        """
        await connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        try:
            await connection.execute(f"SELECT pg_advisory_lock({SERVING})")
        except asyncpg.LockNotAvailableError as error:
            raise DatabaseBusyError(self.database, transient=self.epoch is not None) from error
        await connection.execute("SET lock_timeout = 0")
        if self.epoch is not None and await connection.fetchval("SELECT epoch FROM installation") != self.epoch:
            raise DatabaseBusyError(self.database)
        for table in temporary.metadata.sorted_tables:
            await connection.execute(f"{CreateTable(table).compile(dialect=DIALECT)} ON COMMIT DELETE ROWS")

    async def begin(self, connection: AsyncConnection) -> None:
        """Begin a new epoch: from now on no other writer comes back."""
        table = schema.installation
        raised = update(table).values(epoch=table.c.epoch + 1).returning(table.c.epoch)
        self.epoch = (await connection.execute(raised)).scalar()


async def fitting(connection: asyncpg.Connection) -> None:
    """Pass when the server can hold what is stored.

    Raises:
        DatabaseUnusableError: it is too old, or the database's texts are not Unicode.
    """
    number, encoding = await connection.fetchrow(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')"
    )
    if number < OLDEST:
        raise DatabaseUnusableError(f"PostgreSQL {number // 10_000} is too old; 15 or later is needed")
    if encoding != "UTF8":
        raise DatabaseUnusableError(f"the database's encoding is {encoding}; create it with ENCODING 'UTF8'")


@asynccontextmanager
async def open_engines(url: URL, claim: Claim) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """Open the writer's engine, of one connection, and the readers'; nothing is connected yet."""
    writer = _engine(url, 1, WRITE_SECONDS, {})
    readers = _engine(url, READERS, READ_SECONDS, {"default_transaction_read_only": "on"}, "REPEATABLE READ")

    @event.listens_for(writer.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - SQLAlchemy's adapter of the driver's
        connection.run_async(fitting)
        connection.run_async(claim.take)

    @event.listens_for(writer.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # Also sends BEGIN, which statements past SQLAlchemy would not.
        connection.info[_TICKET] = connection.exec_driver_sql("SELECT pg_current_xact_id()::text").scalar()

    @event.listens_for(readers.sync_engine, "begin")
    def _begin_to_read(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT 1")

    try:
        yield writer, readers
    finally:
        await readers.dispose()
        await writer.dispose()


def _engine(
    url: URL, size: int, seconds: float, session: Mapping[str, str], isolation: str = "READ COMMITTED"
) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=30,
        isolation_level=isolation,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": seconds,
            "server_settings": {**_SESSION, **session},
        },
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def _checkout(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401 - as above
        # A server that was restarted has closed all connections: the driver knows without asking.
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    return engine


def ticket(connection: AsyncConnection) -> str | None:
    """What the transaction of a connection can be asked for by after a commit that was not answered."""
    sync = connection.sync_connection
    found: str | None = None if sync is None else sync.info.get(_TICKET)
    return found


async def committed(writer: AsyncEngine, number: str) -> bool:
    """Whether a transaction has committed; waits until the server answers, and its session of then has ended.

    Raises:
        StorageError: the server will never tell.
    """
    asked = text("SELECT pg_xact_status(CAST(CAST(:number AS text) AS xid8))")
    attempt = 0
    while True:
        try:
            async with writer.connect() as connection:
                status = (await connection.execute(asked, {"number": number})).scalar()
        except (StorageError, *ERRORS) as error:
            _raise_unless_passing(writer, error)
            log.warning("a commit was not answered; asking for its outcome", reason=str(error))
        else:
            if status != "in progress":
                return status == "committed"
        await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        attempt += 1


def _raise_unless_passing(writer: AsyncEngine, error: Exception) -> None:
    told = error if isinstance(error, StorageError) else dialects.translated(writer, error)
    if told is None:
        raise error
    if not told.transient:
        raise told from error
