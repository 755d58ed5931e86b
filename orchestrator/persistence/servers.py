"""A PostgreSQL server: its connections, who may write, and what has become of a commit that was not answered.

Rules:
- A partition has one writer: a session lock on the writer's own connection. Whoever opens the partition without a
  lease waits for the lock and begins a new epoch; whoever has a lease ends the session that has the lock.
- `main` has its tables where the database's user has them by default, every other partition in a schema of its own:
  that alone is the search path of its connections, so that statements are the same for all.
- Every transaction, of the writer and of readers, begins with a look at the epoch: with another one than its own it has
  been replaced. What it has begun before ends with its session, so none of it is committed after its successor begins.
- A commit is durable before it is answered, whatever the server's own setting is.
- A transaction of the writer begins by storing a ticket of its own in the one row of `installation`, so that it is
  committed with all that it does, or not at all. When a commit is not answered, the ticket that is stored is asked for
  until there is an answer: neither side of "committed" may be guessed. Its number on the server would not do: a server
  that has taken over gives the same numbers to other transactions.
- The question is a write to that row, and committed. So it waits for a transaction that still has the row: when it is
  answered, the one that is asked about has ended, also where its connection is open yet. A standby that has not taken
  over refuses it. One that has knows all that it will ever get of the server before it, and what it does not have is
  not committed, whatever that server does in a connection that it keeps. And what is answered is on the standbys that a
  commit waits for, though the wait of the commit itself was broken off.
- Nobody else's ticket is taken for a rollback: another writer has another epoch, which is looked at with the ticket.
- A statement that takes more than a minute is given up; migrations and what is only read may take longer.

Spec: PostgreSQL 15, §13.3 (locks of rows, advisory locks), §20.5 (synchronous_commit), §27.2.8 (synchronous standbys).
Layer: persistence.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from sqlalchemy import event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable

from orchestrator.application.leases import LeaseLostError
from orchestrator.application.partitions import MAIN, number
from orchestrator.application.ports import StorageError
from orchestrator.persistence import dialects, temporary
from orchestrator.persistence.postgresql import DIALECT, ERRORS
from orchestrator.persistence.refusals import DatabaseBusyError, DatabaseUnusableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = structlog.get_logger(__name__)

SERVING, MIGRATING = 0x07A0_0001, 0x07A0_0002
"""Advisory locks; the first is one for each partition."""
LOCK_SECONDS = 3
"""So long the session of a process that was killed may take to end."""
CONNECT_SECONDS = 10
WRITE_SECONDS, READ_SECONDS = 60, 300
READERS = 4
OLDEST = 150_000
LEASE_SECONDS = 1.0
"""In which a statement about leases is answered, or given up."""
_TICKET, _ASKING = "otao.ticket", "otao_asking"
# In pg_locks a key of 64 bits is two of 32: the upper half tells the partition, 0 is `main`.
_END_OTHERS = (
    "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"  # noqa: S608 - our number
    f" WHERE l.locktype = 'advisory' AND l.classid = $1 AND l.objid = {SERVING} AND l.granted"
    " AND d.datname = current_database() AND l.pid <> pg_backend_pid()"
)
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
    lease: int | None = None
    """The epoch of the lease under which the database is opened; None: under none, so nobody is replaced."""
    partition: str = MAIN
    home: str = ""
    """What stands before names of tables of `main`, where connections do not find them by themselves."""
    epoch: int | None = None
    """None: not taken yet."""
    tickets: Iterator[int] = field(default_factory=lambda: count(secrets.randbits(62)))
    """No other process has any of them."""

    @property
    def schema(self) -> str | None:
        """The schema of a partition's own; None: the default one, of `main`."""
        return None if self.partition == MAIN else f"otao_{self.partition}"

    @property
    def epoch_text(self) -> str:
        """The statement that asks for the epoch of this partition's lease."""
        return f"SELECT epoch FROM {self.home}lease WHERE partition = '{self.partition}'"  # noqa: S608 - our names

    async def enter(self, connection: asyncpg.Connection) -> None:
        """Have a new connection find this partition's tables."""
        if self.schema is not None:
            self.home = f"{await connection.fetchval('SELECT quote_ident(current_schema())')}."
            await connection.execute(f"SET search_path TO {self.schema}")

    async def take(self, connection: asyncpg.Connection) -> None:
        """Prepare a new connection of the writer.

        Raises:
            DatabaseBusyError: another session has the lock, or the database was taken over meanwhile.
            LeaseLostError: there is a newer lease.
        """
        place = number(self.partition) - 1
        if self.lease is not None:
            self.check(await connection.fetchval(self.epoch_text))
            await connection.execute(_END_OTHERS, place)
        await connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        try:
            await connection.execute(f"SELECT pg_advisory_lock({place << 32 | SERVING})")
        except asyncpg.LockNotAvailableError as error:
            transient = self.lease is not None or self.epoch is not None
            raise DatabaseBusyError(self.database, transient=transient) from error
        await connection.execute("SET lock_timeout = 0")
        if self.lease is not None or self.epoch is not None:
            self.check(await connection.fetchval(self.epoch_text))
        for table in temporary.metadata.sorted_tables:
            await connection.execute(f"{CreateTable(table).compile(dialect=DIALECT)} ON COMMIT DELETE ROWS")

    def check(self, epoch: int | None) -> None:
        """Pass when the database's epoch is ours, or when we have none yet.

        Raises:
            DatabaseBusyError: it is not, and we have no lease.
            LeaseLostError: it is not, and we had one.
        """
        if self.lease is not None and epoch != self.lease:
            raise LeaseLostError(f"another replica serves {self.database}")
        if self.epoch is not None and epoch != self.epoch:
            raise DatabaseBusyError(self.database)

    async def begin(self, connection: AsyncConnection) -> None:
        """Begin a new epoch, unless a lease began it: from now on no other writer comes back."""
        if self.lease is not None:
            self.epoch = self.lease
            return
        raised = text(
            f"INSERT INTO {self.home}lease AS held (partition, replica, address, epoch, until_ms)"  # noqa: S608 - ours
            " VALUES (:partition, '', '', 1, 0)"
            " ON CONFLICT (partition) DO UPDATE SET epoch = held.epoch + 1, until_ms = 0 RETURNING epoch"
        )
        self.epoch = (await connection.execute(raised, {"partition": self.partition})).scalar()


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
        connection.run_async(claim.enter)
        connection.run_async(claim.take)

    @event.listens_for(readers.sync_engine, "connect")
    def _connect_to_read(connection: Any, _record: object) -> None:  # noqa: ANN401 - as above
        connection.run_async(claim.enter)

    @event.listens_for(writer.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # Also sends BEGIN, which statements past SQLAlchemy would not.
        if claim.epoch is None:
            connection.exec_driver_sql("SELECT 1")
            return
        given = None if connection.get_execution_options().get(_ASKING) else next(claim.tickets)
        begun = f"UPDATE installation SET ticket = coalesce($1, ticket) RETURNING ticket, ({claim.epoch_text})"  # noqa: S608 - ours
        connection.info[_TICKET], epoch = connection.exec_driver_sql(begun, (given,)).one()
        claim.check(epoch)

    @event.listens_for(readers.sync_engine, "begin")
    def _begin_to_read(connection: Connection) -> None:
        claim.check(connection.exec_driver_sql(claim.epoch_text).scalar())

    try:
        yield writer, readers
    finally:
        await readers.dispose()
        await writer.dispose()


@asynccontextmanager
async def open_engine_of_leases(url: URL) -> AsyncIterator[AsyncEngine]:
    """Open an engine of one connection for statements that are transactions of their own and cannot wait."""
    session = {"application_name": "otao lease"}
    engine = _engine(url, 1, LEASE_SECONDS, session, "AUTOCOMMIT", connect_seconds=2 * LEASE_SECONDS)
    try:
        yield engine
    finally:
        await engine.dispose()


def _engine(
    url: URL,
    size: int,
    seconds: float,
    session: Mapping[str, str],
    isolation: str = "READ COMMITTED",
    *,
    connect_seconds: float = CONNECT_SECONDS,
) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=30,
        isolation_level=isolation,
        connect_args={
            "timeout": connect_seconds,
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


def ticket(connection: AsyncConnection) -> int | None:
    """What the transaction of a connection can be asked for by after a commit that was not answered."""
    sync = connection.sync_connection
    found: int | None = None if sync is None else sync.info.get(_TICKET)
    return found


async def committed(writer: AsyncEngine, wanted: int) -> bool:
    """Whether the transaction with a ticket, the writer's last one, has committed; waits until the server answers.

    Raises:
        StorageError: the server will never tell.
    """
    asking = writer.execution_options(**{_ASKING: True})
    attempt = 0
    while True:
        try:
            async with asking.begin() as connection:
                found = ticket(connection)
        except (StorageError, *ERRORS) as error:
            _raise_unless_passing(writer, error)
            log.warning("a commit was not answered; asking for its outcome", reason=str(error))
        else:
            return found == wanted
        await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        attempt += 1


def _raise_unless_passing(writer: AsyncEngine, error: Exception) -> None:
    told = error if isinstance(error, StorageError) else dialects.translated(writer, error)
    if told is None:
        raise error
    if not told.transient:
        raise told from error
