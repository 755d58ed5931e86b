"""The access rules that `otao acl` prints, on a real Mosquitto: what works by them, and what is refused."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from paho.mqtt.subscribeoptions import SubscribeOptions

from broker_bridge.links import MqttLink
from broker_bridge.options import LinkOptions
from protocol.links import Outbound
from tests.brokers import OPERATORS, Mosquitto
from tests.contract.links import running
from tests.services import Service, connect, report, retained, topic, until_retained
from tests.system.commands import otao

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from protocol.links import Link

DENIED = 0x87
COMMAND = "otao/v1/kettle/control/fleet.summary/1"
CONFIGURATION = topic("tok7", "config/json/status").replace("cmx_ota", "cmx")


@asynccontextmanager
async def speaking(broker: Mosquitto, user: str) -> AsyncIterator[Link]:
    """A second connection of a user, which is told what the broker refuses."""
    async with running(MqttLink(LinkOptions(url=broker.url(user), client_id=f"second-{user}"))) as link:
        yield link


async def refused(link: Link, *names: str) -> list[bool]:
    """Whether a publish to each topic is refused."""
    codes = await link.publish([Outbound(topic=name, payload=b"{}", retain=True) for name in names])
    return [code == DENIED for code in codes]


async def test_with_the_printed_rules_endpoints_are_served_and_forge_nothing() -> None:
    printed = await otao(None, "acl", "--tokens", "-", given=b"tok7\ntok8\n")
    assert (printed.exit_code, printed.err) == (0, "")
    async with Mosquitto(tokens=["tok7", "tok8"], rules=printed.out) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "tok7", "1.0.0")
        await until_retained(broker, {"tok7": "1.1.0"})
        async with connect(broker, "tok7") as device:
            await device.subscribe(topic("tok7", "config/json/status"), qos=1)
            offer = await anext(device.messages)
            assert isinstance(offer.payload, bytes)
            assert json.loads(offer.payload)["configId"] == "1.1.0"
            await device.subscribe(CONFIGURATION, qos=1)
            async with speaking(broker, "otao") as other:
                assert await refused(other, CONFIGURATION) == [False]
            assert str((await anext(device.messages)).topic) == CONFIGURATION
        async with speaking(broker, "tok7") as device:
            forged = [topic("tok7", "config/json/status"), topic("tok7", "consent/json/status"), CONFIGURATION]
            others = [topic("tok8", rest) for rest in ("applied/json", "config/json/1", "config/json/status")]
            assert await refused(device, *forged, *others, COMMAND, "otao/v1/kettle/summary") == [True] * 8
            assert await refused(device, topic("tok7", "config/json/1")) == [False]
        assert await retained(broker) == {"tok7": "1.1.0"}
        async with connect(broker, OPERATORS) as operator:
            await operator.subscribe("otao/v1/kettle/control/#", options=SubscribeOptions(qos=1, noLocal=True))
            await operator.publish(COMMAND, b"{}", qos=1)
            answer = await anext(operator.messages)
            assert str(answer.topic) == f"{COMMAND}/status"
        async with speaking(broker, OPERATORS) as operator:
            assert await refused(operator, topic("tok7", "applied/json"), topic("tok7", "config/json/status")) == [
                True,
                True,
            ]
        checks = json.loads((await otao(service, "doctor", "--json")).out)["checks"]
        found = {check["check"]: check["status"] for check in checks}
        names = ("broker.access", "broker.subscriptions", "pushes.parked")
        assert {name: found[name] for name in names} == dict.fromkeys(names, "ok")
