"""Leases in PostgreSQL.

Rules:
- The server's clock alone says when a lease has ended. One that would last longer than any does is of a clock that was
  set back, and counts for nothing; so does that of a session which the server does not have any more.
- A row of a lease stays when nobody holds it: so everybody sees which partitions there are.
- Who is there is asked as soon as there are several partitions; before, no table but that of leases is needed.
- A replica that is about to end has no address any more.
- Who renews is named beside the epoch: a standby that took over without the last leases gives their epochs again.
- A replica has one connection for its leases, apart from all others, with short deadlines. All its leases end with it,
  so a statement ends as it would even when nobody waits for it any more: to cut it off would close the connection.

Spec: PostgreSQL 15, §9.9.5 (`clock_timestamp`), §28.2.3 (`pg_stat_activity`).
Layer: persistence; implements `leases.Leases`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text

from orchestrator.application.leases import PRESENCE, Holder, Scene
from orchestrator.application.ports import StorageError
from orchestrator.persistence import databases, dialects, servers
from orchestrator.persistence.refusals import DatabaseUnreachableError, DatabaseUnusableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import CursorResult
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
_LASTS = "CAST(:lasts AS bigint)"
_LONGEST_MS = 60_000
"""No lease lasts longer, in whatever version of Otao."""


def _lasting(table: str) -> str:
    return (
        f"{table}.until_ms > {_NOW} AND {table}.until_ms <= {_NOW} + {_LONGEST_MS}"
        f" AND EXISTS (SELECT FROM pg_stat_activity WHERE pg_stat_activity.pid = {table}.session)"
    )


_HELD = _lasting("lease")
_TAKE = text(
    "INSERT INTO lease (partition, replica, address, epoch, until_ms, session)"  # noqa: S608 - texts of this module
    f" VALUES (:partition, :replica, :address, 1, {_NOW} + {_LASTS}, pg_backend_pid())"
    " ON CONFLICT (partition) DO UPDATE SET replica = excluded.replica, address = excluded.address,"
    " epoch = lease.epoch + 1, until_ms = excluded.until_ms, session = excluded.session"
    f" WHERE NOT ({_HELD}) RETURNING epoch"
)
_RENEW = text(
    f"UPDATE lease SET until_ms = {_NOW} + {_LASTS}, session = pg_backend_pid()"  # noqa: S608 - the same
    " WHERE partition = :partition AND epoch = :epoch AND replica = :replica RETURNING epoch"
)
_RELEASE = text("UPDATE lease SET until_ms = 0 WHERE partition = :partition AND epoch = :epoch")
_LEASES = f"SELECT partition, replica, address, {_HELD} AS lasts FROM lease"  # noqa: S608 - the same
_LOOK = text(_LEASES)
_LOOK_AROUND = text(
    f"{_LEASES} UNION ALL SELECT NULL, name, address, {_lasting('replica')} FROM replica"  # noqa: S608 - the same
)
_ATTEND = text(
    f"WITH gone AS (DELETE FROM replica WHERE until_ms < {_NOW} - {_LONGEST_MS})"  # noqa: S608 - the same
    " INSERT INTO replica (name, address, until_ms, session)"
    f" VALUES (:replica, :address, {_NOW} + {_LASTS}, pg_backend_pid())"
    " ON CONFLICT (name) DO UPDATE SET address = excluded.address, until_ms = excluded.until_ms,"
    " session = excluded.session"
)
_DEPART = text("DELETE FROM replica WHERE name = :replica")


class SqlLeases:
    """The leases of one database."""

    def __init__(self, engine: AsyncEngine, *, lasts: float, shared: bool) -> None:
        """Use `open_leases`."""
        self._engine = engine
        self._shared = shared
        self._lasts = round(lasts * 1000)
        self._replica = ""

    async def take(self, partition: str, holder: Holder) -> int | None:
        """See `leases.Leases.take`."""
        self._replica = holder.replica
        taken = await self._run(
            _TAKE, partition=partition, replica=holder.replica, address=holder.address, lasts=self._lasts
        )
        return taken.scalar_one_or_none()

    async def renew(self, partition: str, epoch: int) -> bool:
        """See `leases.Leases.renew`."""
        given = {"partition": partition, "epoch": epoch, "replica": self._replica, "lasts": self._lasts}
        renewed = await self._run(_RENEW, **given)
        return renewed.scalar_one_or_none() is not None

    async def release(self, partition: str, epoch: int) -> None:
        """See `leases.Leases.release`."""
        await self._run(_RELEASE, partition=partition, epoch=epoch)

    async def look(self) -> Scene:
        """See `leases.Leases.look`."""
        holders, present, there, known = {}, {}, set(), set()
        for row in await self._run(_LOOK_AROUND if self._shared else _LOOK):
            holder = Holder(replica=row.replica, address=row.address)
            if row.partition is not None:
                there.add(row.partition)
                if row.lasts:
                    holders[row.partition] = holder
            else:
                known.add(holder.replica)
                if row.lasts and holder.address:
                    present[holder.replica] = holder
        if len(there) > 1 and not self._shared:
            self._shared = True
            return await self.look()
        return Scene(holders=holders, present=present, known=frozenset(known), partitions=frozenset(there))

    async def attend(self, replica: Holder, *, leaving: bool = False) -> None:
        """See `leases.Leases.attend`."""
        lasts, address = round(self._lasts * PRESENCE), "" if leaving else replica.address
        await self._run(_ATTEND, replica=replica.replica, address=address, lasts=lasts)

    async def depart(self, replica: Holder) -> None:
        """See `leases.Leases.depart`."""
        await self._run(_DEPART, replica=replica.replica)

    async def _run(self, statement: Any, **parameters: object) -> CursorResult[Any]:  # noqa: ANN401 - a text clause
        try:
            async with self._engine.connect() as connection:
                return await _to_its_end(connection, statement, parameters)
        except Exception as error:
            raise _told(self._engine, error) or error from error

    async def known(self) -> bool:
        """Whether the database has a table of leases, and one of replicas where these share the work.

        Raises:
            DatabaseUnreachableError: its server does not answer.
            DatabaseUnusableError: it refuses us.
        """
        table = "replica" if self._shared else "lease"
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(lambda sync: inspect(sync).has_table(table))
        except Exception as error:
            told = _told(self._engine, error)
            if told is None:
                raise
            kind = DatabaseUnreachableError if told.transient else DatabaseUnusableError
            raise kind(told.reason) from error


async def _to_its_end(
    connection: AsyncConnection,
    statement: Any,  # noqa: ANN401 - a text clause
    parameters: dict[str, object],
) -> CursorResult[Any]:
    """Execute a statement; whoever is cancelled meanwhile waits for its end, `servers.LEASE_SECONDS` at most."""
    errors: list[Exception] = []
    answers: list[CursorResult[Any]] = []

    async def execute() -> None:
        try:
            answers.append(await connection.execute(statement, parameters))
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(execute(), name="leases.statement")
        try:
            await asyncio.shield(task)
        finally:
            await asyncio.wait([task])
    for error in errors:
        raise error
    return answers[0]


def _told(engine: AsyncEngine, error: Exception) -> StorageError | None:
    return error if isinstance(error, StorageError) else dialects.translated(engine, error)


@asynccontextmanager
async def open_leases(url: str, *, lasts: float, shared: bool = False) -> AsyncIterator[SqlLeases]:
    """Open the leases of a database, which is made ready for them if it never was; each lasts `lasts` seconds.

    `shared` says whether there are several partitions, so that replicas have to know of each other.

    Raises:
        DatabaseBusyError: a process that knows nothing of leases serves it.
        DatabaseUnusableError: it cannot be opened.
        DatabaseUnreachableError: its server does not answer.
    """
    async with servers.open_engine_of_leases(databases.parsed(url)) as engine:
        leases = SqlLeases(engine, lasts=lasts, shared=shared)
        if not await leases.known():
            await _prepare(url, leases)
        yield leases


async def _prepare(url: str, leases: SqlLeases) -> None:
    try:
        async with databases.open_database(url):
            pass
    except StorageError:
        # Several replicas may begin at once: one of them does it.
        if not await leases.known():
            raise
