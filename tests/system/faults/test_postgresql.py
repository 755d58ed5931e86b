"""PostgreSQL is restarted, away or taken: nothing acknowledged is lost, nothing is applied twice, nobody guesses."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.brokers import Mosquitto
from tests.contract.cutters import CommitCutter
from tests.services import Service, connect, eventually, report, topic, until_retained

if TYPE_CHECKING:
    import asyncpg

    from tests.postgres import Postgres

FLEET = [f"e{number}" for number in range(40)]


async def reported(service: Service, token: str) -> list[str | None]:
    return [version for kind, version in await service.history(token) if kind == "reported"]


async def until_given_up(service: Service) -> None:
    """Wait until a service whose server is away has let the broker go: another one might serve by now."""

    async def given_up() -> bool:
        return await service.metric("otao_leases_held") == 0

    await eventually(given_up, "the lease is over, and the link closed with it")


async def test_invariant_2_a_server_killed_under_load_loses_and_repeats_no_report(server: Postgres) -> None:
    url = await server.fresh("otao")
    async with Mosquitto(tokens=FLEET) as broker, Service(broker, OTAO_DATABASE_URL=url) as service:
        await service.define()

        sent: list[str] = []

        async def load() -> None:
            for version in ("1.0.0", "1.1.0", "2.0.0"):
                for token in FLEET:
                    await report(broker, token, version)
                    sent.append(token)

        async def reached(amount: int) -> bool:
            return len(sent) >= amount

        async with asyncio.TaskGroup() as group:
            group.create_task(load())
            for amount in (20, 60, 100):
                # In the middle of the load, whatever is under way.
                await eventually(partial(reached, amount), "the load goes on", 60)
                server.kill()
                await eventually(partial(reached, amount + 5), "the load goes on without the server", 60)
                server.start()
        for token in FLEET:
            await service.until_running(token, "2.0.0")
        await until_retained(broker, {})
        for token in FLEET:
            assert await reported(service, token) == ["1.0.0", "1.1.0", "2.0.0"]
        assert await service.metric("otao_dead_letters_total") == 0
        assert await service.terminate() == 0


async def test_invariant_2_reports_wait_while_the_server_is_away_and_are_applied_once(server: Postgres) -> None:
    url = await server.fresh("otao")
    async with Mosquitto(tokens=["a", "b"]) as broker, Service(broker, OTAO_DATABASE_URL=url) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        server.kill()
        await report(broker, "a", "1.1.0")
        await report(broker, "b", "1.0.0")

        await until_given_up(service)
        async with service.client() as client:
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/api/v1/applications/kettle/endpoints/a")).status_code == 503
            assert (await client.get("/readyz")).status_code == 503
        server.start()
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0"})
        assert await reported(service, "a") == ["1.0.0", "1.1.0"]
        assert await service.metric("otao_dead_letters_total") == 0


async def test_a_broker_that_was_wiped_while_the_server_is_away_ends_nothing(server: Postgres) -> None:
    url = await server.fresh("otao")
    async with Mosquitto(tokens=["a", "b"]) as broker, Service(broker, OTAO_DATABASE_URL=url) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        server.kill()
        await broker.kill()
        broker.wipe()
        await broker.start()
        await until_given_up(service)
        assert service.running
        server.start()
        await until_retained(broker, {"a": "1.1.0"})
        await report(broker, "b", "1.0.0")
        await until_retained(broker, {"a": "1.1.0", "b": "1.1.0"})


async def test_invariant_2_a_commit_cut_before_or_after_it_was_made_applies_its_reports_once(server: Postgres) -> None:
    await server.fresh("otao")
    async with (
        CommitCutter(server.port) as way,
        Mosquitto(tokens=["a"]) as broker,
        Service(broker, OTAO_DATABASE_URL=server.url("otao", port=way.port)) as service,
    ):
        await service.define()
        for version, when in (("1.0.0", "after"), ("1.1.0", "before"), ("2.0.0", "after")):
            way.when = when  # type: ignore[assignment] # one of the two
            await report(broker, "a", version)
            await service.until_running("a", version)
        assert await reported(service, "a") == ["1.0.0", "1.1.0", "2.0.0"]


async def test_invariant_2_what_the_server_finds_damaged_ends_the_service_and_buries_no_report(
    server: Postgres,
) -> None:
    url = await server.fresh("otao")
    async with Mosquitto(tokens=["a"]) as broker, Service(broker, OTAO_DATABASE_URL=url) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        await server.ask(damage, "otao")
        await report(broker, "a", "1.1.0")
        assert await service.died() == 1
        assert "invalid page in block 7" in service.log()
        await server.ask(mend, "otao")
        await service.start()
        await service.until_running("a", "1.1.0")
        assert await reported(service, "a") == ["1.0.0", "1.1.0"]
        assert await service.metric("otao_dead_letters_total") == 0


async def damage(connection: asyncpg.Connection) -> None:
    """Have every change of an endpoint fail as a page that is damaged does."""
    await connection.execute(
        "CREATE FUNCTION damaged() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'invalid page in block 7' USING ERRCODE = 'XX001'; END $$"
    )
    await connection.execute(
        "CREATE TRIGGER damaged BEFORE UPDATE ON endpoint_state FOR EACH ROW EXECUTE FUNCTION damaged()"
    )


async def mend(connection: asyncpg.Connection) -> None:
    """Undo that."""
    await connection.execute("DROP TRIGGER damaged ON endpoint_state")


@pytest.mark.parametrize("place", ["a new database", "the same database"])
async def test_invariant_1_after_pg_restore_every_topic_is_what_the_older_database_says(
    server: Postgres, place: str
) -> None:
    url = await server.fresh("otao")
    async with Mosquitto(tokens=list("abcde")) as broker, Service(broker, OTAO_DATABASE_URL=url) as service:
        await service.define()
        for token, version in (("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0"), ("d", "2.0.0")):
            await report(broker, token, version)
        await until_retained(broker, dict.fromkeys("abc", "1.1.0"))
        dump = await asyncio.to_thread(server.dump, "otao")
        # Since then: two move on, one is offered something for the first time, one arrives.
        await report(broker, "a", "1.1.0")
        await report(broker, "b", "2.0.0")
        await report(broker, "e", "1.0.0")
        await service.software("3.0.0", ["2.0.0"])
        await until_retained(broker, {"a": "2.0.0", "b": "3.0.0", "c": "1.1.0", "d": "3.0.0", "e": "1.1.0"})
        await service.terminate()
        if place == "a new database":
            service.environment["OTAO_DATABASE_URL"] = await server.empty("restored")
            await asyncio.to_thread(server.restore, dump, "restored")
        else:
            await asyncio.to_thread(server.restore, dump, "otao", "--clean", "--if-exists")
        await service.start()
        await service.ready()
        # What the dump does not know of keeps what it was given, until it says something.
        await until_retained(broker, dict.fromkeys("abce", "1.1.0"))
        await report(broker, "e", "1.1.0")
        await report(broker, "b", "2.0.0")
        await report(broker, "a", "1.1.0")
        await until_retained(broker, {"a": "2.0.0", "c": "1.1.0", "e": "2.0.0"})


async def test_a_service_does_not_start_without_its_server_and_says_so(server: Postgres) -> None:
    url = await server.fresh("otao")
    server.terminate()
    async with Mosquitto(tokens=["a"]) as broker:
        service = Service(broker, OTAO_DATABASE_URL=url)
        await service.start()
        assert await service.died() == 4
        assert "otao: the database: its server cannot be reached" in service.log()
        assert "oato" not in service.log()


async def test_a_service_that_was_killed_is_followed_by_the_next_at_once(server: Postgres) -> None:
    url = await server.fresh("otao")
    async with Mosquitto(tokens=["a"]) as broker, Service(broker, OTAO_DATABASE_URL=url) as service:
        await service.define()
        async with connect(broker, "a") as client:
            await client.publish(topic("a", "applied/json"), b'{"configId":"1.0.0"}', qos=1)
        await service.kill()
        await service.start()
        await service.ready()
        await until_retained(broker, {"a": "1.1.0"})
        assert await reported(service, "a") == ["1.0.0"]
