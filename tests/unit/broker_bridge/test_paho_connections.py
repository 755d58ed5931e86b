from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from broker_bridge import paho_clients
from broker_bridge.options import LinkOptions
from broker_bridge.paho_connections import Accepted, Listener, PahoConnection
from protocol.links import Outbound, Subscription
from tests.contract.deadlines import eventually
from tests.unit.broker_bridge.scripted_brokers import (
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    ScriptedBroker,
    packet_ids,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from protocol.links import Inbound


class Ear:
    """Remembers what a connection told."""

    def __init__(self) -> None:
        self.messages: list[Inbound] = []
        self.malformed: list[int] = []
        self.answers: list[tuple[int, int]] = []
        self.listener = Listener(
            on_message=self.messages.append,
            on_malformed=self.malformed.append,
            on_answered=lambda packet_id, code: self.answers.append((packet_id, code)),
            on_read=lambda: None,
        )


@asynccontextmanager
async def opened(broker: ScriptedBroker, ear: Ear) -> AsyncIterator[tuple[PahoConnection, Accepted]]:
    protocol = "5" if broker.level == 5 else "3.1.1"
    options = LinkOptions(url=broker.url, client_id="c", protocol="5" if protocol == "5" else "3.1.1")
    connection = PahoConnection(paho_clients.session(options), ear.listener)
    try:
        yield connection, await connection.open()
    finally:
        connection.close()


async def test_the_limits_of_the_broker_are_read() -> None:
    properties = b"\x21\x00\x14" + b"\x27\x00\x00\x10\x00" + b"\x25\x00"
    async with (
        ScriptedBroker(properties=properties, session_present=True) as broker,
        opened(broker, Ear()) as (_, said),
    ):
        expected = Accepted(
            reason_code=0,
            reason="Success",
            session_present=True,
            receive_maximum=20,
            maximum_packet_bytes=4096,
            retain_available=False,
        )
        assert said == expected


@pytest.mark.parametrize(
    ("level", "connack", "code"), [(5, 0x86, 0x86), (4, 4, 0x86), (4, 5, 0x87), (5, 0x84, 0x84), (5, 1, 0x84)]
)
async def test_a_refusal_is_told_in_the_codes_of_mqtt_5(level: int, connack: int, code: int) -> None:
    async with ScriptedBroker(level=level, connack=connack) as broker, opened(broker, Ear()) as (_, said):
        assert said.reason_code == code
        assert broker.connections == 1, "no second attempt with an older protocol"


@pytest.mark.parametrize("level", [5, 4])
async def test_messages_and_answers_are_told_and_acknowledged_only_when_asked(level: int) -> None:
    ear = Ear()
    async with ScriptedBroker(level=level) as broker, opened(broker, ear) as (connection, _):
        broker.publish(b"t", b"1", packet_id=7)
        broker.publish(b"\xff\xfe", b"", packet_id=8)
        broker.publish(b"t", b"2")
        await eventually(lambda: len(ear.messages) == 2, "both messages")
        assert [(each.payload, each.qos, each.packet_id) for each in ear.messages] == [(b"1", 1, 7), (b"2", 0, 0)]
        assert ear.malformed == [8]
        packet_id = connection.publish(Outbound(topic="o", payload=b""))
        await broker.gets(PUBLISH)
        assert PUBACK not in broker.kinds()
        broker.puback(packet_id, 0x87)
        connection.acknowledge([8, 7])
        assert packet_ids(await broker.gets(PUBACK, 2)) == [8, 7]
        await eventually(lambda: bool(ear.answers), "the answer")
        assert ear.answers == [(packet_id, 0x87 if level == 5 else 0)]


async def test_small_packets_leave_at_once() -> None:
    async with ScriptedBroker() as broker, opened(broker, Ear()) as (connection, _):
        sock = connection._client.socket()
        assert isinstance(sock, socket.socket)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_the_broker_s_goodbye_is_kept() -> None:
    async with ScriptedBroker() as broker, opened(broker, Ear()) as (connection, _):
        broker.disconnect(0x8E)
        ending = await asyncio.wait_for(connection.ended, 5)
        assert (ending.reason, ending.reason_code) == ("Session taken over", 0x8E)


async def test_a_connection_that_ends_before_connack_is_an_os_error() -> None:
    async with ScriptedBroker(connack=None) as broker, asyncio.TaskGroup() as group:
        connection = PahoConnection(paho_clients.session(LinkOptions(url=broker.url, client_id="c")), Ear().listener)
        opening = group.create_task(_failure(connection))
        await broker.gets(CONNECT)
        broker.cut()
        assert isinstance(await opening, ConnectionResetError)
        connection.close()


async def test_subscribing_ends_with_the_codes_or_with_the_connection() -> None:
    wanted = [Subscription(topic_filter="a")]
    async with ScriptedBroker(suback=0x87) as broker, opened(broker, Ear()) as (connection, _):
        assert await connection.subscribe(wanted) == [0x87]
        broker.suback = None
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_failure_of_subscribe(connection, wanted))
            await broker.gets(SUBSCRIBE, 2)
            broker.cut()
        assert isinstance(waiting.result(), ConnectionResetError)
        with pytest.raises(ConnectionResetError):
            await connection.subscribe(wanted)


async def test_closing_says_goodbye_after_what_is_queued() -> None:
    async with ScriptedBroker() as broker:
        async with opened(broker, Ear()) as (connection, _):
            connection.acknowledge([5])
        await broker.gets(DISCONNECT)
        assert broker.kinds()[-2:] == [PUBACK, DISCONNECT]
        assert connection.ended.result().reason == "closed by us"
        connection.close()


async def test_an_attempt_that_was_given_up_sends_no_connect() -> None:
    async with ScriptedBroker() as broker:
        connection = PahoConnection(paho_clients.session(LinkOptions(url=broker.url, client_id="c")), Ear().listener)
        connection.close()
        with pytest.raises(ConnectionAbortedError):
            await connection.open()
        assert broker.kinds() == []


async def _failure(connection: PahoConnection) -> Exception | None:
    try:
        await connection.open()
    except OSError as error:
        return error
    return None


async def _failure_of_subscribe(connection: PahoConnection, wanted: list[Subscription]) -> Exception | None:
    try:
        await connection.subscribe(wanted)
    except OSError as error:
        return error
    return None
