"""The stored numbers are read as values."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import false, true

from orchestrator.application.counters import CounterKey
from orchestrator.domain.endpoints import Endpoint
from orchestrator.persistence import counts, schema
from tests.contract.storages import APP, NOW, newcomer, store
from tests.unit.orchestrator.domain.builders import offer, v

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


async def read(shelf: SqlShelf, chosen: ColumnElement[bool]) -> Counter[CounterKey]:
    async with shelf.storage.reading() as connection:
        return await counts.read(connection, chosen, shelf.storage._dictionary)


async def test_the_numbers_that_are_chosen_are_read_with_their_versions(shelf: SqlShelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    attempt = replace(offer("1.1.0"), stage=2)
    state = Endpoint(running=v("1.0.0"), registered_at=NOW, attempt=attempt, sequence=1)
    await store(shelf, entry, newcomer(entry, "one", state), newcomer(entry, "two"))
    await store(shelf, other, newcomer(other, "one"))
    key = entry.application.key
    numbers = {
        CounterKey(key, "running", v("1.0.0")): 1,
        CounterKey(key, "running"): 1,
        CounterKey(key, "attempts", v("1.1.0"), v("1.0.0"), "offered"): 1,
        CounterKey(key, "latest", v("1.1.0"), None, "offered"): 1,
        CounterKey(key, "stages", v("1.1.0"), None, "2 offered unreached"): 1,
        CounterKey(key, "slots", v("1.1.0"), v("1.0.0")): 1,
    }
    assert await read(shelf, schema.counter.c.application_id == key) == numbers
    assert await read(shelf, true()) == {**numbers, CounterKey(other.application.key, "running"): 1}
    assert await read(shelf, false()) == {}


async def test_zeros_are_left_out_and_what_differs_in_build_metadata_is_added_up(shelf: SqlShelf, entry: Entry) -> None:
    key = entry.application.key
    async with shelf.storage.transaction() as transaction:
        await transaction.number([(key, v("1.0.0+a")), (key, v("1.0.0+b"))])
        for text, amount in (("1.0.0+a", 2), ("1.0.0+b", 3), ("1.1.0", 1), ("1.1.0", -1)):
            await transaction.count(Counter({CounterKey(key, "running", v(text)): amount}))
    assert await read(shelf, true()) == {CounterKey(key, "running", v("1.0.0")): 5}
