"""Three replicas share six partitions on one PostgreSQL and one broker, under load; each is lost once, and comes back.

One is killed, one stopped, one cut off from both. The others take its partitions over in 5 s and give it its share
again: no report is lost or applied twice, the broker holds what endpoints are offered, and every replica answers for
all applications meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator import keys
from orchestrator.api.sessions import COOKIE
from orchestrator.keys import Role
from orchestrator.persistence.storage import open_storage
from tests import postgres
from tests.brokers import Mosquitto
from tests.properties.recounts import recount
from tests.services import SECONDS, connect, eventually, retained, stop, topic, until_retained
from tests.system.loads import check_offers, under_load
from tests.system.replicas import (
    TAKE_OVER_SECONDS,
    Replica,
    begin,
    check_vacancies,
    crowding,
    end,
    keep_journal,
    open_replicas,
    reported,
)
from tests.system.rollouts import documents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    import aiomqtt

    from tests.postgres import Postgres
    from tests.system.loads import Load

PARTITIONS = ("main", "p2", "p3", "p4", "p5", "p6")
APPLICATIONS = ("kettle", "toaster", "lamp", "oven", "fridge", "heater")
TOKENS = ("t0", "t1", "t2")
SHARES_SECONDS = 15.0


@pytest.fixture
def server() -> Postgres:
    return postgres.shared()


@pytest.fixture
async def database(server: Postgres, tmp_path: Path) -> AsyncIterator[str]:
    name = postgres.name_for(tmp_path)
    await server.fresh(name)
    yield name
    await server.drop(name)


async def held(replica: Replica) -> float:
    """How many partitions a replica serves; -1: it does not answer, is not in step, or knows no holder of another."""
    try:
        async with replica.client() as client:
            ready = (await client.get("/readyz")).status_code == 200
        return await replica.metric("otao_leases_held") if ready else -1
    except httpx2.HTTPError:
        return -1


async def until_held(replicas: Sequence[Replica], amounts: list[int], seconds: float) -> float:
    """Wait until replicas serve so many partitions; return how long that took."""
    begun_at = time.monotonic()

    found: list[float] = []

    async def so() -> bool:
        found[:] = [await held(replica) for replica in replicas]
        return found == amounts

    try:
        await eventually(so, f"they hold {amounts}", seconds)
    except AssertionError as error:
        logs = "\n".join(replica.log()[-2000:] for replica in replicas)
        raise AssertionError(f"{error}; they hold {found}; their logs:\n{logs}") from error
    return time.monotonic() - begun_at


async def test_replicas_share_partitions_and_take_them_over_from_one_that_is_lost_under_load(
    server: Postgres, database: str
) -> None:
    given = {"OTAO_PARTITIONS": str(len(PARTITIONS)), "OTAO_HISTORY_PER_ENDPOINT": "0"}
    async with Mosquitto(anonymous=True) as broker, open_replicas(broker, server, database, 3, **given) as replicas:
        await until_held(replicas, [2, 2, 2], SHARES_SECONDS * crowding())
        for number, application in enumerate(APPLICATIONS):
            await replicas[number % 3].define(application)
        listed = await replicas[0].get("/applications")
        assert [item["name"] for item in listed["items"]] == sorted(APPLICATIONS)
        await keep_journal(server, database)
        async with under_load(broker, replicas[0], dict.fromkeys(APPLICATIONS, TOKENS)) as load:
            await load.more(100)
            for fault, lost in zip(("killed", "stopped", "cut off"), replicas, strict=True):
                await followed_by_the_others(fault, lost, replicas, load)
        for (application, token), versions in load.acknowledged.items():
            await replicas[0].until_running(token, versions[-1], application=application)
            assert await reported(replicas[1], token, application=application) == versions
        await check_offers(partial(server.rows, database=database), load)
        await check_vacancies(server, database, 3 * 2)
        for application in APPLICATIONS:
            await eventually(partial(retains_offers, broker, replicas[2], application), "the broker holds the offers")
        assert [await replica.metric("otao_dead_letters_total") for replica in replicas] == [0, 0, 0]
        assert all(replica.running for replica in replicas)
        for replica in replicas:
            await stop(replica)
    await counters_equal_rows(server.url(database))


async def retains_offers(broker: Mosquitto, service: Replica, application: str) -> bool:
    """Whether the broker retains what the endpoints of an application are offered, and nothing else."""
    shown = await documents(service, application)
    offers = {document["token"]: document["offer"]["version"] for document in shown if document["offer"] is not None}
    return await retained(broker, app_version=f"{application}-v1") == offers


async def followed_by_the_others(fault: str, lost: Replica, replicas: Sequence[Replica], load: Load) -> None:
    """Lose a replica and have it back: the others take over what it had, lose nothing of theirs, and share again."""
    others = [replica for replica in replicas if replica is not lost]
    before = [await replica.metric("otao_leases_lost") for replica in others]
    load.ask = others[0]
    begun_at = time.monotonic()
    await begin(fault, lost)
    crowd = crowding()
    await until_held(others, [3, 3], TAKE_OVER_SECONDS * crowd)
    seconds = time.monotonic() - begun_at
    print(f"{fault}: taken over after {seconds:.2f} s, {crowd:.1f} processes a core")  # noqa: T201 - to read
    await load.more(100)
    # What is about an application that has moved is answered by whoever is asked.
    for application in APPLICATIONS:
        await others[1].software("0.2.0", ["0.1.0"], application=application)
    await end(fault, lost)
    await until_held(replicas, [2, 2, 2], SHARES_SECONDS * crowding())
    assert [await replica.metric("otao_leases_lost") for replica in others] == before
    await load.more(100)


async def counters_equal_rows(url: str) -> None:
    """Each application is in a partition of its own, and its counters are those of its rows."""
    for partition in PARTITIONS:
        async with open_storage(url, partition=partition) as storage:
            (entry,) = await storage.entries()
            key = entry.application.key
            assert await storage.counters(key) == await recount(storage, key)


async def test_the_number_of_partitions_is_raised_replica_by_replica_and_a_lower_one_counts_for_nothing(
    server: Postgres, database: str
) -> None:
    async with Mosquitto(anonymous=True) as broker, AsyncExitStack() as stack:
        replicas = await stack.enter_async_context(open_replicas(broker, server, database, 2, OTAO_PARTITIONS="2"))
        await until_held(replicas, [1, 1], SHARES_SECONDS * crowding())
        for amount in (4, 1):
            one = Replica(broker, server, database, OTAO_PARTITIONS=str(amount))
            replicas.append(await stack.enter_async_context(one))
        first, second, third, lower = replicas
        await until_held(replicas, [1, 1, 1, 1], SHARES_SECONDS * crowding())
        for application in APPLICATIONS[:4]:
            await first.define(application)
        assert (await lower.put("/freeze", {"reason": "fire"}, method="POST"))["frozen"]
        for replica in replicas:
            assert (await replica.get("/freeze"))["frozen"]
            assert len((await replica.get("/applications"))["items"]) == 4
        for replica in (third, lower, second, first):
            await stop(replica)


async def test_kill_in_an_upgrade_leaves_what_is_newer_to_newer_replicas_and_the_older_ones_serve_on(
    server: Postgres, database: str
) -> None:
    amount = {"OTAO_PARTITIONS": "4"}
    names = APPLICATIONS[:4]
    async with Mosquitto(anonymous=True) as broker, Replica(broker, server, database, **amount) as newer:
        await until_held([newer], [4], SHARES_SECONDS * crowding())
        async with Replica(broker, server, database, **amount) as older:
            await until_held([newer, older], [2, 2], SHARES_SECONDS * crowding())
            for application in names:
                await newer.define(application)
            await server.run("UPDATE otao_p2.alembic_version SET version_num = '9999'", database)
            await newer.kill()

            async def has_the_rest() -> bool:
                return "replica.older" in older.log() and await older.metric("otao_leases_held") == 3

            await eventually(has_the_rest, "the older one has the rest", TAKE_OVER_SECONDS * crowding())
            async with older.client() as client:
                codes = [(await client.get(f"/api/v1/applications/{name}")).status_code for name in names]
            assert codes == [200, 503, 200, 200]
            # As if what comes back were of the newer version.
            await server.run("UPDATE otao_p2.alembic_version SET version_num = '0010'", database)
            await newer.start()
            await until_held([newer, older], [1, 3], SHARES_SECONDS * crowding())
            for application in names:
                await older.get(f"/applications/{application}")
            await stop(older)
            await until_held([newer], [4], SHARES_SECONDS * crowding())


async def test_a_rollout_of_all_applications_is_frozen_and_offered_by_whoever_is_asked(
    server: Postgres, database: str
) -> None:
    async with (
        Mosquitto(anonymous=True) as broker,
        open_replicas(broker, server, database, 2, OTAO_PARTITIONS="2") as (first, second),
    ):
        await until_held([first, second], [1, 1], SHARES_SECONDS * crowding())
        for application in ("kettle", "lamp"):
            await first.define(application)
            async with connect(broker, "t") as client:
                where = topic("t", "applied/json", app_version=f"{application}-v1")
                await client.publish(where, '{"configId":"1.0.0"}', qos=1)
            await until_retained(broker, {"t": "1.1.0"}, app_version=f"{application}-v1")
        assert (await second.put("/freeze", {"reason": "fire"}, method="POST"))["withdrawn"] == 2
        for application in ("kettle", "lamp"):
            await until_retained(broker, {}, app_version=f"{application}-v1")
        assert (await first.get("/freeze"))["frozen"]
        assert not (await first.put("/freeze", {"frozen": False}, method="POST"))["frozen"]
        for application in ("kettle", "lamp"):
            await until_retained(broker, {"t": "1.1.0"}, app_version=f"{application}-v1")
        pages = [await first.get("/audit?limit=5")]
        while pages[-1]["next"] is not None:
            pages.append(await second.get(f"/audit?limit=5&cursor={pages[-1]['next']}"))
        told = [item for page in pages for item in page["items"]]
        assert [item["at"] for item in told] == sorted((item["at"] for item in told), reverse=True)
        assert len({item["id"] for item in told}) == len(told) == 2 * (1 + 3 + 2)
        async with second.client() as client:
            page = (await client.get("/")).text
        assert all(f"/applications/{application}" in page for application in ("kettle", "lamp"))
        # Its name and its version are free again, wherever the next application of this name goes.
        await first.put("/applications/lamp/endpoints/t", None, method="DELETE")
        await first.put("/applications/lamp", None, method="DELETE")
        await second.define("lamp2", appVersions=["lamp-v1"])
        await until_retained(broker, {}, app_version="lamp-v1")
        async with second.client() as client:
            answer = await client.put("/api/v1/applications/x", json={"appVersions": ["kettle-v1"]})
        assert (answer.status_code, answer.json()["code"]) == (409, "app-version-taken")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_commands_and_reports_are_answered_once_before_and_after_a_kill_also_commands_to_nobody(
    protocol: str, server: Postgres, database: str
) -> None:
    given = {"OTAO_PARTITIONS": "3", "OTAO_MQTT_PROTOCOL": protocol}
    names = APPLICATIONS[:3]
    async with (
        Mosquitto(anonymous=True) as broker,
        open_replicas(broker, server, database, 2, **given) as (first, second),
        connect(broker, "people") as client,
    ):
        await until_all_held([first, second], len(names))
        for application in names:
            await first.define(application)
        for topic_filter in ("otao/v1/+/control/#", "kp1/+/cmx_ota/+/applied/json/#"):
            await client.subscribe(topic_filter, qos=1)
        await say_and_be_answered(client, names, "1.0.0")
        for application in names:
            await until_retained(broker, {"t": "1.1.0"}, app_version=f"{application}-v1")
        await second.kill()
        await until_held([first], [len(names)], TAKE_OVER_SECONDS * crowding())
        await say_and_be_answered(client, names, "1.1.0")
        for application in names:
            await until_retained(broker, {"t": "2.0.0"}, app_version=f"{application}-v1")
            assert await reported(first, "t", application=application) == ["1.0.0", "1.1.0"]


async def until_all_held(replicas: Sequence[Replica], amount: int) -> None:
    """Wait until replicas serve so many partitions together, and nothing is about to move."""

    async def so() -> bool:
        amounts = [await held(replica) for replica in replicas]
        return sum(amounts) == amount and max(amounts) - min(amounts) <= 1

    await eventually(so, f"they hold {amount}", SHARES_SECONDS * crowding())


async def say_and_be_answered(client: aiomqtt.Client, names: Sequence[str], version: str) -> None:
    """Command and report; each is answered once, by whoever has to."""
    said = {f"otao/v1/{name}/control/{what}" for name in names for what in ("fleet.summary/1/status", "burn/2/error")}
    said |= {f"kp1/{name}-v1/cmx_ota/t/applied/json/3/status" for name in names}
    said |= {"otao/v1/nobody/control/freeze/4/error", "otao/v1/NOBODY/control/freeze/5/error"}
    last = {f"otao/v1/{name}/control/fleet.summary/6/status" for name in names}
    last |= {"otao/v1/nobody/control/freeze/7/error"}
    answers: Counter[str] = Counter()
    for expected in (said, last):
        for answer in sorted(expected):
            payload = json.dumps({"configId": version}) if answer.startswith("kp1/") else "{}"
            await client.publish(answer.rpartition("/")[0], payload, qos=1)
        async with asyncio.timeout(SECONDS):
            while not expected <= answers.keys():
                topic_of = str((await anext(client.messages)).topic)
                answers[topic_of] += topic_of.endswith(("/status", "/error"))
    # Each partition answers in order: a second answer to what was said first would have come before the last.
    assert +answers == Counter(said | last)


async def test_whoever_signed_in_at_one_replica_is_known_to_all_until_signing_out(
    server: Postgres, database: str, tmp_path: Path
) -> None:
    key = keys.create(tmp_path / "otao.keys", "ann", Role.OPERATOR, datetime.now(UTC))
    given = {"OTAO_PARTITIONS": "2", "OTAO_API_KEYS_FILE": str(tmp_path / "otao.keys")}
    async with (
        Mosquitto(anonymous=True) as broker,
        open_replicas(broker, server, database, 2, **given) as (first, second),
        first.client() as here,
        second.client() as there,
    ):
        await until_held([first, second], [1, 1], SHARES_SECONDS * crowding())
        for application in ("kettle", "lamp"):
            body = {"appVersions": [f"{application}-v1"]}
            bearer = {"Authorization": f"Bearer {key}"}
            assert (await here.put(f"/api/v1/applications/{application}", json=body, headers=bearer)).is_success
        signed_in = await here.post("/login", data={"key": key, "next": "/"})
        session = {"Cookie": f"{COOKIE}={signed_in.cookies[COOKIE]}"}
        here.cookies.clear()

        clients = [here, there]

        async def statuses(headers: dict[str, str]) -> set[int]:
            paths = ("/", "/applications/kettle", "/applications/lamp")
            return {(await client.get(path, headers=headers)).status_code for client in clients for path in paths}

        assert await statuses(session) == {200}
        assert await statuses({}) == {303}
        await there.post("/logout", headers=session)
        assert await statuses(session) == {303}
        # Also to who comes to serve later.
        await second.kill()
        await until_held([first], [2], TAKE_OVER_SECONDS * crowding())
        async with Replica(broker, server, database, **given) as third, third.client() as later:
            await until_held([first, third], [1, 1], SHARES_SECONDS * crowding())
            clients[1] = later
            assert await statuses(session) == {303}
