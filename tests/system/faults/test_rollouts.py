"""Rollouts while broker or service fail: what was stopped stays stopped, and nobody is said to have reverted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests import databases
from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, topic, until_retained, until_sentinel
from tests.system.kills import stored
from tests.system.rollouts import (
    NEW,
    ROLLOUT,
    check_recount,
    define,
    documents,
    lookout,
    move,
    offers_everywhere,
    progress,
    until,
    until_versions,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.rollouts import Json, Lookout

FLEET = 1000
DOZEN = [f"t{number}" for number in range(12)]
TOKENS = ["a", "b", "c"]
LONG_SOAK = [{"percent": 100, "soak": "PT20H", "maxFailureRate": 0, "minAttempted": 1}]
TOLD_ONCE = [
    ("reported", "1.0.0"),
    ("offered", NEW),
    ("reported", "1.0.0"),
    ("returned", NEW),
    ("reported", NEW),
    ("soaking", NEW),
]
KILL_STEPS = [
    ("batch-received", "batch-committed", "5"),
    ("batch-committed", "batch-stored", "3.1.1"),
    ("batch-acknowledged:2", "batch-committed:2", "5"),
]
BATCH = 5


async def _report_all(broker: Mosquitto, service: Service, number: int) -> None:
    """So many endpoints say that they run 1.0.0."""
    async with connect(broker, "fleet") as client:
        for place in range(number):
            await client.publish(topic(f"t{place}", "applied/json"), '{"configId":"1.0.0"}', qos=1)
    await until_versions(service, {"1.0.0": number})


async def _offered(service: Service) -> int:
    """How many are offered something, as the numbers say."""
    return int((await service.get("/applications/kettle/summary"))["byState"].get("offered", 0))


@pytest.mark.parametrize("left", [0, 50])
async def test_invariant_7_an_abort_while_a_stopped_broker_owes_1000_pubacks_leaves_no_retained_offer(
    left: int,
) -> None:
    """The broker stops before the first offer, or while they leave: then some are retained by it already."""
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        await service.put("/applications/kettle", {"appVersions": ["kettle-v1"], "registration": "open"})
        await _report_all(broker, service, FLEET)
        async with lookout(broker) as seen:
            await _offer_all_and_stop(broker, service, seen, left)
            answer = await _abort_and_go_on(broker, service, owed=not left)
            assert (answer["state"], answer["withdrawn"]) == ("aborted", FLEET)
            await seen.catch_up()
            told = len(seen.offers)
            await until_retained(broker, {}, app_version="+")
            await seen.catch_up()
            # What came after the call had returned were clears.
            assert (len(seen.offers), seen.out) == (told, set())
        await broker.restart()
        await service.ready()
        assert await offers_everywhere(broker) == {}
        await check_recount(service)
        await service.start()
        await service.ready()
        assert await offers_everywhere(broker) == {}


async def _offer_all_and_stop(broker: Mosquitto, service: Service, seen: Lookout, left: int) -> None:
    """Offer 1.1.0 to everybody; the broker is stopped when so many offers have come through it."""
    if left:
        seen.when = (left, broker.pause)
    else:
        broker.pause()
    await service.software(NEW, ["1.0.0"])

    async def all_offered() -> bool:
        return await _offered(service) == FLEET and len(seen.offers) >= left

    await eventually(all_offered, "everybody is offered it, and the broker is stopped")


async def _abort_and_go_on(broker: Mosquitto, service: Service, *, owed: bool) -> Json:
    """Abort, and let the broker go on when the abort is seen; return the answer of the call."""
    async with asyncio.TaskGroup() as group:
        aborting = group.create_task(move(service, "abort", reason="it burns"))
        await until(service, lambda shown: shown["state"] == "aborted", "the abort is seen at once", 5)
        shown = await documents(service)
        assert [document["offer"] for document in shown] == [None] * FLEET
        if owed:
            # Offers have left, and nobody knows yet what has become of them.
            assert not aborting.done()
        broker.resume()
        return await aborting


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which a dozen endpoints run 1.0.0 and are offered 1.1.0, to soak for long."""
    return asyncio.run(_prepared(tmp_path_factory.mktemp("offered")))


async def _prepared(folder: Path) -> Path:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        await define(service, LONG_SOAK)
        await _report_all(broker, service, len(DOZEN))
        await until(service, lambda shown: shown["stages"][0]["offered"] == len(DOZEN), "everybody is offered it")
        assert await service.terminate() == 0
        return await databases.keep(service.database, folder)


@pytest.mark.parametrize(("first", "second", "protocol"), KILL_STEPS)
async def test_invariant_2_kill_twice_while_a_fleet_reports_old_and_new_versions_invents_no_revert(
    first: str, second: str, protocol: str, offered: Path
) -> None:
    """Both reports of an endpoint may be redelivered; the older one would look like a fall back from the newer."""
    settings = {"OTAO_BATCH_SIZE": str(BATCH), "OTAO_MQTT_PROTOCOL": protocol}
    async with Mosquitto(anonymous=True) as broker, Service(broker, template=offered, **settings) as service:
        told = [await stored(service)]
        await service.start(KILL_AT=first)
        await service.ready()
        async with connect(broker, "fleet") as client:
            for token in DOZEN:
                for version in ("1.0.0", NEW):
                    await client.publish(topic(token, "applied/json"), f'{{"configId":"{version}"}}', qos=1)
        for then in (second, ""):
            assert await service.died() == -9
            told.append(await stored(service))
            await service.start(KILL_AT=then)
        # Reports were in hand each time: of the first batch, before or after its commit, and not the last ones.
        assert (told[1] > told[0]) is (first != "batch-received")
        assert told[1] <= told[2] < told[0] + 2 * len(DOZEN)
        await service.ready()
        await until(service, lambda shown: shown["stages"][0]["soaking"] == len(DOZEN), "everybody soaks")
        shown = await progress(service)
        assert (shown["state"], shown["stages"][0]["reverted"], shown["failures"]) == ("running", 0, [])
        for token in DOZEN:
            assert await service.history(token) == TOLD_ONCE
        await until_retained(broker, {})
        await check_recount(service)


@pytest.mark.parametrize("serving", [True, False])
async def test_invariant_1_a_broker_from_the_store_before_an_abort_resurrects_no_aborted_offer(serving: bool) -> None:
    """The service is connected when the broker goes, or it finds the old store when it starts."""
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await define(service, [{"percent": 100}])
        for token in TOKENS:
            await report(broker, token, "1.0.0")
        await until_retained(broker, dict.fromkeys(TOKENS, NEW))
        await until_sentinel(broker, len(TOKENS))
        old = await broker.snapshot_store()
        assert (await move(service, "abort"))["withdrawn"] == len(TOKENS)
        await until_retained(broker, {})
        if not serving:
            await service.terminate()
        await broker.terminate()
        broker.restore_store(old)
        await broker.start()
        if not serving:
            assert await offers_everywhere(broker) == dict.fromkeys(TOKENS, NEW)
            await service.start()
        await service.ready()
        await until_retained(broker, {}, app_version="+")
        assert all(document["offer"] is None for document in await documents(service))
        # An endpoint that saw the old offer and installed it is believed, and offered nothing more.
        await report(broker, "a", NEW)
        await service.until_running("a", NEW)
        await report(broker, "b", "1.0.0")
        shown = await service.get(ROLLOUT)
        assert (shown["state"], shown["stages"][0]["offered"]) == ("aborted", 0)
        assert await offers_everywhere(broker) == {}
