"""A device and watchers of events do not read what they are sent: nobody else waits, and nothing is kept for them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.brokers import Mosquitto
from tests.pipelines import SMALL_BYTES, deaf, opened, pipelined
from tests.services import SECONDS, Service, connect, eventually, topic, until_retained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STOP_SECONDS = 5.0
FLEET = [f"t{number}" for number in range(1000)]
"""As many as reports in a batch: what one batch does to an endpoint is remembered as one."""
ROUNDS = 13
"""Reports of each: 13,000 events, of which 10,000 are remembered (`feeds.RING`), and sockets hold 2,000. Each of two
watchers that read gets 2,000 a second (`streams`), and would not be 10,000 behind when all have come."""
REASON = "\u20ac" * 500
"""Makes an event of 2 kB, so that sockets have room for few of them."""
ASKED = 260
SPECIFICATION = {"link": "https://firmware.example/1.1.0.bin", "notes": "-" * 50_000}
"""The answers to the device that does not read are 13 MB."""
GROWTH_MIB = 128
"""What reports need (see test_slow_disk.py), the remembered events with 1 kB of text each, and sockets' buffers."""
ACCEPTED = 'otao_messages_accepted_total{resource="applied/json"}'


@asynccontextmanager
async def watching(service: Service) -> AsyncIterator[asyncio.StreamReader]:
    """A stream of events, of which is read only what somebody takes from the reader."""
    reader, writer = await opened(urlsplit(service.url).port or 0, SMALL_BYTES)
    writer.write(b"GET /api/v1/applications/kettle/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b" 200 " in await reader.readline()
    try:
        yield reader
    finally:
        writer.transport.abort()


async def _load(broker: Mosquitto) -> None:
    """The fleet reports, with reasons; in between the device that does not read asks for its offer."""
    async with pipelined(broker.port) as pipeline:
        await pipeline.send([(topic("deaf", "applied/json"), b'{"configId":"1.0.0"}')])
        for number in range(ROUNDS):
            report = f'{{"configId":"3.0.{number}","reasonPhrase":"{REASON}"}}'.encode()
            await pipeline.send([(topic(token, "applied/json"), report) for token in FLEET])
            start = number * ASKED // ROUNDS
            asked = range(start, start + ASKED // ROUNDS)
            await pipeline.send([(topic("deaf", f"config/json/{request}"), b"{}") for request in asked])
        await pipeline.answered()


async def _answered(broker: Mosquitto, requests: int) -> None:
    """Another endpoint asks for its offer and is answered, so many times."""
    async with connect(broker, "quick") as client:
        await client.subscribe(topic("quick", "config/json/+/status"), qos=1)
        for number in range(requests):
            await client.publish(topic("quick", f"config/json/{number}"), b"{}", qos=1)
            async with asyncio.timeout(SECONDS):
                answer = await anext(client.messages)
            assert str(answer.topic) == topic("quick", f"config/json/{number}/status")
            assert isinstance(answer.payload, bytes)
            assert b'"configId":"1.1.0"' in answer.payload


async def _under_load(broker: Mosquitto, service: Service) -> None:
    """Answers keep coming while the fleet reports, until all of its reports are stored."""
    wanted = await service.metric(ACCEPTED) + 1 + ROUNDS * len(FLEET)
    async with asyncio.TaskGroup() as group:
        load = group.create_task(_load(broker))
        while not load.done():
            await _answered(broker, 10)

    async def stored() -> bool:
        return await service.metric(ACCEPTED) == wanted

    await eventually(stored, "all reports are stored", 60)


async def test_others_are_answered_and_nothing_is_kept_beside_a_device_and_watchers_that_do_not_read() -> None:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service, AsyncExitStack() as stack:
        await service.define()
        await service.software("1.1.0", ["1.0.0"], specification=SPECIFICATION)
        async with connect(broker, "quick") as client:
            await client.publish(topic("quick", "applied/json"), b'{"configId":"1.0.0"}', qos=1)
        await service.until_running("quick", "1.0.0")
        memory = service.memory_mib()
        await stack.enter_async_context(deaf(broker.port, topic("deaf", "#")))
        watcher, _ = [await stack.enter_async_context(watching(service)) for _ in range(2)]
        await _under_load(broker, service)
        await service.software("4.0.0", [f"3.0.{ROUNDS - 1}"])
        await until_retained(broker, {**dict.fromkeys(FLEET, "4.0.0"), "quick": "1.1.0", "deaf": "1.1.0"})
        assert service.memory_mib("VmHWM") - memory < GROWTH_MIB
        # Whoever reads again is told that it has missed some: they were not kept. The other one reads nothing at all.
        async with asyncio.timeout(SECONDS):
            while await watcher.readline() != b"event: events.dropped\n":
                pass
        begun = time.monotonic()
        assert await service.terminate() == 0
        assert time.monotonic() - begun < STOP_SECONDS
        assert "out of time" not in service.log()
