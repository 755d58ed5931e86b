"""A plan of a real service looks at links, where it is allowed to."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.brokers import Mosquitto
from tests.services import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

IMAGE = b"firmware"


@asynccontextmanager
async def images() -> AsyncIterator[str]:
    """Serve one image, and nothing else."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = head.startswith(b"GET /image ")
        writer.write(b"HTTP/1.1 200 OK\r\n" if found else b"HTTP/1.1 404 Not Found\r\n")
        writer.write(b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (len(IMAGE) if found else 0))
        writer.write(IMAGE if found else b"")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def warnings(service: Service, link: str) -> list[str]:
    specification: dict[str, Any] = {"link": link, "sha256": hashlib.sha256(IMAGE).hexdigest(), "size": len(IMAGE)}
    software = {"version": "1.0.0", "upgradableFrom": ["*"], "rolloutStrategy": "general"}
    body = {"software": {**software, "specification": specification}, "checkLinks": True}
    answer = await service.put("/applications/kettle/plan", body, method="POST")
    found: list[str] = answer["warnings"]
    return found


async def test_links_are_looked_at_where_it_is_allowed() -> None:
    async with (
        images() as base,
        Mosquitto(tokens=[]) as broker,
        Service(broker, OTAO_LINK_CHECK_ALLOW="127.0.0.0/8") as service,
    ):
        assert await warnings(service, f"{base}/image") == []
        assert await warnings(service, f"{base}/other") == ["1.0.0: its link answers 404"]


async def test_links_into_the_own_network_are_refused() -> None:
    async with images() as base, Mosquitto(tokens=[]) as broker, Service(broker) as service:
        (refused,) = await warnings(service, f"{base}/image")
    assert "127.0.0.1, which is no public address" in refused
