"""The database of a service or of a storage under test: a SQLite file, or a database on a real PostgreSQL server.

`OTAO_TEST_DATABASE=postgresql` chooses PostgreSQL for the system suite; else it is SQLite.

Rules:
- A database belongs to a place, a path: SQLite's file is there, PostgreSQL's database is named after it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

from orchestrator.persistence import schema
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

ON_POSTGRESQL = os.environ.get("OTAO_TEST_DATABASE", "sqlite") == "postgresql"


def place_in(folder: Path) -> Path:
    """The place of the one database of a folder."""
    return folder / "otao.db"


async def address(place: Path) -> str:
    """The address of a place's database, which is made if it is not there yet."""
    if ON_POSTGRESQL:
        return await postgres.shared().fresh(postgres.name_for(place))
    return f"sqlite+aiosqlite:///{place}"


async def copy(source: Path, target: Path) -> None:
    """Make a database that holds what another one does, which nobody is connected to."""
    if ON_POSTGRESQL:
        await postgres.shared().copy(postgres.name_for(source), postgres.name_for(target))
    else:
        shutil.copy(source, target)


async def keep(source: Path, folder: Path) -> Path:
    """Copy a database into a folder; return its place there."""
    place = place_in(folder)
    await copy(source, place)
    return place


async def drop(place: Path) -> None:
    """Remove a database, if it is there."""
    if ON_POSTGRESQL:
        await postgres.shared().drop(postgres.name_for(place))
        return
    for suffix in ("", "-wal", "-shm"):
        place.with_name(place.name + suffix).unlink(missing_ok=True)


async def read(place: Path, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, beside whoever works on the database."""
    if not ON_POSTGRESQL:
        with closing(sqlite3.connect(place)) as connection:
            return connection.execute(query).fetchall()
    return await postgres.shared().rows(query, postgres.name_for(place))


@asynccontextmanager
async def held(place: Path) -> AsyncIterator[None]:
    """Inside the block nobody else writes: the database is locked, as by a backup that hangs or a disk that does."""
    if not ON_POSTGRESQL:
        with closing(sqlite3.connect(place, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        return
    taken, over = asyncio.Event(), asyncio.Event()

    async def hold(connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            await connection.execute("LOCK TABLE endpoint_state, installation IN EXCLUSIVE MODE")
            taken.set()
            await over.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(postgres.shared().ask(hold, postgres.name_for(place)))
        await taken.wait()
        yield
        over.set()


async def dump(place: Path) -> dict[str, list[str]]:
    """All rows of all tables, but for the ticket, which every transaction renews."""
    tables = {}
    for name, table in schema.metadata.tables.items():
        columns = ", ".join(f'"{column.name}"' for column in table.columns if column.name != "ticket")
        tables[name] = await read(place, f'SELECT {columns} FROM "{name}"')  # noqa: S608 - our names
    return {name: sorted(map(repr, rows)) for name, rows in tables.items()}
