"""Tables of endpoints in a PostgreSQL that has partitioned them by hash, as docs/how-to/scale.md says."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from orchestrator.persistence import schema
from orchestrator.persistence.storage import open_storage
from tests import postgres
from tests.contract.batches import of_every_kind, process, waiting
from tests.contract.storages import APP, NOW, SqlShelf, newcomer, store
from tests.properties import fleets
from tests.unit.orchestrator.domain.builders import general, targeted, use
from tests.unit.orchestrator.persistence.groups import LAB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg
    from sqlalchemy import Column

SCALE = Path(__file__).parents[2] / "docs" / "how-to" / "scale.md"
PARTS = 4
OF_ENDPOINTS = {
    name for name, table in schema.metadata.tables.items() if name == "endpoint_state" or "endpoint_id" in table.columns
}
"""Tables with rows for each endpoint."""


def documented() -> dict[str, str]:
    """What each table is hashed by, as the documentation says."""
    section = SCALE.read_text().partition("## Partition the tables of endpoints")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section, re.MULTILINE))


PREPARED = {
    "endpoint": (
        "ALTER TABLE endpoint DROP CONSTRAINT pk_endpoint, ADD CONSTRAINT pk_endpoint PRIMARY KEY (id, application_id)"
    )
}
"""What has to be done first, as the documentation says."""
NOTHING = "SELECT"


def parted(table: str, key: str) -> str:
    """Statements that make a table one of parts, as the documentation says."""
    parts = [
        f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {part})"
        for part in range(PARTS)
    ]
    statements = [
        f"ALTER TABLE {table} RENAME TO {table}_whole",
        f"CREATE TABLE {table} (LIKE {table}_whole INCLUDING ALL) PARTITION BY HASH ({key})",
        *parts,
        f"INSERT INTO {table} SELECT * FROM {table}_whole",  # noqa: S608 - names of the schema
        f"DROP TABLE {table}_whole CASCADE",
    ]
    return ";".join(statements)


async def part_all(name: str) -> None:
    """Make every table of endpoints in a database one of parts."""

    async def act(connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            for table, key in documented().items():
                await connection.execute(PREPARED.get(table, NOTHING))
                await connection.execute(parted(table, key))

    await postgres.shared().ask(act, name)


@asynccontextmanager
async def opened(name: str, *, in_parts: bool) -> AsyncIterator[SqlShelf]:
    """A storage whose tables are whole, or in parts."""
    url = await postgres.shared().fresh(name)
    if in_parts:
        await part_all(name)
    async with open_storage(url) as storage:
        yield SqlShelf(storage=storage)


async def live(shelf: SqlShelf) -> dict[str, list[str]]:
    """Let a fleet report, be offered and be swept; return what all its tables hold."""
    chain = [general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0")]
    entry = await shelf.define(APP, [*chain, targeted("2.1.0", "2.0.0", filters=[use("lab")])], [LAB])
    await store(shelf, entry, *(newcomer(entry, f"set-back{number}") for number in (0, 8)))
    await store(shelf, entry, *(waiting(entry, number) for number in range(16)))
    for number in (0, 8):
        await process(shelf, entry, of_every_kind(number))
    async with shelf.storage.transaction() as transaction:
        await transaction.find_due(NOW, 100, lambda _, subject: entry.memberships.belonging(subject))
    entry = await shelf.define(entry.application, [*chain, general("3.0.0", "1.1.0", "2.0.0")], [LAB])
    await shelf.add_work(entry.application.key, None)
    await fleets.sweep(shelf, entry, fleets.HandClock())
    stretch = await shelf.storage.superseded(0, await shelf.storage.last_revision(), 1000)
    assert stretch.revisions
    async with shelf.storage.transaction() as transaction:
        await transaction.drop_pushes(stretch.revisions)
    pushes = await shelf.storage.pushes(0, 1000)
    async with shelf.storage.reading() as connection:
        rows = {table: (await connection.execute(select(*told(table)))).all() for table in OF_ENDPOINTS}
    found = {table: sorted(map(repr, of_table)) for table, of_table in rows.items()}
    return {**found, "pushes": sorted(repr((push.key, push.version, push.superseded)) for push in pushes)}


def told(table: str) -> list[Column[Any]]:
    """The columns of a table, but for revisions: a sweep gives these in the order in which it comes to endpoints."""
    return [column for column in schema.metadata.tables[table].columns if not column.name.endswith("revision")]


def test_the_documentation_names_a_key_for_every_table_of_endpoints() -> None:
    assert documented().keys() == OF_ENDPOINTS


@pytest.mark.parametrize("table", sorted(OF_ENDPOINTS))
async def test_each_table_can_be_partitioned_with_its_constraints(table: str, tmp_path: Path) -> None:
    name = postgres.name_for(tmp_path)
    await postgres.shared().fresh(name)
    constraints: list[list[str]] = []

    async def act(connection: asyncpg.Connection) -> None:
        query = f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{table}'::regclass ORDER BY 1"  # noqa: S608 - the same
        for statements in (PREPARED.get(table, NOTHING), parted(table, documented()[table])):
            await connection.execute(statements)
            constraints.append([row[0] for row in await connection.fetch(query)])

    await postgres.shared().ask(act, name)
    assert constraints[0] == constraints[1] != []


async def test_on_tables_in_parts_everything_is_as_on_whole_ones(tmp_path: Path) -> None:
    name = postgres.name_for(tmp_path)
    async with opened(f"{name}_whole", in_parts=False) as shelf:
        whole = await live(shelf)
    async with opened(f"{name}_parts", in_parts=True) as shelf:
        parts = await live(shelf)
    assert parts == whole
    assert {table for table, rows in whole.items() if not rows} <= {"consent", "parked_push", "setback"}
