"""A PostgreSQL server that is gone, and its standby in its place: what became of a commit that was not answered."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.ports import StorageError
from orchestrator.persistence.storage import open_storage
from tests.contract.cutters import CommitCutter
from tests.contract.storages import NOW
from tests.pairs import Pair, open_pair
from tests.services import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.persistence.storage import SqlStorage


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Pair, CommitCutter, SqlStorage]]:
    """A storage whose commits a standby has when they are answered."""
    async with AsyncExitStack() as stack:
        pair = await stack.enter_async_context(open_pair("otao"))
        way = await stack.enter_async_context(CommitCutter(pair.primary.port))
        async with open_storage(pair.primary.url("otao", port=way.port)) as storage:
            yield pair, way, storage
        async with open_storage(pair.primary.url("otao")) as again:
            assert await again.dates_at() == NOW
            # A standby that has taken over is not taken for a database that was restored.
            assert again.generation == 0


async def note(storage: SqlStorage) -> None:
    """Store something."""
    async with storage.transaction() as transaction:
        await transaction.note_dates(NOW)


async def test_a_commit_that_the_standby_has_is_known_by_its_ticket_when_that_has_taken_over() -> None:
    async with opened() as (pair, way, storage):
        gone = asyncio.Event()

        def leave() -> None:
            way.away = True
            gone.set()

        async def take_over() -> None:
            await gone.wait()
            await pair.take_over()
            way.move(pair.primary.port)
            way.away = False

        way.when, way.meanwhile = "after", leave
        async with asyncio.TaskGroup() as group:
            group.create_task(take_over())
            await note(storage)
        assert await storage.dates_at() == NOW
        assert storage.commits == 1


async def test_a_commit_that_the_standby_does_not_have_is_told_from_another_s_of_the_same_number() -> None:
    async with opened() as (pair, way, storage):
        numbers: list[int | None] = []

        async def waits() -> bool:
            waiting = "SELECT max(backend_xid::text::bigint) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            numbers[:] = [await pair.primary.value(waiting)]
            return numbers != [None]

        async def take_over() -> None:
            await eventually(waits, "the commit waits for the standby")
            way.away = True
            await pair.take_over()
            while await pair.primary.value("SELECT pg_current_xact_id()::text::bigint") < numbers[0]:
                pass
            assert await pair.primary.value(f"SELECT pg_xact_status('{numbers[0]}')") == "committed"
            way.move(pair.primary.port)
            way.away = False

        pair.part()
        async with asyncio.TaskGroup() as group:
            group.create_task(take_over())
            with pytest.raises(StorageError) as caught:
                await note(storage)
        assert caught.value.transient
        assert await storage.dates_at() is None
        await note(storage)
        assert await storage.dates_at() == NOW
