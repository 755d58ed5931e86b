"""The main job, end to end: definitions in, offers out, reports tracked, on a real broker."""

from __future__ import annotations

import json

from tests.brokers import Mosquitto
from tests.services import Service, connect, report, topic, until_retained


async def test_an_endpoint_that_was_offline_ends_on_2_0_0_in_two_hops() -> None:
    async with Mosquitto(tokens=["tok1"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "tok1", "1.0.0")
        await service.until_offered("tok1", "1.1.0")
        await until_retained(broker, {"tok1": "1.1.0"})
        await report(broker, "tok1", "1.1.0")
        await until_retained(broker, {"tok1": "2.0.0"})
        await report(broker, "tok1", "2.0.0")
        await until_retained(broker, {})
        assert (await service.endpoint("tok1"))["runningVersion"] == "2.0.0"
        kinds = [kind for kind, _ in await service.history("tok1")]
        assert kinds == ["reported", "offered", "reported", "confirmed", "offered", "reported", "confirmed"]


async def test_a_request_is_answered_with_the_offer_on_its_status_topic() -> None:
    async with Mosquitto(tokens=["tok1"]) as broker, Service(broker) as service, connect(broker, "tok1") as client:
        await service.define()
        await client.subscribe(topic("tok1", "config/json/7/status"), qos=1)
        await client.publish(topic("tok1", "config/json/7"), '{"configId":"1.0.0"}', qos=1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            assert json.loads(message.payload) == {
                "configId": "1.1.0",
                "statusCode": 200,
                "reasonPhrase": "OK",
                "config": {"link": "https://firmware.example/1.1.0.bin"},
            }
            break
