"""One endpoint sends without end: it is contained and named, its newest word is taken, and the others do not notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, topic, until_retained

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = 400
PER_MINUTE = 60
BATCH = 20
"""Fewer than are a flood by themselves."""


async def test_an_endpoint_that_floods_is_contained_named_and_believed_at_last(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    service = Service(Mosquitto(tokens=["loud", "calm"]))
    service.environment = {
        "OTAO_ENDPOINT_MESSAGES_PER_MINUTE": str(PER_MINUTE),
        "OTAO_BATCH_SIZE": str(BATCH),
        "CLOCK_OFFSET_FILE": str(offset),
    }
    async with service.broker as broker, service:
        await service.define()
        await service.terminate()
        # They wait in the broker: as fast as they can be taken, however fast this machine is.
        async with connect(broker, "loud") as client:
            for number in range(MESSAGES):
                await client.publish(topic("loud", f"applied/json/{number}"), '{"configId":"1.0.0"}', qos=1)
            await client.publish(topic("loud", "applied/json/9999"), '{"configId":"1.1.0"}', qos=1)
        await report(broker, "calm", "1.0.0")
        await service.start()
        await service.ready()
        await until_retained(broker, {"loud": "2.0.0", "calm": "1.1.0"})
        taken = [kind for kind, _ in await service.history("loud")].count("reported")
        refused = await service.metric('otao_messages_refused_total{code="too-many-messages"}')
        assert taken + refused == MESSAGES + 1
        # The bucket, and of each further batch the newest one; batches may be smaller than they could be.
        assert refused >= MESSAGES / 2
        assert await service.metric("otao_flooding_endpoints") == 1
        assert "it floods since" in str(await service.get("/applications/kettle/endpoints/loud/explain"))
        assert "it floods" not in str(await service.get("/applications/kettle/endpoints/calm/explain"))
        assert service.log().count('"token": "loud"') == 1
        offset.write_text("91")

        async def forgiven() -> bool:
            return await service.metric("otao_flooding_endpoints") == 0

        await eventually(forgiven, "after a minute and a half of silence it floods no more")
        await report(broker, "loud", "2.0.0")
        await until_retained(broker, {"calm": "1.1.0"})
