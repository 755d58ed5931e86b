from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.pushes import ParkedPush
from orchestrator.persistence import inspections
from tests.contract.storages import NOW, newcomer, store

if TYPE_CHECKING:
    import pytest

    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


async def test_a_new_database_is_whole_and_empty(shelf: SqlShelf) -> None:
    found = await shelf.storage.inspect()
    assert found.size_bytes > 0
    assert found.free_bytes
    assert (found.damage, found.waiting, found.parked, found.dead_letters) == (None, 0, 0, 0)
    assert (found.parked_topic, found.last_error) == (None, None)


async def test_what_waits_and_what_failed_is_counted(shelf: SqlShelf, entry: Entry) -> None:
    pushed = newcomer(entry, "tok")
    pushed.push = True
    await store(shelf, entry, pushed)
    parked = ParkedPush(topic="kp1/t", key=1, reason_code=0x87, parked_at=NOW, retry_at=NOW, tries=1)
    async with shelf.storage.transaction() as transaction:
        await transaction.park([parked])
        for error in ("first", "second"):
            await transaction.bury("kp1/t", b"", error, NOW)
    found = await shelf.storage.inspect()
    assert (found.waiting, found.parked, found.parked_topic) == (1, 1, "kp1/t")
    assert (found.dead_letters, found.last_error) == (2, "second")
    async with shelf.storage.transaction() as transaction:
        await transaction.raise_watermark(1, NOW)
    assert (await shelf.storage.inspect()).waiting == 0


async def test_a_large_file_is_not_read_through(shelf: SqlShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(inspections, "_damage", never)
    monkeypatch.setattr(inspections, "CHECKED_AT_MOST", 0)
    assert (await shelf.storage.inspect()).damage is None
