"""Knocking at a broker that is a script on loopback."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from device_sim import addresses, packets
from device_sim.brokers import open_broker
from device_sim.carriers import Identity
from device_sim.errors import BrokerRefusedError, BrokerUnreachableError
from tests.brokers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from device_sim.brokers import Broker

IDENTITY = Identity(client_id="a", username=None, password=None, keep_alive=60)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[Broker, asyncio.Queue[bytes]]]:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.read(100))
        writer.write(answer)
        if answer:
            heard.put_nowait(await reader.read())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield await open_broker(addresses.parse(f"mqtt://localhost:{port}")), heard


async def test_a_broker_that_lets_us_in_is_left_again() -> None:
    async with answering(b"\x20\x02\x00\x00") as (broker, heard):
        await broker.knock(IDENTITY)
        async with asyncio.timeout(5):
            assert await heard.get() == packets.connect("a", 60)
            assert await heard.get() == packets.DISCONNECT


@pytest.mark.parametrize(
    ("code", "reason"), [(4, "user name or password is wrong"), (5, "not authorized"), (9, "code 9")]
)
async def test_a_refusal_says_why(code: int, reason: str) -> None:
    async with answering(bytes((0x20, 2, 0, code))) as (broker, _):
        with pytest.raises(BrokerRefusedError, match=reason):
            await broker.knock(IDENTITY)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_is_no_broker_cannot_be_reached(answer: bytes) -> None:
    async with answering(answer) as (broker, _):
        with pytest.raises(BrokerUnreachableError) as caught:
            await broker.knock(IDENTITY)
    assert caught.value.transient


async def test_nobody_there_cannot_be_reached() -> None:
    broker = await open_broker(addresses.parse(f"mqtt://127.0.0.1:{free_port()}"))
    with pytest.raises(BrokerUnreachableError, match="cannot be reached"):
        await broker.knock(IDENTITY)


async def test_a_name_without_an_address_cannot_be_reached() -> None:
    with pytest.raises(BrokerUnreachableError):
        await open_broker(addresses.parse("mqtt://nobody.invalid"))
