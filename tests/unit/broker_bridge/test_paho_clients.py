from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import pytest

from broker_bridge import paho_clients
from broker_bridge.errors import AddressError
from broker_bridge.options import LinkOptions
from protocol.links import Outbound, Subscription
from tests.unit.broker_bridge.scripted_brokers import CONNECT, PUBLISH, SUBSCRIBE, ScriptedBroker

if TYPE_CHECKING:
    from pathlib import Path

WILL = Outbound(topic="w", payload=b"gone", qos=1, retain=True)


def options(url: str, protocol: Literal["5", "3.1.1"] = "5") -> LinkOptions:
    return LinkOptions(
        url=url.replace("//", "//u:p@"), client_id="c", protocol=protocol, will=WILL, receive_maximum=0x1234
    )


async def connect_packet(profile: paho_clients.Profile, broker: ScriptedBroker) -> bytes:
    client = paho_clients.make(profile)
    await asyncio.to_thread(paho_clients.connect, client, profile)
    (packet,) = await broker.gets(CONNECT)
    sock = client.socket()
    assert sock is not None
    sock.close()
    return packet.body


async def test_mqtt_5_asks_for_the_session_and_its_limits() -> None:
    async with ScriptedBroker() as broker:
        body = await connect_packet(paho_clients.session(options(broker.url)), broker)
    assert body[:7] == b"\x00\x04MQTT\x05"
    assert body[7] == 0b11101100, "user, password, retained will with QoS 1, no clean start"
    assert body[8:10] == (30).to_bytes(2, "big")
    assert b"\x11" + (604_800).to_bytes(4, "big") in body, "session expiry"
    assert b"\x21\x12\x34" in body, "receive maximum"


async def test_mqtt_3_1_1_asks_for_the_session() -> None:
    async with ScriptedBroker(level=4) as broker:
        body = await connect_packet(paho_clients.session(options(broker.url, "3.1.1")), broker)
    assert body == b"\x00\x04MQTT\x04\xec\x00\x1e\x00\x01c\x00\x01w\x00\x04gone\x00\x01u\x00\x01p"


@pytest.mark.parametrize(("protocol", "level"), [("5", 5), ("3.1.1", 4)])
async def test_the_reader_is_another_client_without_will_or_session(
    protocol: Literal["5", "3.1.1"], level: int
) -> None:
    async with ScriptedBroker(level=level) as broker:
        body = await connect_packet(paho_clients.reader(options(broker.url, protocol)), broker)
    assert body[7] == 0b11000010
    assert b"\x00\x08c-reader" in body
    assert b"gone" not in body


async def sent(broker: ScriptedBroker, level: int, kind: int, subscriptions: list[Subscription]) -> list[bytes]:
    profile = paho_clients.session(options(broker.url, "5" if level == 5 else "3.1.1"))
    client = paho_clients.make(profile)
    await asyncio.to_thread(paho_clients.connect, client, profile)
    client.loop_write()
    for read_retained in (False, True):
        assert paho_clients.subscribe(client, subscriptions, read_retained=read_retained, level=level) is not None
    message = Outbound(topic="t", payload=b"x", correlation_data=b"c7")
    assert paho_clients.publish(client, message, level=level) == 3
    client.loop_write()
    packets = await broker.gets(kind, 2 if kind == SUBSCRIBE else 1)
    client.disconnect()
    client.loop_write()
    return [packet.body for packet in packets]


async def test_subscription_options_on_mqtt_5() -> None:
    both = [Subscription(topic_filter="a"), Subscription(topic_filter="b", echo=True)]
    async with ScriptedBroker() as broker:
        usual, reading = await sent(broker, 5, SUBSCRIBE, both)
    # QoS 1; no-local 4; retain as published 8; retain handling "do not send" 0x20.
    assert usual[3:] == b"\x00\x01a\x2d\x00\x01b\x29"
    assert reading[3:] == b"\x00\x01a\x0d\x00\x01b\x09"


async def test_subscriptions_on_mqtt_3_1_1_are_qos_1() -> None:
    async with ScriptedBroker(level=4) as broker:
        assert (await sent(broker, 4, SUBSCRIBE, [Subscription(topic_filter="a")]))[0][2:] == b"\x00\x01a\x01"


@pytest.mark.parametrize(("level", "body"), [(5, b"\x00\x01t\x00\x03\x05\x09\x00\x02c7x"), (4, b"\x00\x01t\x00\x03x")])
async def test_correlation_data_goes_where_it_can(level: int, body: bytes) -> None:
    async with ScriptedBroker(level=level) as broker:
        assert await sent(broker, level, PUBLISH, [Subscription(topic_filter="a")]) == [body]


async def test_the_library_keeps_no_window_and_waits_no_longer_than_told() -> None:
    client = paho_clients.make(
        paho_clients.session(LinkOptions(url="mqtt://h", client_id="c", connect_timeout=timedelta(seconds=3)))
    )
    assert client.max_inflight_messages == 0
    assert client.connect_timeout == 3.0


async def test_an_unreadable_tls_file_is_an_address_error(tmp_path: Path) -> None:
    with pytest.raises(AddressError):
        paho_clients.make(
            paho_clients.session(LinkOptions(url="mqtts://h", client_id="c", ca_file=tmp_path / "absent.pem"))
        )
