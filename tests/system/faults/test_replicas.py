"""Three replicas on one PostgreSQL and one broker; the one that serves is killed, stopped, cut off, or ended.

Another one serves in its place: no report is lost or applied twice, nothing is said by one that was replaced, and no
stage of a rollout begins twice.
"""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from orchestrator.persistence.storage import open_storage
from tests import postgres
from tests.brokers import Mosquitto
from tests.properties.recounts import recount
from tests.services import connect, eventually, report, stop, topic, until_retained
from tests.system.kills import until_stopped
from tests.system.loads import check_load, check_offers, under_load
from tests.system.replicas import (
    Replica,
    begin,
    check_vacancies,
    end,
    holder_of,
    keep_journal,
    open_replicas,
    reported,
    took_over,
    until_all_running,
)
from tests.system.rollouts import NEW, define, documents, lookout, moves, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.postgres import Postgres

FLEET = [f"e{number}" for number in range(20)]
ALL = {"OTAO_HISTORY_PER_ENDPOINT": "0"}
"""Settings by which all history is kept."""
LAB, FIELD = ["l0", "l1"], ["f0", "f1", "f2", "f3", "f4"]


@pytest.fixture
def server() -> Postgres:
    return postgres.shared()


@pytest.fixture
async def database(server: Postgres, tmp_path: Path) -> AsyncIterator[str]:
    name = postgres.name_for(tmp_path)
    await server.fresh(name)
    yield name
    await server.drop(name)


@pytest.mark.parametrize("fault", ["killed", "stopped", "cut off", "cut off from the database", "deaf"])
async def test_a_holder_lost_under_load_is_followed_in_5_s_each_report_applied_and_each_offer_made_once(
    fault: str, server: Postgres, database: str
) -> None:
    async with Mosquitto(anonymous=True) as broker, open_replicas(broker, server, database, 3, **ALL) as replicas:
        await keep_journal(server, database)
        old = await holder_of(replicas)
        others = [replica for replica in replicas if replica is not old]
        await old.define()
        async with under_load(broker, others[0], {"kettle": FLEET}) as load:
            await load.more(100)
            begun_at = time.monotonic()
            await begin(fault, old)
            new = await took_over(others, begun_at, fault)
            await load.more(100)
            await end(fault, old)
            await old.until_standing_by()
            await load.more(100)
        # The old one answers as well, for the new one.
        await check_load(old, load)
        await check_offers(partial(server.rows, database=database), load)
        await check_vacancies(server, database, 1)
        assert [replica for replica in replicas if await replica.holds()] == [new]
        assert [await replica.metric("otao_dead_letters_total") for replica in replicas] == [0, 0, 0]
        assert all(replica.running for replica in replicas)


async def test_a_holder_cut_off_from_the_broker_alone_keeps_the_lease_and_goes_on_as_if_nothing_had_been(
    server: Postgres, database: str
) -> None:
    given = ALL | {"OTAO_MQTT_KEEP_ALIVE_SECONDS": "5"}
    async with Mosquitto(anonymous=True) as broker, open_replicas(broker, server, database, 3, **given) as replicas:
        holder = await holder_of(replicas)
        others = [replica for replica in replicas if replica is not holder]
        await holder.define()
        async with under_load(broker, others[0], {"kettle": FLEET}) as load:
            await load.more(100)
            await begin("cut off from the broker", holder)
            await eventually(partial(unready, holder), "it has noticed that")
            assert await holder.metric("otao_leases_held") == 1
            await end("cut off from the broker", holder)
            await load.more(100)
        await check_load(others[0], load)
        await check_offers(partial(server.rows, database=database), load)
        assert [replica for replica in replicas if await replica.holds()] == [holder]


async def unready(replica: Replica) -> bool:
    """Whether the broker may not hold what the database says."""
    return await replica.metric("otao_ready") == 0


@asynccontextmanager
async def one_that_stops(
    broker: Mosquitto, server: Postgres, database: str, step: str
) -> AsyncIterator[tuple[Replica, Replica]]:
    """A holder that stops itself at a step, and a replica that stands by."""
    async with (
        Replica(broker, server, database, STOP_AT=step) as stopping,
        Replica(broker, server, database) as other,
    ):
        yield stopping, other


@pytest.mark.parametrize("step", ["pushes-rendered"])
async def test_a_holder_stopped_with_offers_in_hand_says_nothing_when_it_wakes_up(
    step: str, server: Postgres, database: str
) -> None:
    tokens = [f"t{number}" for number in range(40)]
    async with Mosquitto(anonymous=True) as broker:
        async with Replica(broker, server, database) as first:
            await first.define()
            async with connect(broker, "fleet") as client:
                for token in tokens:
                    await client.publish(topic(token, "applied/json"), '{"configId":"2.0.0"}', qos=1)
            await until_all_running(first, dict.fromkeys(tokens, "2.0.0"))
            await until_retained(broker, {})
            await first.terminate()
        async with one_that_stops(broker, server, database, step) as (stopping, other), lookout(broker) as seen:
            await stopping.software("3.0.0", ["2.0.0"])
            await until_stopped(stopping)
            await took_over([other], time.monotonic(), f"stopped at {step}")
            await other.put("/applications/kettle/software/3.0.0/recall", {}, method="POST")
            await until_retained(broker, {})
            await seen.catch_up()
            said = list(seen.offers)
            stopping.resume()
            await stopping.until_standing_by()
            await seen.catch_up()
            assert seen.offers == said
            await until_retained(broker, {})
            assert all(document["offer"] is None for document in await documents(stopping))


@pytest.mark.parametrize("step", ["revision-written", "sweep-written"])
async def test_invariant_8_a_holder_stopped_while_a_stage_begins_does_not_begin_it_twice(
    step: str, server: Postgres, database: str
) -> None:
    async with Mosquitto(anonymous=True) as broker:
        async with Replica(broker, server, database) as first:
            await define(first, [{"filter": "lab", "minAttempted": 2}, {"percent": 100, "minAttempted": 5}])
            for token in [*LAB, *FIELD]:
                body = {"token": token, "attributes": {"ring": 1 if token in LAB else 2}}
                await first.put(f"/applications/kettle/endpoints/{token}", body)
                await report(broker, token, "1.0.0")
            await until_retained(broker, dict.fromkeys(LAB, NEW))
            await first.terminate()
        async with one_that_stops(broker, server, database, step) as (stopping, other):
            for token in LAB:
                await report(broker, token, NEW)
            await until_stopped(stopping)
            await took_over([other], time.monotonic(), f"stopped at {step}")
            await until(other, lambda shown: shown["stages"][1]["offered"] == len(FIELD), "the field is offered it")
            stopping.resume()
            await stopping.until_standing_by()
            await until_retained(broker, dict.fromkeys(FIELD, NEW))
            assert [name for name in await moves(stopping) if name != "rollout.pass"] == ["rollout.advance"]
            for token in [*LAB, *FIELD]:
                assert (await stopping.history(token)).count(("offered", NEW)) == 1
        async with open_storage(server.url(database)) as storage:
            for entry in await storage.entries():
                key = entry.application.key
                assert await storage.counters(key) == await recount(storage, key)


async def test_a_holder_that_ends_hands_over_and_the_others_pass_requests_on(server: Postgres, database: str) -> None:
    async with Mosquitto(anonymous=True) as broker, open_replicas(broker, server, database, 3) as replicas:
        old = await holder_of(replicas)
        others = [replica for replica in replicas if replica is not old]
        # Whoever stands by answers as the holder does: an odd path and a body go through as they are.
        await others[0].define()
        async with others[1].client() as client:
            answer = await client.get("/api/v1/applications/kettle/software/1.0.0%2Fx?limit=%31")
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        async with others[0].client() as client, client.stream("GET", "/api/v1/applications/kettle/events") as stream:
            lines = stream.aiter_lines()
            await report(broker, "a", "1.0.0")
            kinds = [json.loads(line[6:])["type"] async for line in take(lines, "endpoint.offered")]
            assert "summary" in kinds
            begun_at = time.monotonic()
            await stop(old)
            new = await took_over(others, begun_at, "ended")
            # The stream ends with its holder; the reader opens it again.
            assert [line async for line in lines if line.startswith("event:")] == []
        await until_retained(broker, {"a": "1.1.0"})
        await report(broker, "a", "1.1.0")
        await until_all_running(others[0], {"a": "1.1.0"})
        assert await reported(others[1], "a") == ["1.0.0", "1.1.0"]
        await new.terminate()
        (left,) = [replica for replica in others if replica is not new]
        assert await holder_of([left]) is left


async def take(lines: AsyncIterator[str], kind: str) -> AsyncIterator[str]:
    """Yield the data of events up to the first of a type."""
    async for line in lines:
        if line.startswith("data: "):
            yield line
            if json.loads(line[6:])["type"].endswith(kind):
                return
