"""Consent and health on the wire: endpoints are asked on a topic of their own, and answer for their owners."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, topic
from tests.system.wires import DEVICE, PUSH, Application, Device, Wire, open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = "consent/json/status"
METADATA = '{"description":"Boils quieter","minutes":1.50}'
ASKED = f'{{"configId":"1.1.0","metadata":{METADATA}}}'.encode()
ANSWER = "consent/json/11"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire() -> AsyncIterator[Wire]:
    async with open_wire() as opened:
        yield opened


async def boiling(wire: Wire, **members: object) -> Application:
    """An application in which 1.1.0, with metadata, follows 1.0.0."""
    app = await wire.application(**members)
    await describe(app, METADATA)
    return app


async def describe(app: Application, metadata: str, **members: object) -> None:
    """Write 1.1.0 with this metadata, to the byte."""
    body = {"upgradableFrom": ["1.0.0"], "rolloutStrategy": "general", "specification": {"link": "https://x"}}
    content = f'{json.dumps(body | members)[:-1]},"metadata":{metadata}}}'.encode()
    await app.send("PUT", "/software/1.1.0", content=content)


async def asks(app: Application, *, app_version: str | None = None) -> dict[str, bytes]:
    """What the broker retains on topics of consent, by token."""
    found: dict[str, bytes] = {}
    async with connect(app.wire.broker, "otao") as client:
        await client.subscribe(topic("+", ASK, app_version=app_version or app.app_version), qos=1)
        await client.subscribe("kp1/nothing")
        while len(client.messages):
            message = await anext(client.messages)
            assert isinstance(message.payload, bytes)
            if message.retain:
                found[str(message.topic).split("/")[3]] = message.payload
    return found


async def until_asks(app: Application, expected: dict[str, bytes]) -> None:
    async def same() -> bool:
        return await asks(app) == expected

    await eventually(same, f"the broker retains the asks {expected}")


async def offer(device: Device) -> str:
    """The version of the next offer that is pushed; clears are passed over."""
    while not (pushed := await device.read(PUSH)).payload:
        pass
    return str(pushed.json()["configId"])


@pytest.mark.parametrize("push", ["retained", "live"])
async def test_an_owner_who_agrees_is_asked_once_and_offered_the_version(wire: Wire, push: str) -> None:
    app = await boiling(wire, consent="required", push=push)
    async with app.device() as device:
        await device.report("1.0.0")
        first = await device.read(ASK)
        assert (first.payload, first.qos) == (ASKED, 1)
        await until_asks(app, {DEVICE: ASKED})
        assert await app.retained() == {}
        document = await app.endpoint()
        assert (document["offer"], document["consentAsked"]) == (None, "1.1.0")
        assert (await device.ask(ANSWER, '{"configId":"1.1.0","granted":true}')).payload == b""
        assert await offer(device) == "1.1.0"
        await until_asks(app, {})
        if push == "retained":
            await app.until_retained({DEVICE: "1.1.0"})
        assert (await app.endpoint())["consentAsked"] is None
        await device.report("1.1.0")
        kinds = [kind for kind, _ in await app.history()]
        assert kinds == ["reported", "asked", "consented", "offered", "reported", "confirmed"]


async def test_a_refusal_is_an_outcome_with_its_reason_and_no_failure(wire: Wire) -> None:
    app = await boiling(wire, consent="required")
    refusal = '{"configId":"1.1.0","granted":false,"reasonPhrase":"not before tea time"}'
    async with app.device() as device:
        await device.report("1.0.0")
        await until_asks(app, {DEVICE: ASKED})
        assert (await device.ask(ANSWER, refusal)).payload == b""
        await until_asks(app, {})
        explained = await app.send("GET", f"/endpoints/{DEVICE}/explain")
        assert explained["outcome"] == "refused"
        assert explained["summary"] == "runs 1.0.0; consent to 1.1.0 was refused: not before tea time"
        assert (await app.send("GET", "/summary"))["failures"] == []
        await wire.settle()
        await device.unread()
        # Said again it changes nothing, and nobody is asked again.
        assert (await device.ask(ANSWER, refusal)).payload == b""
        await wire.settle()
        assert await device.unread() == []
        assert await app.history() == [("reported", "1.0.0"), ("asked", "1.1.0"), ("refused", "1.1.0")]
        await device.ask(ANSWER, '{"configId":"1.1.0","granted":true}')
        assert await offer(device) == "1.1.0"


async def test_an_operator_gives_consent_and_takes_it_back(wire: Wire) -> None:
    app = await boiling(wire, consent="required")
    async with app.device() as device:
        await device.report("1.0.0")
        await until_asks(app, {DEVICE: ASKED})
        given = await app.send("POST", f"/endpoints/{DEVICE}/consent", {"reason": "the owner called"})
        assert (given["consentAsked"], given["offer"]["version"]) == (None, "1.1.0")
        await until_asks(app, {})
        await app.until_retained({DEVICE: "1.1.0"})
        back = await app.send("POST", f"/endpoints/{DEVICE}/consent", {"granted": False})
        assert (back["consentAsked"], back["offer"]) == (None, None)
        await app.until_retained({})
        assert await asks(app) == {}


async def test_a_rollout_has_its_own_rule_of_consent(wire: Wire) -> None:
    app = await wire.application()
    await describe(app, METADATA, rollout={"consent": "required"})
    await app.software("2.0.0", "1.1.0")
    async with app.device() as device:
        await device.report("1.0.0")
        await until_asks(app, {DEVICE: ASKED})
        await device.ask(ANSWER, '{"configId":"1.1.0","granted":true}')
        assert await offer(device) == "1.1.0"
        await device.report("1.1.0")
        assert await offer(device) == "2.0.0"
    careless = await wire.application(consent="required")
    await describe(careless, METADATA, rollout={"consent": "none"})
    async with careless.device() as device:
        await device.report("1.0.0")
        assert await offer(device) == "1.1.0"
        assert await asks(careless) == {}


async def test_an_answer_to_an_older_ask_is_no_consent_to_a_newer_version(wire: Wire) -> None:
    app = await boiling(wire, consent="required")
    async with app.device() as device:
        await device.report("1.0.0")
        await until_asks(app, {DEVICE: ASKED})
        await app.software("1.2.0", "1.0.0")
        await until_asks(app, {DEVICE: b'{"configId":"1.2.0","metadata":{}}'})
        await device.ask(ANSWER, '{"configId":"1.1.0","granted":true}')
        document = await app.endpoint()
        assert (document["offer"], document["consentAsked"]) == (None, "1.2.0")
        assert (await app.history())[-1] == ("consented", "1.1.0")


async def test_invariant_7_an_ask_ends_with_a_stop_and_comes_back(wire: Wire) -> None:
    app = await boiling(wire, consent="required")
    async with app.device() as device:
        await device.report("1.0.0")
        await until_asks(app, {DEVICE: ASKED})
        await app.send("POST", "/freeze", {"reason": "holidays"})
        assert (await app.endpoint())["consentAsked"] is None
        await until_asks(app, {})
        await app.send("DELETE", "/freeze")
        await until_asks(app, {DEVICE: ASKED})


async def test_asks_follow_observe_the_application_version_and_the_softwares_metadata(wire: Wire) -> None:
    app = await boiling(wire, consent="required")
    async with app.device() as device:
        await device.report("1.0.0")
        await until_asks(app, {DEVICE: ASKED})
        await device.ask("config/json/1", '{"observe":false}')
        await until_asks(app, {})
        await device.ask("config/json/1", '{"observe":true}')
        await until_asks(app, {DEVICE: ASKED})
    await describe(app, '{"minutes":2}')
    await until_asks(app, {DEVICE: b'{"configId":"1.1.0","metadata":{"minutes":2}}'})
    async with app.device(app_version=app.other_app_version) as moved:
        await moved.ask("config/json/1", "{}")
        await until_asks(app, {})
        assert DEVICE in await asks(app, app_version=app.other_app_version)


async def test_a_forged_ask_is_overwritten(wire: Wire) -> None:
    app = await boiling(wire, consent="required")
    async with app.device() as device:
        await device.report("1.0.0")
        await until_asks(app, {DEVICE: ASKED})
        async with connect(wire.broker, "otao") as other:
            for token, payload in ((DEVICE, b"forged"), (DEVICE, b""), ("stranger", b"forged")):
                await other.publish(topic(token, ASK, app_version=app.app_version), payload, qos=1, retain=True)
                await wire.settle()
                await until_asks(app, {DEVICE: ASKED})
    free = await boiling(wire)
    async with free.device() as device, connect(wire.broker, "otao") as other:
        await device.report("1.0.0")
        await other.publish(topic(DEVICE, ASK, app_version=free.app_version), b"forged", qos=1, retain=True)
        await wire.settle()
        await until_asks(free, {})


async def test_invariant_1_a_wiped_broker_gets_every_ask_again() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define(consent="required")
        await report(broker, "a", "1.0.0")
        ask = b'{"configId":"1.1.0","metadata":{}}'

        async def asked() -> bool:
            async with connect(broker, "otao") as client:
                await client.subscribe("kp1/+/+/+/consent/json/status", qos=1)
                await client.subscribe("kp1/nothing")
                found = [(await anext(client.messages)).payload for _ in range(len(client.messages))]
                return found == [ask]

        await eventually(asked, "the ask is retained")
        await broker.terminate()
        broker.wipe()
        await broker.start()
        await service.ready()
        await eventually(asked, "the ask is back")


async def test_health_during_a_soak_is_history(wire: Wire) -> None:
    app = await wire.application()
    await app.software("1.1.0", "1.0.0", rollout={"stages": [{"percent": 100, "soak": "PT1H"}]})
    async with app.device() as device:
        await device.report("1.0.0")
        assert await offer(device) == "1.1.0"
        await device.report("1.1.0")
        for body in ('{"healthy":true}', '{"healthy":false,"reason":"too hot"}', '{"healthy":true}'):
            assert (await device.ask("health/json/8", body)).payload == b""
        history = await app.history()
        assert history[2:] == [
            ("reported", "1.1.0"),
            ("soaking", "1.1.0"),
            ("unhealthy", "1.1.0"),
            ("recovered", "1.1.0"),
        ]
