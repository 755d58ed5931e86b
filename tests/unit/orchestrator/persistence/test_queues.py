"""What the contract suite does not say of the reads that the engine's loops start from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.domain.endpoints import Endpoint
from tests.contract.storages import NOW, newcomer, one, store
from tests.unit.orchestrator.domain.builders import v

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


async def test_a_reader_sees_one_committed_state_and_waits_for_nobody(shelf: SqlShelf, entry: Entry) -> None:
    async with shelf.storage.reading() as connection:
        count = "SELECT count(*) FROM endpoint"
        assert (await connection.exec_driver_sql(count)).scalar() == 0
        async with asyncio.timeout(10):
            await store(shelf, entry, newcomer(entry, "tok"))
        assert (await connection.exec_driver_sql(count)).scalar() == 0
    assert len(await shelf.storage.pushes_of([(await one(shelf, entry, "tok")).key])) == 1


async def test_more_readers_than_connections_wait_for_one(shelf: SqlShelf) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        tasks = [group.create_task(shelf.storage.watermark()) for _ in range(20)]
    assert [task.result() for task in tasks] == [0] * 20


async def test_a_work_item_names_versions_whatever_becomes_of_their_software(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("1.1.0"), registered_at=NOW)))
    await shelf.add_work(entry.application.key, [v("1.1.0"), None])
    async with shelf.storage.edit() as edit:
        await edit.delete_software(entry.application.key, v("1.1.0"))
    (work,) = await shelf.storage.works()
    assert work.running == frozenset({v("1.1.0"), None})
