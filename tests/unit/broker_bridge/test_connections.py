from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from broker_bridge import profiles
from broker_bridge.connections import BrokerConnection, Listener
from broker_bridge.options import LinkOptions
from broker_bridge.packets import Connack, Misspelt
from protocol.links import Outbound, Subscription
from tests.brokers import self_signed
from tests.contract.deadlines import eventually
from tests.unit.broker_bridge.scripted_brokers import (
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    ScriptedBroker,
    encoded,
    packet_ids,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from protocol.links import Inbound


class Ear:
    """Remembers what a connection told."""

    def __init__(self) -> None:
        self.messages: list[Inbound] = []
        self.misspelt: list[int] = []
        self.turns: list[int] = []
        self.answers: list[tuple[int, int]] = []
        self.listener = Listener(on_messages=self._messages, on_answers=self.answers.extend)

    def _messages(self, messages: Sequence[Inbound | Misspelt]) -> None:
        self.turns.append(len(messages))
        for message in messages:
            if isinstance(message, Misspelt):
                self.misspelt.append(message.packet_id)
            else:
                self.messages.append(message)


class Wire(asyncio.Transport):
    """A transport that remembers its writes, each by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        self.written.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        pass


@asynccontextmanager
async def opened(broker: ScriptedBroker, ear: Ear) -> AsyncIterator[tuple[BrokerConnection, Connack]]:
    protocol = "5" if broker.level == 5 else "3.1.1"
    options = LinkOptions(url=broker.url, client_id="c", protocol="5" if protocol == "5" else "3.1.1")
    connection = BrokerConnection(profiles.session(options), ear.listener)
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
        expected = Connack(
            reason_code=0,
            session_present=True,
            receive_maximum=20,
            maximum_packet_bytes=4096,
            retain_available=False,
        )
        assert said == expected


@pytest.mark.parametrize(
    ("level", "connack", "code"),
    [(5, 0x86, 0x86), (4, 1, 0x84), (4, 4, 0x86), (4, 5, 0x87), (5, 0x84, 0x84), (5, 1, 0x84)],
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
        assert ear.misspelt == [8]
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
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_the_broker_s_goodbye_is_kept() -> None:
    async with ScriptedBroker() as broker, opened(broker, Ear()) as (connection, _):
        broker.disconnect(0x8E)
        ending = await asyncio.wait_for(connection.ended, 5)
        assert (ending.reason, ending.reason_code) == ("Session taken over", 0x8E)


async def test_a_connection_that_ends_before_connack_is_an_os_error() -> None:
    async with ScriptedBroker(connack=None) as broker, asyncio.TaskGroup() as group:
        connection = BrokerConnection(profiles.session(LinkOptions(url=broker.url, client_id="c")), Ear().listener)
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
        connection = BrokerConnection(profiles.session(LinkOptions(url=broker.url, client_id="c")), Ear().listener)
        connection.close()
        with pytest.raises(ConnectionAbortedError):
            await connection.open()
        assert broker.connections == 0


async def test_an_attempt_that_is_given_up_while_it_connects_sends_no_connect() -> None:
    async with ScriptedBroker() as broker, asyncio.TaskGroup() as group:
        connection = BrokerConnection(profiles.session(LinkOptions(url=broker.url, client_id="c")), Ear().listener)
        opening = group.create_task(connection.open())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait((opening,))
        connection.close()
        assert broker.kinds() == []


async def test_a_name_that_is_none_is_an_os_error() -> None:
    options = LinkOptions(url=f"mqtt://{'x' * 70}.example", client_id="c")
    connection = BrokerConnection(profiles.session(options), Ear().listener)
    with pytest.raises(OSError, match="name"):
        await connection.open()
    connection.close()


async def test_reading_stops_and_goes_on_and_gives_others_their_turn() -> None:
    ear = Ear()
    async with ScriptedBroker() as broker, opened(broker, ear) as (connection, _):
        connection.pause()
        assert not connection.reading
        broker.write(b"".join(broker.encoded_publish(b"t", str(number).encode()) for number in range(600)))
        packet_id = connection.publish(Outbound(topic="t", payload=bytes(3_000_000)))
        await broker.gets(PUBLISH)  # larger than any socket buffer: written in pieces while nothing is read
        assert ear.messages == []
        connection.resume()
        await eventually(lambda: len(ear.messages) == 600, "all messages")
        assert [message.payload for message in ear.messages] == [str(number).encode() for number in range(600)]
        assert max(ear.turns) <= 256
        broker.puback(packet_id)
        await eventually(lambda: ear.answers == [(packet_id, 0)], "the answer, though much came before it")


async def test_what_was_not_worked_off_when_reading_stopped_comes_first() -> None:
    ear = Ear()
    async with ScriptedBroker() as broker:
        connection: BrokerConnection | None = None

        def stop_once(messages: Sequence[Inbound | Misspelt]) -> None:
            ear._messages(messages)
            if connection is not None and len(ear.turns) == 1:
                connection.pause()

        options = LinkOptions(url=broker.url, client_id="c")
        listener = Listener(on_messages=stop_once, on_answers=ear.answers.extend)
        connection = BrokerConnection(profiles.session(options), listener)
        await connection.open()
        broker.write(b"".join(broker.encoded_publish(b"t", str(number).encode()) for number in range(900)))
        await eventually(lambda: bool(ear.turns), "the first messages")
        stopped_at = len(ear.messages)
        assert stopped_at <= 256
        await asyncio.sleep(0)
        assert len(ear.messages) == stopped_at
        connection.resume()
        await eventually(lambda: len(ear.messages) == 900, "all messages")
        assert [message.payload for message in ear.messages] == [str(number).encode() for number in range(900)]
        connection.close()


async def test_all_of_one_tls_record_is_read_though_the_socket_has_nothing_more(tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    ear = Ear()
    async with ScriptedBroker(tls=tls) as broker:
        options = LinkOptions(url=broker.url, client_id="c", ca_file=certificate)
        connection = BrokerConnection(profiles.session(options), ear.listener)
        await connection.open()
        # More packets than one turn of reading takes, fewer bytes than a record holds (16 KiB).
        broker.write(b"".join(broker.encoded_publish(b"t", str(number).encode()) for number in range(900)))
        await eventually(lambda: len(ear.messages) == 900, "all messages of the record")
        connection.close()


async def test_what_was_queued_in_one_turn_of_the_loop_leaves_in_one_write() -> None:
    connection = BrokerConnection(profiles.session(LinkOptions(url="mqtt://h", client_id="c")), Ear().listener)
    wire = Wire()
    connection.connection_made(wire)
    connection.data_received(encoded(0x20, b"\x00\x00\x00"))
    for _ in range(3):
        connection.publish(Outbound(topic="t", payload=b""))
    connection.acknowledge([7, 8])
    await asyncio.sleep(0)
    assert [data[:1] for data in wire.written] == [b"\x10", b"\x32"]
    assert wire.written[1].endswith(b"\x40\x02\x00\x07\x40\x02\x00\x08")
    connection.close()
    assert wire.written[2:] == [b"\xe0\x00"]


async def test_qos_0_counts_as_sent_only_as_fast_as_the_broker_reads() -> None:
    ear = Ear()
    async with ScriptedBroker() as broker, opened(broker, ear) as (connection, _):
        small = connection.publish(Outbound(topic="t", payload=b"", qos=0))
        await eventually(lambda: ear.answers == [(small, 0)], "the small one")
        broker.stop_reading()
        count = 0
        while not connection._clogged:
            count += 1
            assert count < 200, "no socket holds as much"
            connection.publish(Outbound(topic="t", payload=bytes(1_000_000), qos=0))
            await asyncio.sleep(0)
        assert len(ear.answers) < count + 1
        broker.go_on_reading()
        await eventually(lambda: len(ear.answers) == count + 1, "all of them")


async def test_what_is_not_mqtt_ends_the_connection_and_says_why() -> None:
    async with ScriptedBroker() as broker, opened(broker, Ear()) as (connection, _):
        broker.write(b"\x30\xff\xff\xff\xff\x01")
        ending = await asyncio.wait_for(connection.ended, 5)
        assert "not MQTT" in ending.reason
        connection.close()
        (goodbye,) = await broker.gets(DISCONNECT)
        assert goodbye.body == b"\x81"


async def _failure(connection: BrokerConnection) -> Exception | None:
    try:
        await connection.open()
    except OSError as error:
        return error
    return None


async def _failure_of_subscribe(connection: BrokerConnection, wanted: list[Subscription]) -> Exception | None:
    try:
        await connection.subscribe(wanted)
    except OSError as error:
        return error
    return None
