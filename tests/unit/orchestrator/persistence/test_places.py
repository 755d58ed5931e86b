"""Names that partitions take, on SQLite; several partitions are in `tests/integration/test_partitions.py`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from orchestrator.application.partitions import PlacedElsewhereError
from orchestrator.application.records import AppVersionTakenError
from orchestrator.persistence import holdings
from orchestrator.persistence.databases import open_database
from orchestrator.persistence.places import LEFT_APPLICATION, Places
from tests.contract.storages import APP, open_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    async with (
        open_database(f"sqlite+aiosqlite:///{tmp_path}/otao.db") as database,
        database.writer.begin() as opened,
    ):
        yield opened


async def names(connection: AsyncConnection) -> list[tuple[str, str]]:
    table = holdings.place.c
    found = await connection.execute(select(table.name, table.partition).order_by(table.kind, table.name))
    return [(name, partition) for name, partition in found]


async def test_a_name_is_taken_once_and_again_by_whoever_has_it(connection: AsyncConnection) -> None:
    here, there = Places(), Places("p2")
    for _ in range(2):
        await here.take_application(connection, "kettle")
        await here.take_app_version(connection, "v1", "kettle")
    with pytest.raises(PlacedElsewhereError, match="kettle"):
        await there.take_application(connection, "kettle")
    with pytest.raises(AppVersionTakenError, match="v1"):
        await there.take_app_version(connection, "v1", "kettle")
    with pytest.raises(AppVersionTakenError, match="v1"):
        await here.take_app_version(connection, "v1", "toaster")
    assert await names(connection) == [("v1", "main"), ("kettle", "main")]


async def test_what_is_given_up_may_be_taken_by_others(connection: AsyncConnection) -> None:
    here, there = Places(), Places("p2")
    await here.take_application(connection, "kettle")
    for name in ("v1", "v2"):
        await here.take_app_version(connection, name, "kettle")
    await there.give_up_app_versions(connection, ["v1"])
    await there.give_up_application(connection, "kettle")
    assert len(await names(connection)) == 3
    await here.give_up_app_versions(connection, ["v1"])
    await there.take_app_version(connection, "v1", "toaster")
    await here.give_up_application(connection, "kettle")
    await there.take_application(connection, "kettle")
    taken = [("v1", "p2"), ("kettle", "p2")]
    left = [("main/v1", "main"), ("main/v2", "main"), ("main/kettle", "main")]
    assert await names(connection) == [*taken, *left]
    assert (await here.left(connection), await there.left(connection)) == (["v1", "v2"], [])
    assert await here.left(connection, LEFT_APPLICATION) == ["kettle"]


async def test_what_was_there_before_there_were_partitions_is_in_the_first_one(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as shelf:
        await shelf.define(APP)
    with closing(sqlite3.connect(tmp_path / "otao.db")) as database:
        database.executescript(
            "DROP TABLE place; DROP TABLE replica; DROP TABLE sign_out;"
            "ALTER TABLE installation DROP COLUMN secret; ALTER TABLE installation DROP COLUMN ticket;"
            "ALTER TABLE installation DROP COLUMN site; UPDATE alembic_version SET version_num = '0007'"
        )
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/otao.db") as reopened, reopened.writer.begin() as opened:
        assert await names(opened) == [("kettle-v1", "main"), ("kettle-v2", "main"), ("kettle", "main")]
