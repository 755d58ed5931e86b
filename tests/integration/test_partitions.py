"""Several partitions in one PostgreSQL database: each has its own tables, writer and epoch, and names are unique."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from orchestrator import outcomes, settings, upkeep
from orchestrator.application.leases import Holder, LeaseLostError
from orchestrator.application.partitions import PlacedElsewhereError
from orchestrator.application.ports import StorageError
from orchestrator.application.records import AppVersionTakenError
from orchestrator.domain.endpoints import Endpoint
from orchestrator.domain.freezes import Freeze
from orchestrator.persistence.leases import open_leases
from orchestrator.persistence.places import open_locations
from orchestrator.persistence.storage import open_storage
from tests import postgres
from tests.contract.storages import APP, NOW, SqlShelf, found, newcomer, store
from tests.unit.orchestrator.domain.builders import general

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

OTHER = replace(APP, name="toaster", app_versions=("toaster-v1",))


@pytest.fixture
async def url(tmp_path: Path) -> str:
    return await postgres.shared().empty(postgres.name_for(tmp_path))


@asynccontextmanager
async def opened(url: str, *partitions: str) -> AsyncIterator[list[SqlShelf]]:
    async with AsyncExitStack() as stack:
        yield [
            SqlShelf(storage=await stack.enter_async_context(open_storage(url, partition=name))) for name in partitions
        ]


async def test_partitions_have_their_own_rows_and_the_installation_in_common(url: str) -> None:
    async with opened(url, "main", "p2", "p3") as (first, second, third):
        kettle = await first.define(APP, [general("1.0.0")])
        toaster = await second.define(OTHER)
        assert kettle.application.key == toaster.application.key
        await store(first, kettle, newcomer(kettle, "e1", Endpoint(registered_at=NOW)))
        assert [record.token for record in await found(first, kettle, ["e1"])] == ["e1"]
        assert await found(second, toaster, ["e1"]) == []
        names = [
            [entry.application.name for entry in await shelf.storage.entries()] for shelf in (first, second, third)
        ]
        assert names == [["kettle"], ["toaster"], []]
        assert len({(it.storage.name, it.storage.secret) for it in (first, second, third)}) == 1
    async with opened(url, "p2") as (second,):
        assert [entry.application.name for entry in await second.storage.entries()] == ["toaster"]


async def test_a_partition_that_is_new_takes_over_the_freeze_of_all(url: str) -> None:
    async with opened(url, "main") as (first,):
        freeze = Freeze(since=NOW, by="ann", reason="fire", everywhere=True)
        async with first.storage.edit() as edit:
            await edit.set_freeze(None, freeze)
        async with opened(url, "p2") as (second,):
            assert await second.storage.freeze(None) == freeze


async def test_a_partition_cannot_be_the_first_one_to_be_opened(url: str) -> None:
    with pytest.raises(StorageError):
        async with opened(url, "p2"):
            pass


async def test_names_are_unique_over_all_partitions_and_free_again_afterwards(url: str) -> None:
    async with opened(url, "main", "p2") as (first, second):
        kettle = await first.define(APP)
        with pytest.raises(PlacedElsewhereError):
            await second.define(APP)
        with pytest.raises(AppVersionTakenError, match="kettle-v2"):
            await second.define(replace(OTHER, app_versions=("kettle-v2",)))
        assert await second.storage.entries() == []
        await first.define(replace(kettle.application, app_versions=("kettle-v1",)))
        toaster = await second.define(replace(OTHER, app_versions=("kettle-v2",)))
        async with first.storage.edit() as edit:
            await edit.delete_application(kettle.application.key)
        await second.define(replace(toaster.application, app_versions=("kettle-v1", "kettle-v2")))
        await second.define(replace(APP, app_versions=("kettle-v3",)))


async def test_the_names_that_a_partition_gave_up_are_known_to_whoever_holds_it_next(url: str) -> None:
    async with opened(url, "main", "p2") as (first, second):
        kettle = await first.define(replace(APP, app_versions=("kettle-v1", "kettle-v2")))
        toaster = await second.define(OTHER)
        await first.define(replace(kettle.application, app_versions=("kettle-v1",)))
        async with second.storage.edit() as edit:
            await edit.delete_application(toaster.application.key)
    async with opened(url, "main", "p2") as (first, second):
        assert await first.storage.left_app_versions() == ["kettle-v2"]
        assert await second.storage.left_app_versions() == ["toaster-v1"]
        assert [await it.storage.left_applications() for it in (first, second)] == [[], ["toaster"]]
        await first.define(replace(kettle.application, app_versions=("kettle-v1", "kettle-v2")))
        async with first.storage.edit() as edit:
            await edit.delete_application(kettle.application.key)
        assert sorted(await first.storage.left_app_versions()) == ["kettle-v1", "kettle-v2"]


async def test_of_two_that_take_a_name_at_the_same_moment_one_gets_it(url: str) -> None:
    async with opened(url, "main", "p2") as shelves:
        outcomes: list[type[Exception] | None] = []

        async def define(shelf: SqlShelf) -> None:
            try:
                await shelf.define(APP)
            except (PlacedElsewhereError, AppVersionTakenError) as error:
                outcomes.append(type(error))
            else:
                outcomes.append(None)

        async with asyncio.TaskGroup() as group:
            for shelf in shelves:
                group.create_task(define(shelf))
        assert sorted(outcomes, key=str) == [PlacedElsewhereError, None]
        assert [len(await shelf.storage.entries()) for shelf in shelves].count(1) == 1


async def test_whoever_takes_one_partition_over_leaves_the_writers_of_the_others_alone(url: str) -> None:
    async with open_leases(url, lasts=60) as leases, opened(url, "main") as (first,):
        held = Holder(replica="a", address="a:1")
        epochs = [await leases.take("p2", held)]
        async with open_storage(url, lease=epochs[0], partition="p2") as old:
            await leases.release("p2", epochs[0] or 0)
            epochs.append(await leases.take("p2", replace(held, replica="b")))
            with pytest.raises(LeaseLostError):
                await old.freeze(None)
            async with open_storage(url, lease=epochs[1], partition="p2") as new:
                with pytest.raises(StorageError):
                    await SqlShelf(storage=old).define(OTHER)
                await SqlShelf(storage=new).define(OTHER)
        assert epochs == [1, 2]
        await first.define(APP)


async def test_anybody_may_ask_where_applications_are_and_which_partitions_there_have_been(url: str) -> None:
    async with opened(url, "main", "p2", "p3") as (_, second, _third), open_locations(url) as locations:
        await second.define(APP)
        await second.define(OTHER)
        assert [await locations.of(name) for name in ("kettle", "toaster", "lamp")] == ["p2", "p2", None]
        assert await locations.amounts() == {"p2": 2, "p3": 0}


async def test_who_signed_out_is_kept_for_all_partitions_until_the_session_would_have_ended(url: str) -> None:
    async with opened(url, "main", "p2", "p3") as (first, second, third):
        soon, later = NOW + timedelta(hours=1), NOW + timedelta(hours=12)
        await second.storage.sign_out("a", soon, NOW)
        await third.storage.sign_out("a", soon, NOW)
        await first.storage.sign_out("b", later, NOW)
        for shelf in (first, second, third):
            assert await shelf.storage.signed_out() == {"a": soon, "b": later}
        await third.storage.sign_out("c", later, soon)
        assert await first.storage.signed_out() == {"b": later, "c": later}


async def test_of_an_older_version_s_partitions_one_is_migrated_and_the_others_stay_as_they_are(url: str) -> None:
    async with opened(url, "main", "p2", "p3"):
        pass
    server, name = postgres.shared(), str(make_url(url).database)
    schemas = ("public", "otao_p2", "otao_p3")
    versions: list[str] = []

    async def go_back(connection: asyncpg.Connection) -> None:
        for schema in schemas:
            await connection.execute(f"SET search_path TO {schema}")
            await connection.execute(
                "DROP TABLE sign_out; ALTER TABLE installation DROP COLUMN ticket, DROP COLUMN site;"
                " UPDATE alembic_version SET version_num = '0008'"
            )

    async def look(connection: asyncpg.Connection) -> None:
        for schema in schemas:
            await connection.execute(f"SET search_path TO {schema}")
            versions.extend(await connection.fetchval("SELECT array_agg(version_num) FROM alembic_version"))

    await server.ask(go_back, name)

    async with opened(url, "p2") as (second,):
        await server.ask(look, name)
        assert versions == ["0008", "0010", "0008"]
        await second.storage.sign_out("a", NOW + timedelta(hours=1), NOW)
    async with opened(url, "main", "p3") as shelves:
        for shelf in shelves:
            assert (await shelf.storage.signed_out()).keys() == {"a"}


async def test_whoever_was_told_of_one_partition_sees_who_shares_several(url: str) -> None:
    it = Holder(replica="a", address="a:1")
    async with open_leases(url, lasts=60, shared=True) as several, open_leases(url, lasts=60) as one:
        await several.attend(it)
        await several.take("main", it)
        assert (await one.look()).known == frozenset()
        await several.take("p2", it)
        assert await one.look() == await several.look()


async def test_migrating_makes_all_partitions(url: str) -> None:
    given = settings.load({"database_url": url, "partitions": 3})
    assert await upkeep.migrate(given) == outcomes.DONE
    async with open_locations(url) as locations:
        assert await locations.amounts() == {"p2": 0, "p3": 0}
