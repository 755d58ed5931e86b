"""Stop beats go: a stop while offers are on their way out."""

from __future__ import annotations

import asyncio

from tests.brokers import Mosquitto
from tests.services import SECONDS, Service, connect, eventually, retained, topic, until_retained

FLEET = 400


async def test_invariant_7_after_a_recall_no_offer_of_it_leaves_and_every_read_shows_none() -> None:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        await service.define()
        async with connect(broker, "fleet") as client:
            for number in range(FLEET):
                await client.publish(topic(f"t{number}", "applied/json"), '{"configId":"2.0.0"}', qos=1)
        await service.until_running(f"t{FLEET - 1}", "2.0.0")
        async with connect(broker, "watcher") as watcher, asyncio.TaskGroup() as group:
            await watcher.subscribe([("kp1/+/cmx_ota/+/config/json/status", 1), ("marker", 1)])
            late: list[str] = []
            stopped = asyncio.Event()

            async def watch() -> None:
                async for message in watcher.messages:
                    if str(message.topic) == "marker":
                        stopped.set()
                    elif stopped.is_set() and message.payload:
                        late.append(str(message.topic))

            watching = group.create_task(watch())
            await service.software("3.0.0", ["2.0.0"])
            answer = await service.put("/applications/kettle/software/3.0.0/recall", {}, method="POST")
            # What left before the call returned may still be on its way to a slow watcher: it comes before the marker.
            async with connect(broker, "probe") as probe:
                await probe.publish("marker", b"", qos=1)
            await asyncio.wait_for(stopped.wait(), SECONDS)
            assert 0 <= answer["withdrawn"] <= FLEET
            documents = (await service.get("/applications/kettle/endpoints?limit=500"))["items"]
            assert len(documents) == FLEET
            assert all(document["offer"] is None for document in documents)
            await until_retained(broker, {})
            watching.cancel()
        assert late == []
        # Nor does a restart of both bring one back.
        await broker.restart()
        await service.terminate()
        await service.start()
        await service.ready()
        assert await retained(broker) == {}


async def test_invariant_7_a_freeze_is_stored_and_seen_while_the_broker_does_not_answer() -> None:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        await service.define()
        async with connect(broker, "fleet") as client:
            for number in range(FLEET):
                await client.publish(topic(f"t{number}", "applied/json"), '{"configId":"2.0.0"}', qos=1)
        await service.until_running(f"t{FLEET - 1}", "2.0.0")
        broker.pause()
        # Offers are made now, and wait for a broker that says nothing.
        await service.software("3.0.0", ["2.0.0"])

        async def offered() -> bool:
            return bool((await service.get("/applications/kettle/summary"))["byState"].get("offered") == FLEET)

        await eventually(offered, "every endpoint is offered 3.0.0")
        async with asyncio.TaskGroup() as group:
            call = group.create_task(service.put("/applications/kettle/freeze", {"reason": "fire"}, method="POST"))

            async def frozen() -> bool:
                return (await service.get("/applications/kettle"))["frozen"] is not None

            await eventually(frozen, "the freeze is seen though the broker does not answer", 5)
            documents = (await service.get("/applications/kettle/endpoints?limit=500"))["items"]
            assert all(document["offer"] is None for document in documents)
            broker.resume()
            answer = await call
        assert answer["reason"] == "fire"
        await until_retained(broker, {})
