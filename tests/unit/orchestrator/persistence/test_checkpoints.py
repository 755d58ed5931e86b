from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.persistence.checkpoints import Checkpointer
from orchestrator.persistence.databases import open_database
from orchestrator.persistence.storage import open_storage
from tests.contract.deadlines import eventually
from tests.contract.storages import url_in

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from orchestrator.persistence.databases import Database
    from orchestrator.persistence.storage import SqlStorage

ROWS = 5_000


async def fill(writer: AsyncEngine) -> None:
    async with writer.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS heap (text TEXT)")
        await connection.exec_driver_sql("INSERT INTO heap VALUES (?)", [("x" * 400,)] * ROWS)


async def begins_anew(database: Database) -> bool:
    """Whether the next write goes to the beginning of the log, so that the log does not grow."""
    length = log_bytes(database)
    async with database.writer.begin() as connection:
        await connection.exec_driver_sql("INSERT INTO heap VALUES ('y')")
    return log_bytes(database) == length


def log_bytes(database: Database) -> int:
    assert database.path is not None
    return database.path.with_name("otao.db-wal").stat().st_size


def checkpointer(database: Database) -> Checkpointer:
    assert database.path is not None
    assert database.copier is not None
    return Checkpointer(database.path, database.copier, asyncio.Lock())


def copying_of(storage: SqlStorage) -> Checkpointer:
    assert storage.checkpointer is not None
    return storage.checkpointer


async def test_a_log_that_is_copied_begins_anew(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)) as database:
        await fill(database.writer)
        assert not await begins_anew(database)
        await checkpointer(database).copy()
        assert await begins_anew(database)


async def test_what_was_copied_is_read_from_the_database_alone(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)) as database:
        await fill(database.writer)
        before = tmp_path.joinpath("otao.db").stat().st_size
        await checkpointer(database).copy()
        assert tmp_path.joinpath("otao.db").stat().st_size > before + ROWS * 400


async def test_the_log_is_copied_while_a_transaction_is_open_and_the_last_of_it_after(tmp_path: Path) -> None:
    async with open_storage(url_in(tmp_path)) as storage, asyncio.TaskGroup() as group:
        async with storage.transaction():
            copying = group.create_task(copying_of(storage).copy())
            done, _ = await asyncio.wait([copying], timeout=0.2)
            assert not done
        await asyncio.wait_for(copying, 10)


async def test_a_reader_that_stays_only_delays_it(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)) as database:
        await fill(database.writer)
        async with database.readers.begin() as reader:
            assert (await reader.exec_driver_sql("SELECT count(*) FROM heap")).scalar() == ROWS
            await fill(database.writer)
            await checkpointer(database).copy()
            assert not await begins_anew(database)
        await checkpointer(database).copy()
        assert await begins_anew(database)


async def test_the_loop_copies_what_is_written(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)) as database, asyncio.TaskGroup() as group:
        await checkpointer(database).copy()
        path = tmp_path / "otao.db"
        before = path.stat().st_size
        await fill(database.writer)
        looping = group.create_task(checkpointer(database).run())
        await eventually(lambda: path.stat().st_size > before + ROWS * 400, "the log is copied")
        looping.cancel()
