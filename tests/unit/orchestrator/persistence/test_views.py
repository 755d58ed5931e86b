from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.application.counters import CounterKey
from orchestrator.application.pushes import ParkedPush
from orchestrator.domain.endpoints import Endpoint
from tests.contract.storages import APP, NOW, newcomer, one, store
from tests.unit.orchestrator.domain.builders import v

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


async def test_entries_are_all_applications(shelf: SqlShelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    found = {item.application.name: item for item in await shelf.storage.entries()}
    assert found.keys() == {"kettle", "toaster"}
    assert found["kettle"].software == entry.software
    assert found["toaster"].application == other.application


async def test_numbers_are_an_applications_own_and_zeros_are_left_out(shelf: SqlShelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    await store(shelf, other, newcomer(other, "tok"))
    await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("1.0.0"), registered_at=NOW)))
    record = await one(shelf, entry, "tok")
    moved = newcomer(entry, "tok", replace(record.endpoint, running=v("1.1.0")))
    moved.before = record
    await store(shelf, entry, moved)
    key = entry.application.key
    assert await shelf.storage.counters(key) == {CounterKey(key, "running", v("1.1.0")): 1}


async def test_numbers_that_differ_in_build_metadata_make_up_for_each_other(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("1.0.0+a"), registered_at=NOW)))
    record = await one(shelf, entry, "tok")
    moved = newcomer(entry, "tok", replace(record.endpoint, running=v("1.0.0+b")))
    moved.before = record
    await store(shelf, entry, moved, newcomer(entry, "other", moved.after))
    key = entry.application.key
    assert await shelf.storage.counters(key) == {CounterKey(key, "running", v("1.0.0")): 2}


async def test_refused_topics_of_an_endpoint_are_told_with_the_reason(shelf: SqlShelf) -> None:
    parked = [
        ParkedPush(topic=topic, key=key, reason_code=code, parked_at=NOW, retry_at=NOW, tries=1)
        for topic, key, code in (("a", 1, 0x87), ("b", 2, 0x97))
    ]
    async with shelf.storage.transaction() as transaction:
        await transaction.park(parked)
    assert await shelf.storage.parked_topics(2) == [("b", 0x97)]
    assert await shelf.storage.parked_topics(3) == []
