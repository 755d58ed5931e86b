"""A database that `pg_restore` made is known as such, once, in each partition; others are not taken for one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.persistence.storage import open_storage
from tests import postgres
from tests.contract.storages import APP, SqlShelf, newcomer, store

if TYPE_CHECKING:
    from pathlib import Path

PARTITIONS = ("main", "p2")


@pytest.fixture
def name(tmp_path: Path) -> str:
    return postgres.name_for(tmp_path)


async def generations(url: str) -> list[tuple[int, int]]:
    """Of each partition: how often it was restored, and the last revision of a push."""
    found = []
    for partition in PARTITIONS:
        async with open_storage(url, partition=partition) as storage:
            found.append((storage.generation, storage.revision))
    return found


@pytest.mark.parametrize("options", [(), ("--clean", "--if-exists")], ids=["elsewhere", "in its own place"])
async def test_each_partition_is_renewed_once_after_pg_restore(name: str, options: tuple[str, ...]) -> None:
    server = postgres.shared()
    url = await server.empty(name)
    for partition, amount in zip(PARTITIONS, (3, 1), strict=True):
        async with open_storage(url, partition=partition) as storage:
            shelf = SqlShelf(storage=storage)
            entry = await shelf.define(replace(APP, name=partition, app_versions=(partition,)))
            await store(shelf, entry, *(newcomer(entry, f"t{number}") for number in range(amount)))
    before = await generations(url)
    # It was opened again, and nothing is new.
    assert [generation for generation, _ in before] == [0, 0]
    dump = await asyncio.to_thread(server.dump, name)
    target = name if options else f"{name}_restored"
    restored = await server.empty(target)
    await asyncio.to_thread(server.restore, dump, target, *options)
    # Every endpoint is told anew.
    after = [(1, before[0][1] + 3), (1, before[1][1] + 1)]
    assert await generations(restored) == after
    assert await generations(restored) == after


async def test_a_user_who_owns_the_database_and_nothing_else_can_open_it(name: str) -> None:
    server = postgres.shared()
    await server.run(f"CREATE ROLE {name} LOGIN PASSWORD '{postgres.PASSWORD}'")
    await server.run(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    url = server.url(name, user=name)
    for _ in range(2):
        assert await generations(url) == [(0, 0), (0, 0)]
