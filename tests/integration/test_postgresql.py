"""Storage on a real PostgreSQL server: opening, who may write, what becomes of commits, and what is sent."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from orchestrator.application.leases import Holder, LeaseLostError
from orchestrator.application.ports import StorageError
from orchestrator.domain.endpoints import Endpoint
from orchestrator.persistence import schema, servers
from orchestrator.persistence.databases import open_database
from orchestrator.persistence.leases import open_leases
from orchestrator.persistence.refusals import DatabaseBusyError, DatabaseUnreachableError, DatabaseUnusableError
from orchestrator.persistence.storage import open_storage
from tests import postgres
from tests.contract.cutters import CommitCutter
from tests.contract.forwarders import Forwarder
from tests.contract.storages import APP, NOW, SqlShelf, found, newcomer, one, store
from tests.services import eventually
from tests.unit.orchestrator.domain.builders import general, v

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import asyncpg

    from orchestrator.persistence.databases import Database


@pytest.fixture
def server() -> postgres.Postgres:
    return postgres.shared()


@pytest.fixture
def name(tmp_path: Path) -> str:
    return postgres.name_for(tmp_path)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SqlShelf]:
    async with open_storage(url) as storage:
        yield SqlShelf(storage=storage)


async def setting(database: Database, name: str) -> object:
    async with database.writer.connect() as connection:
        return (await connection.exec_driver_sql(f"SHOW {name}")).scalar()


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, schema.metadata))


async def test_the_migrations_make_exactly_the_tables(server: postgres.Postgres, name: str) -> None:
    async with open_database(await server.empty(name)) as database, database.readers.connect() as connection:
        assert await connection.run_sync(differences) == []
        tables = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
        assert tables == {*schema.metadata.tables, "alembic_version"}


async def test_migrations_wait_for_those_of_another(server: postgres.Postgres, name: str) -> None:
    url = await server.empty(name)
    opening = asyncio.Event()

    async def open_it() -> None:
        async with open_database(url):
            opening.set()

    async def hold(connection: asyncpg.Connection) -> None:
        await connection.execute(f"SELECT pg_advisory_lock({servers.MIGRATING})")
        task = group.create_task(open_it())
        waits = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

        async def waiting() -> bool:
            return bool(await connection.fetchval(waits))

        await eventually(waiting, "the migration waits")
        assert not await connection.fetchval("SELECT to_regclass('endpoint') IS NOT NULL")
        assert not task.done()

    async with asyncio.TaskGroup() as group:
        await server.ask(hold, name)
        await asyncio.wait_for(opening.wait(), 20)


async def test_a_second_open_is_refused_until_the_first_is_closed(server: postgres.Postgres, name: str) -> None:
    url = await server.fresh(name)
    async with open_database(url):
        with pytest.raises(DatabaseBusyError, match="is served by another process") as caught:
            async with open_database(url):
                pytest.fail("it was opened twice")
        assert not caught.value.transient
    async with open_database(url):
        pass


async def test_a_database_of_a_newer_version_is_refused_and_not_touched(server: postgres.Postgres, name: str) -> None:
    url = await server.fresh(name)
    await server.run("UPDATE alembic_version SET version_num = '9999'", name)
    with pytest.raises(DatabaseUnusableError, match=r"newer version \(schema 9999\)"):
        async with open_database(url):
            pytest.fail("it was opened")


async def test_what_cannot_be_opened_is_refused_with_its_cause(server: postgres.Postgres, name: str) -> None:
    await server.fresh(name)
    for url, kind, reason in (
        (server.url(name, password="wrong"), DatabaseUnusableError, "password authentication failed"),
        (server.url("absent"), DatabaseUnusableError, 'database "absent" does not exist'),
        (server.url(name, port=1), DatabaseUnreachableError, "cannot be reached"),
    ):
        with pytest.raises(kind, match=reason) as caught:
            async with open_database(url):
                pytest.fail("it was opened")
        assert "wrong" not in str(caught.value)


async def test_texts_that_are_not_unicode_are_refused(server: postgres.Postgres, name: str) -> None:
    await server.run(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'LATIN1'")
    with pytest.raises(DatabaseUnusableError, match="encoding is LATIN1"):
        async with open_database(server.url(name)):
            pytest.fail("it was opened")


async def test_commits_are_durable_whatever_the_database_is_set_to(server: postgres.Postgres, name: str) -> None:
    url = await server.fresh(name)
    await server.run(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    async with open_database(url) as database:
        assert await setting(database, "synchronous_commit") == "on"
        assert await setting(database, "fsync") == "on"


async def test_what_is_read_is_one_state_and_cannot_be_written(server: postgres.Postgres, name: str) -> None:
    async with opened(await server.fresh(name)) as shelf:
        entry = await shelf.define(APP)
        async with shelf.storage.reading() as connection:
            count = "SELECT count(*) FROM endpoint"
            assert (await connection.exec_driver_sql(count)).scalar() == 0
            await store(shelf, entry, newcomer(entry, "tok"))
            assert (await connection.exec_driver_sql(count)).scalar() == 0
            with pytest.raises(DBAPIError, match="read-only"):
                await connection.exec_driver_sql("DELETE FROM endpoint")


async def test_a_batch_of_500_is_as_many_statements_as_one_of_two(server: postgres.Postgres, name: str) -> None:
    async with opened(await server.fresh(name)) as shelf:
        entry = await shelf.define(APP, [general("1.0.0"), general("1.1.0", "1.0.0")])
        statements: list[list[str]] = []
        # The first time the driver asks the server for types.
        for amount in (1, 2, 500):
            drafts = [
                newcomer(entry, f"{amount}-{number}", Endpoint(running=v("1.0.0"), registered_at=NOW))
                for number in range(amount)
            ]
            sent: list[str] = []
            async with shelf.storage._writer.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
            with driver.query_logger(lambda record, sent=sent: sent.append(record.query)):
                await store(shelf, entry, *drafts)
                await found(shelf, entry, [draft.before.token for draft in drafts])
            statements.append(sent)
        _, small, large = statements
        assert len(small) == len(large)
        assert len(large) <= 14


async def test_a_session_that_is_ended_fails_its_transaction_alone(server: postgres.Postgres, name: str) -> None:
    async with opened(await server.fresh(name)) as shelf:
        entry = await shelf.define(APP)
        with pytest.raises(StorageError) as caught:
            await _note(shelf, lambda: server.end_sessions(name))
        assert caught.value.transient
        assert await shelf.storage.dates_at() is None
        await store(shelf, entry, newcomer(entry, "tok"))
        assert len(await found(shelf, entry, ["tok"])) == 1


async def test_a_deadlock_is_transient_and_leaves_nothing(server: postgres.Postgres, name: str) -> None:
    async with opened(await server.fresh(name)) as shelf:
        entry = await shelf.define(APP)
        await store(shelf, entry, newcomer(entry, "a"), newcomer(entry, "b"))
        a, b = [record.key for record in await found(shelf, entry, ["a", "b"])]
        touch = "UPDATE endpoint SET revision = revision + 1 WHERE id = "

        async def other(connection: asyncpg.Connection) -> None:
            # It waits longer than the writer before it looks for a deadlock: the writer is the one who gives way.
            await connection.execute("SET deadlock_timeout = '10s'")
            async with connection.transaction():
                await connection.execute(f"{touch}{b}")
                async with asyncio.TaskGroup() as group, shelf.storage.transaction() as transaction:
                    await transaction._connection.exec_driver_sql(f"{touch}{a}")
                    crossing = group.create_task(connection.execute(f"{touch}{a}"))
                    try:
                        await transaction._connection.exec_driver_sql(f"{touch}{b}")
                    finally:
                        waiting.append(crossing)

        waiting: list[asyncio.Task[Any]] = []
        with pytest.raises(ExceptionGroup) as caught:
            await server.ask(other, name)
        (error,) = caught.value.exceptions
        assert isinstance(error, StorageError)
        assert "deadlock detected" in str(error)
        assert error.transient


async def test_a_commit_that_the_server_never_saw_fails_and_leaves_nothing(
    server: postgres.Postgres, name: str
) -> None:
    await server.fresh(name)
    async with CommitCutter(server.port) as way, opened(server.url(name, port=way.port)) as shelf:
        entry = await shelf.define(APP)
        way.when = "before"
        with pytest.raises(StorageError) as caught:
            await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("7.0.0"), registered_at=NOW)))
        assert caught.value.transient
        assert await found(shelf, entry, ["tok"]) == []
        await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("7.0.0"), registered_at=NOW)))
        assert (await one(shelf, entry, "tok")).endpoint.running == v("7.0.0")


async def test_a_commit_that_was_not_answered_has_its_effect_once(server: postgres.Postgres, name: str) -> None:
    await server.fresh(name)
    async with CommitCutter(server.port) as way, opened(server.url(name, port=way.port)) as shelf:
        entry = await shelf.define(APP)
        way.when = "after"
        await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("7.0.0"), registered_at=NOW)))
        assert way.when is None
        assert (await one(shelf, entry, "tok")).endpoint.running == v("7.0.0")
        # What was given a number in it is known.
        await store(shelf, entry, newcomer(entry, "other", Endpoint(running=v("7.0.0"), registered_at=NOW)))
        assert len(await found(shelf, entry, ["tok", "other"])) == 2


async def test_a_writer_that_was_replaced_while_it_was_cut_off_writes_no_more(
    server: postgres.Postgres, name: str
) -> None:
    url = await server.fresh(name)
    async with CommitCutter(server.port) as way, opened(server.url(name, port=way.port)) as shelf:
        entry = await shelf.define(APP)
        way.cut()
        async with opened(url) as successor:
            again = (await successor.storage.entries())[0]
            await store(successor, again, newcomer(again, "tok"))
        with pytest.raises(DatabaseBusyError) as caught:
            await store(shelf, entry, newcomer(entry, "other"))
        assert not caught.value.transient
        with pytest.raises(DatabaseBusyError):
            await shelf.storage.entries()
    async with opened(url) as shelf:
        assert [record.token for record in await _read(shelf)] == ["tok"]


async def lease(url: str, replica: str) -> int:
    """The epoch of a lease that was taken and let go: the newest there is."""
    async with open_leases(url, lasts=50) as leases:
        epoch = await leases.take("main", Holder(replica=replica, address="127.0.0.1:1"))
        assert epoch is not None
        await leases.release("main", epoch)
        return epoch


async def test_whoever_has_a_newer_lease_ends_what_the_one_before_had_begun(
    server: postgres.Postgres, name: str
) -> None:
    url = await server.fresh(name)
    async with open_storage(url, lease=await lease(url, "a")) as storage:
        shelf = SqlShelf(storage=storage)
        entry = await shelf.define(APP)

        async def succeed() -> None:
            async with open_storage(url, lease=await lease(url, "b")) as successor:
                assert await successor.dates_at() is None
                again = (await successor.entries())[0]
                await store(SqlShelf(storage=successor), again, newcomer(again, "tok"))

        # The first one has the lock, and everything written but the commit.
        with pytest.raises(StorageError):
            await _note(shelf, succeed)
        for act in (lambda: store(shelf, entry, newcomer(entry, "other")), storage.entries):
            with pytest.raises(LeaseLostError, match=f"another replica serves {name}"):
                await act()
    async with opened(url) as shelf:
        assert [record.token for record in await _read(shelf)] == ["tok"]
        assert await shelf.storage.dates_at() is None


async def test_nothing_is_begun_under_a_lease_that_another_has_taken_though_it_has_not_opened_the_database(
    server: postgres.Postgres, name: str
) -> None:
    url = await server.fresh(name)
    first = await lease(url, "a")
    async with open_storage(url, lease=first) as storage:
        shelf = SqlShelf(storage=storage)
        entry = await shelf.define(APP)
        await lease(url, "b")
        with pytest.raises(LeaseLostError):
            await store(shelf, entry, newcomer(entry, "tok"))
    with pytest.raises(LeaseLostError):
        async with open_storage(url, lease=first):
            pytest.fail("it was opened")


async def test_leases_wait_for_a_server_that_does_not_answer_no_longer_than_they_may(
    server: postgres.Postgres, name: str
) -> None:
    await server.fresh(name)
    async with Forwarder(server.port) as way:
        async with open_leases(server.url(name, port=way.port), lasts=50) as leases:
            way.silence()
            with pytest.raises(StorageError) as caught:
                await leases.look()
            assert caught.value.transient
            way.restore()
        with pytest.raises(DatabaseUnreachableError):
            async with open_leases(server.url(name, port=1), lasts=50):
                pytest.fail("it was opened")


async def test_a_lease_of_a_clock_that_was_set_back_counts_for_nothing(server: postgres.Postgres, name: str) -> None:
    url = await server.fresh(name)
    async with open_leases(url, lasts=50) as leases:
        first = await leases.take("main", Holder(replica="a", address="127.0.0.1:1"))
        assert first is not None
        await server.run("UPDATE lease SET until_ms = until_ms + 3600000", name)
        assert (await leases.look()).holders.get("main") is None
        assert await leases.take("main", Holder(replica="b", address="127.0.0.1:2")) == first + 1
        assert not await leases.renew("main", first)


async def test_a_lease_whose_epoch_another_was_given_again_is_not_renewed(server: postgres.Postgres, name: str) -> None:
    async with open_leases(await server.fresh(name), lasts=50) as leases:
        epoch = await leases.take("main", Holder(replica="a", address="127.0.0.1:1"))
        assert epoch is not None
        assert await leases.renew("main", epoch)
        # As on a standby that took over before it knew of this lease, where another replica came first.
        await server.run("UPDATE lease SET replica = 'b'", name)
        assert not await leases.renew("main", epoch)


async def test_leases_are_known_to_a_database_that_never_had_any(server: postgres.Postgres, name: str) -> None:
    url = await server.empty(name)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(lease(url, replica)) for replica in ("a", "b")]
    assert sorted(task.result() for task in asked) == [1, 2]


async def test_names_of_an_edit_that_failed_while_the_server_was_away_are_unknown_again(
    server: postgres.Postgres, name: str
) -> None:
    await server.fresh(name)
    toaster = replace(APP, name="toaster", app_versions=("toaster-v1",))
    async with CommitCutter(server.port) as way, opened(server.url(name, port=way.port)) as shelf:
        await shelf.define(APP)

        async def put() -> None:
            async with shelf.storage.edit() as edit:
                await edit.put_application(toaster)
                way.away = True
                way.cut()
                await edit.put_application(replace(toaster, key=2))

        with pytest.raises(StorageError) as caught:
            await put()
        assert caught.value.transient
        way.away = False
        entry = await shelf.define(toaster)
        await store(shelf, entry, newcomer(entry, "tok"))
        assert (await one(shelf, entry, "tok")).app_version == "toaster-v1"


async def _note(shelf: SqlShelf, meanwhile: Callable[[], Awaitable[None]]) -> None:
    async with shelf.storage.transaction() as transaction:
        await transaction.note_dates(NOW)
        await meanwhile()
        await transaction.note_dates(NOW)


async def _read(shelf: SqlShelf) -> list[Any]:
    async with shelf.storage.reading() as connection:
        return list(await connection.exec_driver_sql("SELECT token FROM endpoint"))
