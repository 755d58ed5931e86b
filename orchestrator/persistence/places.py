"""Which partition applications are in, and whose their application versions are: one table for all partitions.

Rules:
- A name is taken, and given up, in the transaction that stores or removes what it belongs to.
- What a partition gave up is kept: its session at the broker may be subscribed to it for as long as there is one.
- The table lies with the tables of `main`; every other partition has its tables in a schema of its own, on PostgreSQL.

Layer: persistence; implements `partitions.Locations`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, make_url, select, text

from orchestrator.application.partitions import MAIN, PlacedElsewhereError
from orchestrator.application.records import AppVersionTakenError
from orchestrator.persistence import dialects, holdings, servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from sqlalchemy import Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

APPLICATION, APP_VERSION, PARTITION = "application", "app-version", "partition"
"""The kinds of names."""
LEFT, LEFT_APPLICATION = "left", "left-application"
"""Of application versions and applications that a partition gave up; its own name and a slash are before theirs."""


@dataclass(frozen=True, slots=True)
class Places:
    """The names that one partition takes."""

    partition: str = MAIN
    home: str = ""
    """What stands before names of tables that are not this partition's own: a schema and a dot, or nothing."""

    async def take_application(self, connection: AsyncConnection, name: str) -> None:
        """Have an application here.

        Raises:
            PlacedElsewhereError: another partition has one of this name.
        """
        if await self._taken(connection, APPLICATION, name, name) != (self.partition, name):
            raise PlacedElsewhereError(name)

    async def take_app_version(self, connection: AsyncConnection, name: str, application: str) -> None:
        """Give an application version to an application.

        Raises:
            AppVersionTakenError: it is another one's.
        """
        if await self._taken(connection, APP_VERSION, name, application) != (self.partition, application):
            raise AppVersionTakenError(name)

    async def take_partition(self, connection: AsyncConnection) -> None:
        """Note that this partition is there."""
        await self._taken(connection, PARTITION, self.partition, "")

    async def _taken(self, connection: AsyncConnection, kind: str, name: str, application: str) -> tuple[str, str]:
        """Take a name, unless somebody has it; return who has it now. Waits for whoever is about to take it."""
        statement = text(
            f"INSERT INTO {self.home}place (kind, name, partition, application)"  # noqa: S608 - a schema of ours
            " VALUES (:kind, :name, :partition, :application)"
            " ON CONFLICT (kind, name) DO UPDATE SET name = excluded.name RETURNING partition, application"
        )
        given = {"kind": kind, "name": name, "partition": self.partition, "application": application}
        partition, owner = (await connection.execute(statement, given)).one()
        return str(partition), str(owner)

    async def give_up_app_versions(self, connection: AsyncConnection, names: Iterable[str]) -> None:
        """Let others have application versions."""
        for name in names:
            await self._leave(connection, LEFT, APP_VERSION, "name = :name", name=name)
            await self._give_up(connection, "kind = :kind AND name = :name", kind=APP_VERSION, name=name)

    async def give_up_application(self, connection: AsyncConnection, name: str) -> None:
        """Let others have an application's name, and those of its versions."""
        for left, kind in ((LEFT, APP_VERSION), (LEFT_APPLICATION, APPLICATION)):
            await self._leave(connection, left, kind, "application = :name", name=name)
        await self._give_up(connection, "application = :name", name=name)

    async def left(self, connection: AsyncConnection, kind: str = LEFT) -> list[str]:
        """The application versions, or with `LEFT_APPLICATION` the applications, that this partition ever gave up."""
        statement = f"SELECT name FROM {self.home}place WHERE kind = :kind AND partition = :partition"  # noqa: S608 - ours
        found = await connection.execute(text(statement), {"kind": kind, "partition": self.partition})
        return [str(name).removeprefix(f"{self.partition}/") for name in found.scalars()]

    async def _leave(self, connection: AsyncConnection, left: str, kind: str, which: str, **given: str) -> None:
        """Keep, as names of the kind `left`, that names of another kind are about to be given up."""
        statement = (
            f"INSERT INTO {self.home}place (kind, name, partition, application)"  # noqa: S608 - a schema of ours
            f" SELECT '{left}', partition || '/' || name, partition, '' FROM {self.home}place"
            f" WHERE kind = '{kind}' AND partition = :partition AND {which}"
            " ON CONFLICT (kind, name) DO NOTHING"
        )
        await connection.execute(text(statement), {"partition": self.partition, **given})

    async def _give_up(self, connection: AsyncConnection, which: str, **given: str) -> None:
        statement = f"DELETE FROM {self.home}place WHERE partition = :partition AND {which}"  # noqa: S608 - ours
        await connection.execute(text(statement), {"partition": self.partition, **given})


_place = holdings.place.c
_APPLICATIONS = _place.kind == APPLICATION
_OF = select(_place.partition).where(_APPLICATIONS, _place.name == bindparam("wanted"))
_AMOUNTS = select(_place.partition, func.count().filter(_APPLICATIONS).label("amount")).group_by(_place.partition)


class SqlLocations:
    """Implements `partitions.Locations`."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use `open_locations`."""
        self._engine = engine

    async def of(self, application: str) -> str | None:
        """See `partitions.Locations.of`."""
        found = await self._rows(_OF, wanted=application)
        return str(found[0][0]) if found else None

    async def amounts(self) -> Mapping[str, int]:
        """See `partitions.Locations.amounts`."""
        return {str(found.partition): int(found.amount) for found in await self._rows(_AMOUNTS)}

    async def _rows(self, statement: Select[Any], **given: str) -> Sequence[Row[Any]]:
        try:
            async with self._engine.connect() as connection:
                found: Sequence[Row[Any]] = (await connection.execute(statement, given)).all()
                return found
        except Exception as error:
            raise dialects.translated(self._engine, error) or error from error


@asynccontextmanager
async def open_locations(url: str) -> AsyncIterator[SqlLocations]:
    """Open a connection that asks where applications are; nothing is connected yet."""
    async with servers.open_engine_of_leases(make_url(url)) as engine:
        yield SqlLocations(engine)
