"""The embedded broker with real clients: amqtt's faults that are mended, one by one, and what is refused."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import aiomqtt
import pytest

from broker_bridge.embedded import EmbeddedBrokerError, open_embedded
from tests.contract.deadlines import SECONDS
from tests.embedded_brokers import Embedded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

V311 = aiomqtt.ProtocolVersion.V311


@pytest.fixture
async def broker() -> AsyncIterator[Embedded]:
    async with Embedded() as started:
        yield started


def client(
    broker: Embedded, client_id: str, *, clean: bool = True, protocol: aiomqtt.ProtocolVersion = V311, keep: int = 60
) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        broker.port,
        identifier=client_id,
        clean_session=clean if protocol == V311 else None,
        protocol=protocol,
        keepalive=keep,
    )


async def up_to(messages: aiomqtt.client.MessagesIterator, last: bytes) -> list[tuple[str, bytes, bool]]:
    """Topics, payloads and retain flags of what arrives before the payload `last`."""
    found: list[tuple[str, bytes, bool]] = []
    async with asyncio.timeout(SECONDS):
        async for message in messages:
            assert isinstance(message.payload, bytes)
            if message.payload == last:
                return found
            found.append((str(message.topic), message.payload, message.retain))
    raise AssertionError(last)


async def mosquitto(*command: str, seconds: float = SECONDS) -> tuple[int, str]:
    """Run one of Mosquitto's clients; its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_mosquitto_s_clients_publish_retain_and_clear(broker: Embedded) -> None:
    port = str(broker.port)
    publish = ("mosquitto_pub", "-p", port, "-V", "311", "-q", "1", "-r", "-t", "a/b")
    read = ("mosquitto_sub", "-p", port, "-V", "311", "-t", "a/#", "-q", "1", "-W", "1", "-v", "--retained-only")
    assert await mosquitto(*publish, "-m", "kept") == (0, "")
    assert (await mosquitto(*read))[1].splitlines()[0] == "a/b kept"
    assert await mosquitto(*publish, "-n") == (0, "")
    assert "a/b" not in (await mosquitto(*read))[1]


@pytest.mark.parametrize("version", ["5", "31"])
async def test_other_versions_of_mqtt_are_refused_by_name(broker: Embedded, version: str) -> None:
    code, said = await mosquitto("mosquitto_pub", "-p", str(broker.port), "-V", f"mqttv{version}", "-t", "a", "-m", "x")
    assert code != 0
    assert "protocol version" in said.lower()


async def test_python_clients_are_told_that_mqtt_5_is_not_spoken(broker: Embedded) -> None:
    with pytest.raises(aiomqtt.MqttError, match="Unsupported protocol version"):
        async with client(broker, "modern", protocol=aiomqtt.ProtocolVersion.V5):
            pass


async def test_a_client_receives_nothing_of_what_others_subscribed_to(broker: Embedded) -> None:
    async with client(broker, "watcher") as watcher, client(broker, "other", clean=False) as other:
        await watcher.publish("watched/a", b"not for others", qos=1, retain=True)
        await watcher.subscribe("watched/#", qos=1)
        await other.subscribe("own/#", qos=1)
    async with client(broker, "watcher") as watcher:
        await watcher.subscribe("watched/#", qos=1)
        for clean in (True, False):
            async with client(broker, f"newcomer-{clean}", clean=clean) as newcomer:
                await newcomer.subscribe("own/end", qos=1)
                await watcher.publish("own/end", b"end", qos=1)
                assert await up_to(newcomer.messages, b"end") == []


async def test_300_clients_that_come_at_once_each_get_their_own_and_can_speak(broker: Embedded) -> None:
    count = 300
    received: dict[int, list[tuple[str, bytes, bool]]] = {}

    async def live(index: int, everybody: asyncio.Barrier) -> None:
        async with client(broker, f"device-{index}") as device:
            await device.subscribe([(f"own/{index}/status", 1), (f"own/{index}/ack", 1)])
            await device.publish(f"report/{index}", f"{index}".encode(), qos=1)
            received[index] = await up_to(device.messages, b"ack")
            await everybody.wait()

    async with client(broker, "server") as server:
        for index in range(count):
            await server.publish(f"own/{index}/status", f"offer {index}".encode(), qos=1, retain=True)
        await server.subscribe("report/+", qos=1)
        everybody = asyncio.Barrier(count + 1)
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                group.create_task(live(index, everybody))
            async with asyncio.timeout(60):
                heard: set[str] = set()
                async for message in server.messages:
                    heard.add(str(message.topic))
                    await server.publish(str(message.topic).replace("report", "own") + "/ack", b"ack", qos=1)
                    if len(heard) == count:
                        break
                await everybody.wait()
    assert received == {index: [(f"own/{index}/status", f"offer {index}".encode(), True)] for index in range(count)}


async def test_clients_without_an_id_share_nothing(broker: Embedded) -> None:
    read = ("mosquitto_sub", "-p", str(broker.port), "-V", "311", "-q", "1", "-C", "1", "-W", "10")
    async with client(broker, "sender") as sender, asyncio.TaskGroup() as group:
        group.create_task(until_delivered(sender, "first"))
        assert await mosquitto(*read, "-t", "first") == (0, "first\n")
    async with client(broker, "sender") as sender, asyncio.TaskGroup() as group:
        group.create_task(until_delivered(sender, "first", "second"))
        assert await mosquitto(*read, "-t", "second") == (0, "second\n")


async def until_delivered(sender: aiomqtt.Client, *topics: str) -> None:
    """Retain on these topics: whoever subscribes, however late, gets one message."""
    for topic in topics:
        await sender.publish(topic, topic.encode(), qos=1, retain=True)


async def test_keep_alive_0_does_not_stall(broker: Embedded) -> None:
    async with client(broker, "patient", keep=0) as patient:
        await patient.subscribe("a", qos=1)
        for number in range(20):
            await patient.publish("a", f"{number}", qos=1)
        await patient.publish("a", b"end", qos=1)
        assert len(await up_to(patient.messages, b"end")) == 20


async def test_the_second_client_with_an_id_takes_the_session_and_the_first_is_cut_off(broker: Embedded) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(client(broker, "same", clean=False))
        await first.subscribe("a", qos=1)
        second = await stack.enter_async_context(client(broker, "same", clean=False))
        with pytest.raises(aiomqtt.MqttError):
            await up_to(first.messages, b"never")
        sender = await stack.enter_async_context(client(broker, "sender"))
        await sender.publish("a", b"for the second", qos=1)
        await sender.publish("a", b"end", qos=1)
        assert await up_to(second.messages, b"end") == [("a", b"for the second", False)]


async def test_a_session_keeps_its_messages_and_a_clean_one_keeps_nothing(broker: Embedded) -> None:
    for name, clean in (("lasting", False), ("clean", True)):
        async with client(broker, name, clean=clean) as leaver:
            await leaver.subscribe("a", qos=1)
    async with client(broker, "sender") as sender:
        for payload in (b"1", b"2", b"end"):
            await sender.publish("a", payload, qos=1)
        async with client(broker, "lasting", clean=False) as lasting:
            assert await up_to(lasting.messages, b"end") == [("a", b"1", False), ("a", b"2", False)]
        async with client(broker, "clean", clean=False) as clean_once:
            await clean_once.subscribe("end", qos=1)
            await sender.publish("a", b"3", qos=1)
            await sender.publish("end", b"end", qos=1)
            assert await up_to(clean_once.messages, b"end") == []


async def test_a_topic_that_begins_with_a_dollar_ends_the_connection_and_the_will_is_published(
    broker: Embedded,
) -> None:
    will = aiomqtt.Will("gone", b"end", qos=1)
    curious = aiomqtt.Client("127.0.0.1", broker.port, identifier="curious", protocol=V311, will=will)
    async with client(broker, "watcher") as watcher:
        await watcher.subscribe("gone", qos=1)
        async with curious:
            await curious.publish("$SYS/broker", b"x", qos=1)
            with pytest.raises(aiomqtt.MqttError):
                await up_to(curious.messages, b"never")
        assert await up_to(watcher.messages, b"end") == []


async def test_probes_and_rubbish_do_not_disturb_it_nor_its_log(
    broker: Embedded, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for rubbish in (
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x10",
            b"\x10\xff\xff\xff\xff\xff",
            b"\x10\x02\x00\x09",
            bytes(99),
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(rubbish)
            writer.close()
            await writer.wait_closed()
        async with client(broker, "usual") as usual:
            await usual.subscribe("a", qos=1)
            await usual.publish("a", b"end", qos=1)
            assert await up_to(usual.messages, b"end") == []
    assert caplog.records == []


async def test_it_stops_at_once_whoever_is_connected() -> None:
    async with Embedded() as broker:
        opened = [await asyncio.open_connection("127.0.0.1", broker.port) for _ in range(51)]
        for index, (reader, writer) in enumerate(opened[1:]):
            writer.write(b"\x10\x0f\x00\x04MQTT\x04\x00\x00\x3c\x00\x03%03d" % index)
            assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
        stopping_at = time.monotonic()
    assert time.monotonic() - stopping_at < 5.0
    for reader, writer in opened:
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", broker.port)


async def test_a_port_that_is_taken_is_named(broker: Embedded) -> None:
    with pytest.raises(EmbeddedBrokerError, match=f"127.0.0.1:{broker.port}: .*in use"):
        async with open_embedded("127.0.0.1", broker.port):
            pass


async def test_a_broker_that_was_stopped_can_be_followed_by_another_on_its_port(broker: Embedded) -> None:
    async with Embedded() as first:
        port = first.port
    async with Embedded(port) as second, client(second, "a") as connected:
        await connected.publish("a", b"x", qos=1)
    assert second.port == port != broker.port
