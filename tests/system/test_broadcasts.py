"""Events, numbers and presence over MQTT, of a real service on a real broker."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.brokers import OPERATORS, Mosquitto
from tests.services import SECONDS, Service, connect, report
from tests.system.test_control import Operator, operator

if TYPE_CHECKING:
    from collections.abc import Callable

# A decoded message, which tests index as they please.
Json = Any


async def until(someone: Operator, topic: str, holds: Callable[[Json], bool]) -> Json:
    """The first message on a topic whose content is as wanted."""
    while True:
        message = await someone.read(topic)
        assert isinstance(message.payload, bytes)
        content = json.loads(message.payload) if message.payload else None
        if holds(content):
            return content


async def retained(broker: Mosquitto, topic_filter: str) -> dict[str, Json]:
    """What the broker retains, by topic."""
    found: dict[str, Json] = {}
    async with connect(broker, OPERATORS) as client:
        await client.subscribe(topic_filter, qos=1)
        # Retained messages follow their subscription at once, before the answer to the next one.
        await client.subscribe("kp1/nothing")
        while len(client.messages):
            message = await anext(client.messages)
            assert isinstance(message.payload, bytes)
            if message.retain:
                found[str(message.topic)] = json.loads(message.payload)
    return found


async def test_what_happens_is_told_as_cloud_events_and_numbers_are_retained() -> None:
    async with (
        Mosquitto(tokens=["tok7"]) as broker,
        Service(broker) as service,
        operator(broker, "otao/v1/kettle/#") as someone,
    ):
        await service.define()
        base = "otao/v1/kettle/events"
        put = await until(someone, f"{base}/software.put", lambda event: event["subject"] == "software/2.0.0")
        assert put["data"]["actor"] == "anonymous"
        await report(broker, "tok7", "1.0.0")
        registered = await until(someone, f"{base}/endpoint.registered", lambda _: True)
        assert registered["data"] == {"endpointId": "tok7"}
        offered = await until(someone, f"{base}/endpoint.offered", lambda _: True)
        assert offered["data"]["version"] == "1.1.0"
        assert offered["source"] == "/applications/kettle"
        final = {"byVersion": {"1.0.0": 1}, "unseen": 0}
        numbers = await until(someone, "otao/v1/kettle/summary", lambda item: item | final == item)
        assert numbers == await service.get("/applications/kettle/summary")
        kept = await retained(broker, "otao/v1/kettle/#")
        assert kept == {"otao/v1/kettle/summary": numbers}
        assert "firmware.example" not in json.dumps([put, registered, offered, numbers])


async def test_the_numbers_of_an_application_go_with_it_and_come_back_with_the_broker() -> None:
    async with Mosquitto() as broker, Service(broker) as service, operator(broker, "otao/v1/#") as someone:
        for name in ("kettle", "teapot"):
            await service.put(f"/applications/{name}", {"appVersions": [f"{name}-v1"]})
            await until(someone, f"otao/v1/{name}/summary", lambda item: item["endpoints"] == 0)
        await service.put("/applications/teapot", None, method="DELETE")
        await until(someone, "otao/v1/teapot/summary", lambda item: item is None)
        assert set(await retained(broker, "otao/v1/+/summary")) == {"otao/v1/kettle/summary"}


async def test_without_events_there_are_numbers_and_presence_all_the_same() -> None:
    async with (
        Mosquitto(tokens=["tok7"]) as broker,
        Service(broker, OTAO_MQTT_EVENTS="false") as service,
        operator(broker, "otao/v1/#") as someone,
    ):
        await service.define()
        await report(broker, "tok7", "1.0.0")
        await until(someone, "otao/v1/kettle/summary", lambda item: item["byVersion"] == {"1.0.0": 1})
        assert [item for item in someone.unread if "/events/" in str(item.topic)] == []


async def test_the_service_says_when_it_is_there_and_when_it_stops() -> None:
    async with Mosquitto() as broker, Service(broker) as service:
        ((topic, online),) = (await retained(broker, "otao/v1/service/+")).items()
        assert (online["status"], online["replica"]) == ("online", topic.rpartition("/")[2])
        assert online["since"].endswith("Z")
        assert await service.terminate() == 0
        offline = (await retained(broker, topic))[topic]
        assert offline["status"] == "offline"
        assert offline["since"] > online["since"]


async def test_kill_9_has_the_broker_say_that_the_service_is_gone() -> None:
    async with Mosquitto() as broker, Service(broker) as service, operator(broker, "otao/v1/service/+") as someone:
        (topic,) = await retained(broker, "otao/v1/service/+")
        await service.kill()
        gone = await until(someone, topic, lambda item: item["status"] == "offline")
        assert gone["since"] is None
        await service.start()
        await until(someone, topic, lambda item: item["status"] == "online")


async def test_mosquitto_s_own_client_asks_and_is_answered_on_its_response_topic() -> None:
    async with Mosquitto() as broker, Service(broker) as service:
        await service.define()
        command = ["mosquitto_rr", "-h", "127.0.0.1", "-p", str(broker.port), "-u", OPERATORS, "-P", OPERATORS[::-1]]
        command += ["-t", "otao/v1/kettle/control/freeze", "-e", "otao/v1/kettle/replies/rr", "-q", "1"]
        command += ["-m", '{"reason":"by hand"}', "-W", str(int(SECONDS))]
        answered = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
        answer = json.loads(answered.stdout)
        assert (answer["frozen"], answer["by"], answer["reason"]) == (True, "mqtt", "by hand")
