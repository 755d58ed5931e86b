"""Subscriptions that change while a link runs, or between two runs of it, on a real Mosquitto."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import pytest

from broker_bridge.links import MqttLink
from broker_bridge.options import LinkOptions
from orchestrator import coverages, links, settings
from orchestrator.application.directory import Directory
from orchestrator.application.partitions import MAIN
from protocol import controls, topics
from protocol.links import Outbound, Subscription
from tests.brokers import Mosquitto
from tests.contract.links import MARKER, running, up_to_marker
from tests.contract.storages import APP, entry_of
from tests.services import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from protocol.links import Link

ECHO = Subscription(topic_filter=MARKER, echo=True)
KETTLE, TOASTER = (Subscription(topic_filter=f"kp1/{name}/cmx_ota/+/#") for name in ("kettle", "toaster"))
ALL = "kp1/+/cmx_ota/+/#"


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto(anonymous=True) as started:
        yield started


@pytest.fixture(params=["5", "3.1.1"])
def options(request: pytest.FixtureRequest, broker: Mosquitto) -> LinkOptions:
    protocol: Literal["5", "3.1.1"] = request.param
    covered = (ECHO, KETTLE)
    return LinkOptions(
        url=broker.url(), client_id="part", subscriptions=covered, varying=True, unwanted=(ALL,), protocol=protocol
    )


@asynccontextmanager
async def linked(options: LinkOptions) -> AsyncIterator[MqttLink]:
    link = MqttLink(options, is_ours=topics.is_ours)
    async with running(link):
        yield link


async def covering(link: MqttLink, *subscriptions: Subscription) -> None:
    link.cover(subscriptions)
    await link.covered()


async def say(broker: Mosquitto, *names: str) -> None:
    async with connect(broker, "fleet") as client:
        for name in names:
            await client.publish(f"kp1/{name}/cmx_ota/t/applied/json", "{}", qos=1)


async def heard(link: Link) -> list[str]:
    messages = await up_to_marker(link, b"end")
    return [message.topic.split("/")[1] for message in messages if message.topic != MARKER]


async def test_what_is_covered_is_heard_from_then_on_and_what_is_not_no_more(
    broker: Mosquitto, options: LinkOptions
) -> None:
    async with linked(options) as link:
        await say(broker, "toaster", "kettle")
        assert await heard(link) == ["kettle"]
        await covering(link, ECHO, KETTLE, TOASTER)
        await say(broker, "toaster", "kettle")
        assert await heard(link) == ["toaster", "kettle"]
        await covering(link, ECHO, TOASTER)
        await say(broker, "kettle", "toaster")
        assert await heard(link) == ["toaster"]


async def test_what_changed_without_a_connection_holds_from_the_next_one_on(
    broker: Mosquitto, options: LinkOptions
) -> None:
    async with linked(options):
        pass
    link = MqttLink(options, is_ours=topics.is_ours)
    await covering(link, ECHO, KETTLE, TOASTER)
    await say(broker, "kettle")
    async with running(link):
        await link.publish([Outbound(topic=MARKER, payload=b"up")])
        await say(broker, "toaster")
        assert await heard(link) == ["kettle", "toaster"]


async def test_what_was_given_up_without_a_connection_is_not_heard_from_the_next_one_on(
    broker: Mosquitto, options: LinkOptions
) -> None:
    link = MqttLink(options, is_ours=topics.is_ours)
    async with running(link):
        await link.publish([Outbound(topic=MARKER, payload=b"up")])
        await covering(link, ECHO, KETTLE, TOASTER)
    await covering(link, ECHO, TOASTER)
    async with running(link):
        await link.publish([Outbound(topic=MARKER, payload=b"up")])
        await say(broker, "kettle", "toaster")
        assert await heard(link) == ["toaster"]


async def test_what_another_gave_up_and_could_not_tell_the_broker_is_not_heard_until_it_is_wanted_again(
    broker: Mosquitto, options: LinkOptions
) -> None:
    async with linked(replace(options, subscriptions=(ECHO, KETTLE, TOASTER))):
        pass
    async with linked(replace(options, unwanted=(ALL, TOASTER.topic_filter))) as successor:
        await successor.publish([Outbound(topic=MARKER, payload=b"up")])
        await say(broker, "toaster", "kettle")
        assert await heard(successor) == ["kettle"]
        await covering(successor, ECHO, KETTLE, TOASTER)
    async with running(successor):
        await successor.publish([Outbound(topic=MARKER, payload=b"up")])
        await say(broker, "toaster", "kettle")
        assert await heard(successor) == ["toaster", "kettle"]


async def test_main_hears_each_command_once_also_where_it_had_heard_them_by_the_names_of_its_applications(
    broker: Mosquitto, options: LinkOptions
) -> None:
    given = settings.load({"mqtt_url": broker.url(), "mqtt_protocol": options.protocol})
    opened = partial(links.for_operators, given, "a1b2", MAIN)
    directory = Directory([entry_of(replace(APP, key=1))], complete=False)
    before = [Subscription(topic_filter=controls.subscription(name)) for name in ("kettle", "gone")]
    async with running(opened(covered=before)):
        pass
    async with connect(broker, "people") as client:
        await client.publish("otao/v1/kettle/control/fleet.summary/1", "{}", qos=1)
        left = coverages.left_of_operators(directory, MAIN, ["gone"])
        link = opened(covered=coverages.of_operators(directory, MAIN), left=left)
        async with running(link):
            await link.publish([Outbound(topic="up", payload=b"")])
            names = ("kettle", "gone", "nobody", "end")
            for name in names:
                await client.publish(f"otao/v1/{name}/control/fleet.summary/2", "{}", qos=1)
            commands: list[str] = []
            while not commands or "end" not in commands[-1]:
                commands += [message.topic for message in (await link.receive(10)).messages]
    assert [command.split("/")[2] for command in commands] == ["kettle", *names]


async def test_a_session_that_heard_everything_hears_what_is_covered_and_loses_nothing_of_it(
    broker: Mosquitto, options: LinkOptions
) -> None:
    before = replace(options, subscriptions=(ECHO, Subscription(topic_filter=ALL)), varying=False, unwanted=())
    async with linked(before):
        pass
    await say(broker, "kettle")
    async with linked(options) as link:
        assert await heard(link) == ["kettle"]
        await say(broker, "toaster", "kettle")
        assert await heard(link) == ["kettle"]
