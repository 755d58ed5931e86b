from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from broker_bridge import readbacks
from broker_bridge.options import LinkOptions
from protocol.links import LinkLost
from tests.unit.broker_bridge.scripted_brokers import PUBLISH, SUBSCRIBE, ScriptedBroker


def options(broker: ScriptedBroker) -> LinkOptions:
    short = timedelta(milliseconds=300)
    return LinkOptions(url=broker.url, client_id="c", connect_timeout=short, publish_timeout=short)


async def test_only_retained_messages_of_the_topics_asked_for_count() -> None:
    async with ScriptedBroker(level=5) as broker, asyncio.TaskGroup() as group:
        reading = group.create_task(readbacks.read_retained(options(broker), ["a", "b", "c"]))
        await broker.gets(SUBSCRIBE, 2)
        for first, topic, payload in (
            (0x31, b"a", b"1"),
            (0x30, b"b", b"live"),
            (0x31, b"x", b"2"),
            (0x31, b"c", b"3"),
        ):
            broker.send(first, b"\x00\x01" + topic + b"\x00" + payload)
        broker.send(0x31, b"\x00\x01c\x00")
        (probe,) = await broker.gets(PUBLISH)
        length = int.from_bytes(probe.body[:2], "big")
        broker.publish(probe.body[2 : 2 + length], probe.body[2 + length + 3 :], packet_id=9)
        assert await reading == {"a": b"1"}


async def test_nothing_asked_is_answered_without_a_connection() -> None:
    async with ScriptedBroker() as broker:
        assert await readbacks.read_retained(options(broker), []) == {}
        assert broker.connections == 0


@pytest.mark.parametrize(
    ("broker", "reason"),
    [
        (ScriptedBroker(connack=0x87), "refused: Not authorized"),
        (ScriptedBroker(connack=None), "in time"),
        (ScriptedBroker(suback=0x87), "0x87"),
        (ScriptedBroker(), "in time"),
    ],
)
async def test_what_cannot_be_read_is_a_lost_link(broker: ScriptedBroker, reason: str) -> None:
    async with broker:
        with pytest.raises(LinkLost, match=reason):
            await readbacks.read_retained(options(broker), ["a"])


async def test_a_refused_or_cut_probe_is_a_lost_link() -> None:
    for refuse in (True, False):
        async with ScriptedBroker() as broker, asyncio.TaskGroup() as group:
            reading = group.create_task(_lost(broker))
            (probe,) = await broker.gets(PUBLISH)
            length = int.from_bytes(probe.body[:2], "big")
            if refuse:
                broker.puback(int.from_bytes(probe.body[2 + length : 4 + length], "big"), 0x87)
            else:
                broker.cut()
            assert (await reading) != ""
            assert ("0x87" in await reading) == refuse


async def _lost(broker: ScriptedBroker) -> str:
    try:
        await readbacks.read_retained(options(broker), ["a"])
    except LinkLost as lost:
        return lost.reason
    return ""
