"""SIGTERM under load: the service ends in time with exit code 0, and after its next start nothing is missing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from typing import TYPE_CHECKING

import httpx2

from tests import databases
from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, stop, topic, until_retained
from tests.system.rollouts import check_recount, documents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

FLEET = 300
STREAMS = 5


async def enrol(broker: Mosquitto, service: Service) -> None:
    async with connect(broker, "fleet") as client:
        for number in range(FLEET):
            await client.publish(topic(f"t{number}", "applied/json"), '{"configId":"2.0.0"}', qos=1)
    await service.until_running(f"t{FLEET - 1}", "2.0.0")


async def _watch(service: Service) -> None:
    """Read events until the stream ends."""
    async with service.client() as client, client.stream("GET", "/api/v1/applications/kettle/events") as response:
        async for _ in response.aiter_lines():
            pass


async def _ask(service: Service, asked: list[int]) -> None:
    """Ask for lists without a pause; each answer is whole, or there is none."""
    async with service.client() as client:
        while True:
            response = await client.get("/api/v1/applications/kettle/endpoints?limit=500")
            asked.append(len(response.json()["items"]))


async def _say(broker: Mosquitto, said: Counter[str], ended: asyncio.Event) -> None:
    """Report without a pause; what the broker has acknowledged is counted.

    It is not cancelled: the client waits by `asyncio.wait_for`, which on Python 3.11 may take a cancellation for done.
    """
    async with connect(broker, "fleet") as client:
        for number in cycle(range(FLEET)):
            if ended.is_set():
                return
            token = f"t{number}"
            await client.publish(topic(token, "applied/json"), '{"configId":"2.0.0"}', qos=1)
            said[token] += 1


async def _quietly(load: Coroutine[None, None, object]) -> None:
    """What is asked of a service that stops may fail."""
    with suppress(httpx2.HTTPError):
        await load


@asynccontextmanager
async def loaded(service: Service, broker: Mosquitto | None, said: Counter[str]) -> AsyncIterator[asyncio.TaskGroup]:
    """Inside the block events are read, lists asked for, and reports made (where there is a broker)."""
    asked, ended = list[int](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        loads = [group.create_task(_quietly(_watch(service))) for _ in range(STREAMS)]
        loads.append(group.create_task(_quietly(_ask(service, asked))))
        if broker is not None:
            group.create_task(_say(broker, said, ended))

        async def under_way() -> bool:
            return bool(asked) and (broker is None or said.total() > FLEET)

        await eventually(under_way, "requests are answered and reports taken")
        yield group
        ended.set()
        for load in loads:
            load.cancel()


async def _send(service: Service, method: str, path: str, body: object = None) -> None:
    async with service.client() as client:
        await client.request(method, f"/api/v1/applications/kettle/{path}", json=body)


async def check_offers(broker: Mosquitto, service: Service) -> None:
    """Every endpoint is offered 3.0.0, and the broker retains just that (invariant 1)."""

    async def everybody() -> bool:
        return sum(item["offer"] is not None for item in await documents(service)) == FLEET

    await eventually(everybody, "everybody is offered it")
    await until_retained(broker, {f"t{number}": "3.0.0" for number in range(FLEET)})


async def test_a_stop_amid_reports_requests_streams_and_a_sweep_ends_in_time_and_loses_nothing() -> None:
    said: Counter[str] = Counter()
    async with Mosquitto(anonymous=True) as broker, Service(broker, OTAO_HISTORY_PER_ENDPOINT="0") as service:
        await service.define()
        await enrol(broker, service)
        async with loaded(service, broker, said):
            await service.software("3.0.0", ["2.0.0"])
            await stop(service)
        await service.start()
        await service.ready()

        async def swept() -> bool:
            states = (await service.get("/applications/kettle/summary"))["byState"]
            return bool(states.get("offered") == FLEET)

        await eventually(swept, "the sweep goes on")
        await check_offers(broker, service)
        # Every report that the broker took is in the history, once: those before the load, and those of it.
        rows = await databases.read(service.database, "SELECT count(*) FROM history WHERE kind = 0")
        # One more may have been on its way when its sender was stopped.
        assert 0 <= rows[0][0] - FLEET - said.total() <= 1
        await check_recount(service)


async def test_a_stop_while_the_broker_does_not_answer_ends_in_time_and_offers_follow() -> None:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        await service.define()
        await enrol(broker, service)
        broker.pause()
        await service.software("3.0.0", ["2.0.0"])

        async def made() -> bool:
            return bool((await service.get("/applications/kettle/summary"))["byState"].get("offered") == FLEET)

        await eventually(made, "every endpoint is offered 3.0.0")
        async with loaded(service, None, Counter()) as group:
            # A freeze waits for what is on its way to the broker.
            group.create_task(_quietly(_send(service, "POST", "freeze", {"reason": "fire"})))

            async def frozen() -> bool:
                return (await service.get("/applications/kettle"))["frozen"] is not None

            await eventually(frozen, "the freeze is stored")
            await stop(service)
        broker.resume()
        await service.start()
        await service.ready()
        # What was stopped stays stopped; lifted, everything is offered as it was.
        await until_retained(broker, {})
        await _send(service, "DELETE", "freeze")
        await check_offers(broker, service)
        await check_recount(service)


async def test_a_stop_while_the_database_is_locked_ends_in_time_and_what_waited_is_applied_once() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        change = {"expression": "true"}
        async with asyncio.TaskGroup() as group, connect(broker, "a") as client, databases.held(service.database):
            group.create_task(_quietly(_send(service, "PUT", "filters/lab", change)))
            await client.publish(topic("a", "applied/json/7"), json.dumps({"configId": "1.1.0"}), qos=1)
            await stop(service)
        await service.start()
        await service.ready()
        await until_retained(broker, {"a": "2.0.0"})
        kinds = [kind for kind, version in await service.history("a") if version == "1.1.0"]
        assert kinds == ["offered", "reported", "confirmed"]
        await check_recount(service)
