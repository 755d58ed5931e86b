"""Stop beats go: a stop while offers are on their way out."""

from __future__ import annotations

import asyncio

from tests.brokers import Mosquitto
from tests.services import Service, connect, retained, topic, until_retained

FLEET = 400


async def test_invariant_7_after_a_recall_no_offer_of_it_leaves_and_every_read_shows_none() -> None:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        await service.define()
        async with connect(broker, "fleet") as client:
            for number in range(FLEET):
                await client.publish(topic(f"t{number}", "applied/json"), '{"configId":"2.0.0"}', qos=1)
        await service.until_running(f"t{FLEET - 1}", "2.0.0")
        async with connect(broker, "watcher") as watcher, asyncio.TaskGroup() as group:
            await watcher.subscribe("kp1/+/cmx_ota/+/config/json/status", qos=1)
            late: list[str] = []
            stopped = asyncio.Event()

            async def watch() -> None:
                async for message in watcher.messages:
                    if stopped.is_set() and message.payload:
                        late.append(str(message.topic))  # noqa: PERF401 - the loop ends by cancellation only

            watching = group.create_task(watch())
            await service.software("3.0.0", ["2.0.0"])
            answer = await service.put("/applications/kettle/software/3.0.0/recall", {}, method="POST")
            # What was sent before the call returned may still be on its way to the watcher: a round trip tells.
            async with connect(broker, "probe") as probe:
                await probe.subscribe("probe", qos=1)
                await probe.publish("probe", b"", qos=1)
                async for _ in probe.messages:
                    break
            stopped.set()
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
