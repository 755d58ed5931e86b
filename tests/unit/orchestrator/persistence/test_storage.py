from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.ports import StorageError
from orchestrator.application.records import AppVersionTakenError
from orchestrator.domain.endpoints import Endpoint
from orchestrator.persistence.databases import _READERS
from tests.contract.storages import APP, NOW, found, newcomer, one, open_sqlite, store
from tests.unit.orchestrator.domain.builders import v

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


async def pragma(shelf: SqlShelf, text: str) -> None:
    """Set something of the writing connection."""
    async with shelf.storage.transaction() as transaction:
        await transaction._connection.exec_driver_sql(f"PRAGMA {text}")


async def test_a_locked_database_is_transient_and_leaves_nothing(shelf: SqlShelf, entry: Entry, tmp_path: Path) -> None:
    await pragma(shelf, "busy_timeout = 1")
    with closing(sqlite3.connect(tmp_path / "otao.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked") as caught:
            await store(shelf, entry, newcomer(entry, "tok"))
        assert caught.value.transient
    assert await found(shelf, entry, ["tok"]) == []
    await store(shelf, entry, newcomer(entry, "tok"))
    assert len(await found(shelf, entry, ["tok"])) == 1


async def test_readers_that_are_all_taken_are_transient(shelf: SqlShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf.storage._readers.pool, "_timeout", 0.01)
    async with AsyncExitStack() as taken:
        for _ in range(_READERS):
            await taken.enter_async_context(shelf.storage.reading())
        with pytest.raises(StorageError, match="QueuePool limit") as caught:
            await shelf.storage.works()
        assert caught.value.transient
    assert await shelf.storage.works() == []


async def test_a_full_disk_is_transient_and_leaves_nothing(shelf: SqlShelf, entry: Entry) -> None:
    # The least that SQLite takes is what the file has already.
    await pragma(shelf, "max_page_count = 1")
    drafts = [newcomer(entry, f"tok{number}", Endpoint(running=v("4.5.6"), registered_at=NOW)) for number in range(500)]
    for draft in drafts:
        draft.new_attributes = f'{{"text":"{"x" * 500}"}}'
    with pytest.raises(StorageError, match="full") as caught:
        await store(shelf, entry, *drafts)
    assert caught.value.transient
    assert await found(shelf, entry, ["tok0"]) == []
    assert await shelf.counters(entry.application.key) == {}
    await pragma(shelf, "max_page_count = 1000000")
    await store(shelf, entry, *drafts)
    assert (await one(shelf, entry, "tok7")).endpoint.running == v("4.5.6")


async def test_what_the_database_forbids_is_not_transient(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok"))
    with pytest.raises(StorageError) as caught:
        await store(shelf, entry, newcomer(entry, "tok"))
    assert not caught.value.transient
    assert caught.value.code == "storage-error"


async def test_an_error_of_reading_is_a_storage_error(shelf: SqlShelf) -> None:
    with pytest.raises(StorageError, match="no such table: absent"):
        async with shelf.storage.reading() as connection:
            await connection.exec_driver_sql("SELECT * FROM absent")


async def test_errors_that_are_not_the_databases_pass_as_they_are(shelf: SqlShelf) -> None:
    with pytest.raises(ZeroDivisionError):
        async with shelf.storage.transaction():
            raise ZeroDivisionError


async def test_names_of_a_failed_edit_are_unknown_again(shelf: SqlShelf, entry: Entry) -> None:
    taken = replace(APP, name="toaster", app_versions=("toaster-v1", "kettle-v1"))
    with pytest.raises(AppVersionTakenError, match="kettle-v1"):
        await shelf.define(taken)
    assert [item.application.name for item in await shelf.storage.entries()] == ["kettle"]
    other = await shelf.define(replace(taken, app_versions=("toaster-v1",)))
    await store(shelf, other, newcomer(other, "tok"))
    await store(shelf, entry, newcomer(entry, "tok"))
    assert (await one(shelf, other, "tok")).app_version == "toaster-v1"


async def test_versions_of_a_failed_transaction_have_no_number(shelf: SqlShelf, entry: Entry) -> None:
    before = dict(shelf.storage._dictionary.version_ids)

    async def fail() -> None:
        async with shelf.storage.transaction() as transaction:
            draft = newcomer(entry, "tok", Endpoint(running=v("4.5.6"), registered_at=NOW))
            await transaction.store([draft], [None], NOW)
            assert shelf.storage._dictionary.version_ids != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert shelf.storage._dictionary.version_ids == before
    assert len(shelf.storage._dictionary.versions) == len(before)


@pytest.mark.parametrize("turns", range(12))
async def test_who_is_cancelled_while_a_transaction_begins_leaves_nothing_begun(shelf: SqlShelf, turns: int) -> None:
    async def write() -> None:
        async with shelf.storage.transaction() as transaction:
            await transaction.forget_deliveries()

    async with asyncio.TaskGroup() as group:
        begun = group.create_task(write())
        for _ in range(turns):
            await asyncio.sleep(0)
        begun.cancel()
    await write()


async def test_a_database_goes_on_where_it_was_when_it_is_opened_again(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as shelf:
        entry = await shelf.define(APP)
        draft = newcomer(entry, "tok", Endpoint(running=v("1.0.0"), registered_at=NOW))
        draft.push = True
        await store(shelf, entry, draft)
        name, before = shelf.storage.name, await one(shelf, entry, "tok")
        async with shelf.storage.transaction() as transaction:
            await transaction.raise_watermark(before.push_revision + 10, NOW)
    async with open_sqlite(tmp_path) as shelf:
        (entry,) = await shelf.storage.entries()
        assert (shelf.storage.name, await one(shelf, entry, "tok")) == (name, before)
        again = newcomer(entry, "other")
        again.push = True
        await store(shelf, entry, again)
        other = await one(shelf, entry, "other")
    assert other.key > before.key
    # Pushes up to the watermark may be pruned: what follows must still be above it.
    assert other.push_revision > before.push_revision + 10


async def test_every_installation_has_a_name_of_its_own(shelf: SqlShelf, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with open_sqlite(tmp_path / "other") as other:
        assert other.storage.name != shelf.storage.name
