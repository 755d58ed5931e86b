"""Operators' commands over MQTT, of a real service on a real broker."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.brokers import OPERATORS, Mosquitto
from tests.services import SECONDS, Service, connect, eventually
from tests.system.wires import open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import aiomqtt

    from tests.system.wires import Application, Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A decoded answer, which tests index as they please.
Json = Any

COMMAND_STEPS = ["command-executed:2", "command-answered:2"]
"""The connection's greeting is the first of each."""
_properties: Callable[[int], Properties] = Properties
"""Paho leaves its constructor without types."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def wire() -> AsyncIterator[Wire]:
    async with open_wire() as opened:
        yield opened


@dataclass
class Operator:
    """One connection of an operator, which reads answers and whatever else it has subscribed to."""

    client: aiomqtt.Client
    unread: list[aiomqtt.Message] = field(default_factory=list)

    async def send(
        self, topic: str, body: object = None, *, content: bytes | None = None, retain: bool = False, **given: object
    ) -> None:
        properties = _properties(PacketTypes.PUBLISH)
        for name, value in given.items():
            setattr(properties, name, value)
        payload = json.dumps({} if body is None else body).encode() if content is None else content
        await self.client.publish(topic, payload, qos=1, retain=retain, properties=properties if given else None)

    async def read(self, *topics: str) -> aiomqtt.Message:
        """The oldest unread message on one of these topics."""
        async with asyncio.timeout(SECONDS):
            while True:
                for position, message in enumerate(self.unread):
                    if str(message.topic) in topics:
                        return self.unread.pop(position)
                self.unread.append(await anext(self.client.messages))

    async def ask(self, application: str, command: str, body: object = None, **given: Any) -> tuple[str, Json]:  # noqa: ANN401 - as `send`
        """Command; return whether that was answered or refused, and the answer."""
        topic = f"otao/v1/{application}/control/{command}"
        await self.send(topic, body, **given)
        message = await self.read(f"{topic}/status", f"{topic}/error")
        assert isinstance(message.payload, bytes)
        return str(message.topic).rpartition("/")[2], json.loads(message.payload)

    async def done(self, application: str, command: str, body: object = None) -> Json:
        word, answer = await self.ask(application, command, body)
        assert word == "status", answer
        return answer

    async def refused(self, application: str, command: str, body: object = None, **given: Any) -> tuple[int, str]:  # noqa: ANN401 - the same
        word, answer = await self.ask(application, command, body, **given)
        assert word == "error", answer
        assert answer.keys() == {"statusCode", "reasonPhrase", "code"}
        return answer["statusCode"], answer["code"]


@asynccontextmanager
async def operator(
    broker: Mosquitto, topic_filter: str = "otao/v1/+/control/#", *, protocol: int = 5
) -> AsyncIterator[Operator]:
    async with connect(broker, OPERATORS, protocol=protocol) as client:
        if protocol == 5:
            await client.subscribe(topic_filter, options=SubscribeOptions(qos=1, noLocal=True))
        else:
            await client.subscribe(topic_filter, qos=1)
        yield Operator(client)


def software(version: str, *sources: str, **members: object) -> Json:
    return {
        "version": version,
        "upgradableFrom": list(sources),
        "rolloutStrategy": "general",
        "specification": {"link": f"https://firmware.example/{version}.bin"},
    } | members


async def test_software_is_defined_read_and_deleted_as_over_rest(wire: Wire) -> None:
    application = await wire.application()
    async with operator(wire.broker) as someone:
        put = await someone.done(application.name, "software.put/1", software("1.1.0", "1.0.0"))
        assert (put["version"], put["created"], put["withdrawn"]) == ("1.1.0", True, 0)
        stored = await application.send("GET", "/software/1.1.0")
        assert put == stored | {"etag": put["etag"], "created": True, "withdrawn": 0}
        response = await wire.http.get(f"/api/v1/applications/{application.name}/software/1.1.0")
        assert response.headers["etag"] == f'"{put["etag"]}"'
        got = await someone.done(application.name, "software.get/2", {"version": "1.1.0"})
        assert got == stored | {"etag": put["etag"]}
        assert await someone.done(application.name, "software.list") == [stored]
        again = await someone.done(application.name, "software.put/3", software("1.1.0", "1.0.0"))
        assert (again["etag"], again["created"]) == (put["etag"], False)
        assert await someone.done(application.name, "software.delete/0", {"version": "1.1.0"}) == {"withdrawn": 0}
        assert await someone.refused(application.name, "software.delete/0", {"version": "1.1.0"}) == (
            404,
            "software-not-found",
        )
    assert await application.send("GET", "/software") == []


async def test_a_tag_guards_a_change_and_without_one_it_is_made_whatever_there_is(wire: Wire) -> None:
    application = await wire.application()
    async with operator(wire.broker) as someone:
        name = application.name
        first = await someone.done(name, "software.put", software("1.1.0"))
        second = await someone.done(name, "software.put", software("1.1.0", "1.0.0", ifMatch=first["etag"]))
        stale = software("1.1.0", "0.9.0", ifMatch=first["etag"])
        assert await someone.refused(name, "software.put", stale) == (412, "precondition-failed")
        assert await someone.refused(name, "software.delete", {"version": "1.1.0", "ifMatch": first["etag"]}) == (
            412,
            "precondition-failed",
        )
        third = await someone.done(name, "software.put", software("1.1.0", "0.9.0"))
        assert third["upgradableFrom"] == ["0.9.0"] != second["upgradableFrom"]


async def test_an_endpoint_is_read_explained_and_retried(wire: Wire) -> None:
    application = await wire.application()
    await application.software("1.1.0", "1.0.0", rollout={"attempts": {"max": 1}})
    async with application.device() as device, operator(wire.broker) as someone:
        await device.report("1.0.0")
        await device.report("1.1.0", statusCode=507, reasonPhrase="no room left")
        name, of = application.name, {"endpointId": "dev"}
        got = await someone.done(name, "endpoint.get", of)
        assert got == await application.endpoint() | {"etag": got["etag"]}
        assert got["offer"] is None
        explained = await someone.done(name, "endpoint.explain", of)
        assert explained == await application.send("GET", "/endpoints/dev/explain")
        assert explained["outcome"] == "exhausted"
        retried = await someone.done(name, "endpoint.retry", of | {"version": "1.1.0", "reason": "more room"})
        assert retried["offer"]["version"] == "1.1.0"
        (audit,) = (await application.send("GET", "/audit?limit=1"))["items"]
        assert (audit["action"], audit["actor"], audit["via"]) == ("endpoint.retry", "mqtt", "mqtt")
        assert audit["reason"] == "more room"


async def test_numbers_plans_freezes_and_recalls_are_as_over_rest(wire: Wire) -> None:
    application = await wire.application()
    await application.software("1.1.0", "1.0.0")
    async with application.device() as device, operator(wire.broker) as someone:
        await device.report("1.0.0")
        name = application.name
        known = await application.summary()
        assert await someone.done(name, "fleet.summary") == known
        proposal = {"software": software("2.0.0", "1.1.0")}
        assert await someone.done(name, "plan", proposal) == await application.send("POST", "/plan", proposal)
        frozen = await someone.done(name, "freeze", {"reason": "leaks"})
        assert (frozen["frozen"], frozen["reason"], frozen["by"], frozen["withdrawn"]) == (True, "leaks", "mqtt", 1)
        assert await application.offered() is None
        assert (await someone.done(name, "unfreeze", {"reason": "mended"}))["frozen"] is False
        await eventually(lambda: _offered(application, "1.1.0"), "offered again")
        recalled = await someone.done(name, "software.recall", {"version": "1.1.0", "reason": "bricks"})
        assert recalled["withdrawn"] == 1
        assert await application.send("GET", "/software/1.1.0") | {"withdrawn": 1, "etag": recalled["etag"]} == recalled
        again = await someone.done(name, "software.recall", {"version": "1.1.0"})
        assert again["recalledAt"] == recalled["recalledAt"]


async def _offered(application: Application, version: str) -> bool:
    return await application.offered() == version


async def test_a_rollout_is_read_and_moved_as_over_rest(wire: Wire) -> None:
    application = await wire.application()
    await application.software("1.1.0", "1.0.0", rollout={"stages": [{"percent": 100}]})
    async with application.device() as device, operator(wire.broker) as someone:
        await device.report("1.0.0")
        await eventually(lambda: _offered(application, "1.1.0"), "offered")
        name, of = application.name, {"version": "1.1.0"}
        path = "/software/1.1.0/rollout"
        read = await someone.done(name, "rollout.get", of)
        assert read["stages"][0]["offered"] == 1
        paused = await someone.done(name, "rollout.pause", of | {"reason": "leaks"})
        assert (paused["state"], paused["reason"], paused["by"], paused["withdrawn"]) == ("paused", "leaks", "mqtt", 1)
        assert await application.offered() is None
        resumed = await someone.done(name, "rollout.resume", of)
        assert (resumed["state"], resumed["withdrawn"]) == ("running", 0)
        await eventually(lambda: _offered(application, "1.1.0"), "offered again")
        aborted = await someone.done(name, "rollout.abort", of)
        assert aborted["state"] == (await application.send("GET", path))["state"] == "aborted"
        assert await application.offered() is None
        for command in ("rollout.resume", "rollout.approve"):
            assert await someone.refused(name, command, of) == (409, "rollout-state")


@pytest.mark.parametrize(
    ("command", "content", "expected"),
    [
        ("software.get", b'{"version":1}', (422, "member-type")),
        ("software.get", b"{}", (422, "member-missing")),
        ("software.get", b'{"version":"one"}', (422, "invalid-version")),
        ("software.get", b'{"version":"9.9.9"}', (404, "software-not-found")),
        ("software.get", b'{"version":"1.0.0","verbose":true}', (422, "member-unknown")),
        ("software.list", b'{"limit":1}', (422, "member-unknown")),
        ("software.put", b'{"version":"1.0.0","rolloutStrategy":"general","price":1}', (422, "member-unknown")),
        ("software.put", b'{"version":"1.0.0"}', (422, "member-missing")),
        (
            "software.put",
            b'{"version":"1.0.0","rolloutStrategy":"general","filters":[{"filterId":"x"}]}',
            (422, "filter-unknown"),
        ),
        ("rollout.get", b'{"version":"9.9.9"}', (404, "software-not-found")),
        ("rollout.pause", b"", (400, "payload-not-json")),
        ("rollout.abort", b'{"version":"1.0.0","verbose":true}', (422, "member-unknown")),
        ("endpoint.get", b'{"endpointId":"nobody"}', (404, "endpoint-not-found")),
        ("endpoint.retry", b'{"endpointId":"nobody"}', (404, "endpoint-not-found")),
        ("freeze", b"", (400, "payload-not-json")),
        ("freeze", b"[]", (422, "member-type")),
        ("freeze", b'{"reason":"a","reason":"b"}', (400, "member-duplicate")),
        ("freeze", b'{"reason":"\\u0000"}', (422, "text-not-storable")),
        ("freeze", b"{" * 33, (400, "payload-too-deep")),
        ("freeze", b" " * 70_000, (413, "payload-too-large")),
        ("freeze", b"\xff", (400, "payload-not-utf8")),
        ("software.burn", b"{}", (404, "command-unknown")),
        ("freeze/1/2", b"{}", (400, "topic-malformed")),
    ],
)
async def test_bad_commands_are_refused_counted_and_change_nothing(
    wire: Wire, command: str, content: bytes, expected: tuple[int, str]
) -> None:
    application = await wire.application()
    before = await application.summary(), await application.send("GET", "/software")
    counted = await wire.metric(f'otao_commands_refused_total{{code="{expected[1]}"}}')
    async with operator(wire.broker) as someone:
        assert await someone.refused(application.name, command, content=content) == expected
        assert await wire.metric(f'otao_commands_refused_total{{code="{expected[1]}"}}') == counted + 1
        assert await someone.refused("nobody", "fleet.summary") == (404, "application-not-found")
    assert (await application.summary(), await application.send("GET", "/software")) == before


@pytest.mark.parametrize("protocol", [5, 4])
async def test_a_retained_command_is_refused_and_clearing_it_is_no_command(protocol: int) -> None:
    async with Mosquitto() as broker, operator(broker, protocol=protocol) as someone:
        topic = "otao/v1/kettle/control/freeze"
        await someone.send(topic, retain=True)
        async with Service(broker, OTAO_MQTT_PROTOCOL="5" if protocol == 5 else "3.1.1") as service:
            await service.define()
            if protocol == 5:
                # A first subscription leaves out what is retained: nothing has run, and nothing will.
                await someone.send(topic, retain=True)
            code, refusal = await _error(someone, topic)
            assert (code, refusal["code"]) == (409, "command-retained")
            await someone.send(topic, content=b"", retain=True)
            assert (await someone.done("kettle", "fleet.summary"))["frozen"] is None
            assert await service.metric('otao_commands_refused_total{code="command-retained"}') == 1


async def _error(someone: Operator, topic: str) -> tuple[int, Json]:
    message = await someone.read(f"{topic}/error")
    assert isinstance(message.payload, bytes)
    answer = json.loads(message.payload)
    return answer["statusCode"], answer


async def test_response_topic_and_correlation_data_are_honoured_for_answers_and_refusals(wire: Wire) -> None:
    application = await wire.application()
    replies = f"otao/v1/{application.name}/replies/bob"
    async with operator(wire.broker, "otao/v1/#") as someone:
        base = f"otao/v1/{application.name}/control"
        for command, member in (("fleet.summary", "endpoints"), ("software.burn", "code")):
            data = command.encode()
            await someone.send(f"{base}/{command}", ResponseTopic=replies, CorrelationData=data)
            message = await someone.read(replies)
            assert isinstance(message.payload, bytes)
            assert member in json.loads(message.payload)
            assert getattr(message.properties, "CorrelationData", None) == data


@pytest.mark.parametrize(
    "given", ["kp1/kettle-v1/cmx_ota/dev/config/json/status", "otao/v1/kettle/control/freeze", "otao/v1/service/x"]
)
async def test_an_answer_goes_nowhere_where_others_speak(wire: Wire, given: str) -> None:
    application = await wire.application()
    async with operator(wire.broker) as someone:
        assert await someone.refused(application.name, "fleet.summary/7", ResponseTopic=given) == (
            400,
            "response-topic-refused",
        )


async def test_mqtt_3_1_1_on_both_sides() -> None:
    async with Mosquitto() as broker, Service(broker, OTAO_MQTT_PROTOCOL="3.1.1") as service:
        await service.define()
        async with operator(broker, protocol=4) as someone:
            assert (await someone.done("kettle", "freeze/1", {"reason": "x"}))["frozen"] is True
            assert (await someone.done("kettle", "fleet.summary/2"))["frozen"]["reason"] == "x"


@pytest.mark.parametrize("step", COMMAND_STEPS)
async def test_kill_before_a_command_is_acknowledged_answers_it_after_the_restart(step: str) -> None:
    """Kill -9 between the effect, the answer and the PUBACK: the command comes again, and has its effect once."""
    async with Mosquitto() as broker, Service(broker) as service, operator(broker) as someone:
        await service.define()
        await service.kill()
        await service.start(KILL_AT=step)
        await service.subscribed()
        topic = "otao/v1/kettle/control/freeze/5"
        await someone.send(topic, {"reason": "leaks"})
        await service.died()
        if step == "command-answered:2":
            await someone.read(f"{topic}/status")
        await service.start()
        message = await someone.read(f"{topic}/status")
        assert isinstance(message.payload, bytes)
        assert json.loads(message.payload)["reason"] == "leaks"
        items = (await service.get("/applications/kettle/audit"))["items"]
        assert [item["action"] for item in items].count("freeze.set") == 1
