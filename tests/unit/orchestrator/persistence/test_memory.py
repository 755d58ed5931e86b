"""What the twin has beside the contract."""

from __future__ import annotations

import pytest

from orchestrator.persistence.memory import MemoryStorage
from tests.contract.storages import APP, MemoryShelf, entry_of, newcomer, store


async def test_a_transaction_works_on_a_copy() -> None:
    storage = MemoryStorage()
    before = storage.state
    async with storage.transaction() as transaction:
        await transaction.remember([(1, 1)])
        assert storage.state is before
    assert before.deliveries == {}
    assert storage.state.deliveries == {1: 1}


async def test_work_items_are_numbered_in_order() -> None:
    storage = MemoryStorage()
    for _ in range(2):
        await storage.add_work(1, None)
    assert [work.number for work in await storage.works()] == [1, 2]


async def test_the_writers_turn_is_given_up_after_a_failure() -> None:
    shelf = MemoryShelf()
    with pytest.raises(ZeroDivisionError):
        async with shelf.storage.transaction():
            raise ZeroDivisionError
    entry = entry_of(APP)
    await store(shelf, entry, newcomer(entry, "tok"))
    assert [kept.endpoint_id for kept in shelf.storage.state.endpoints.values()] == ["tok"]
