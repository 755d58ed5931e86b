"""The HTTP server: the port that it got, a graceful end, an address that is taken."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import FastAPI

from orchestrator.api import server
from orchestrator.api.server import ListenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEADLINE_SECONDS = 10


@asynccontextmanager
async def serving(app: FastAPI, host: str = "127.0.0.1") -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(app, host, 0, started=address.set_result))
        yield await address, task
        task.cancel()


async def test_it_says_the_address_that_it_got() -> None:
    async with serving(FastAPI()) as (address, _), httpx2.AsyncClient() as client:
        assert not address.endswith(":0")
        response = await client.get(f"{address}/openapi.json")
    assert response.status_code == 200
    assert "server" not in response.headers


async def test_a_request_that_runs_is_answered_before_the_end() -> None:
    app, begun, may_end = FastAPI(), asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        begun.set()
        await may_end.wait()
        return "done"

    async with serving(app) as (address, task), httpx2.AsyncClient() as client, asyncio.TaskGroup() as group:
        asked = group.create_task(client.get(f"{address}/slow"))
        await begun.wait()
        task.cancel()
        may_end.set()
        response = await asked
    assert response.json() == "done"


async def test_it_ends_though_a_request_never_does() -> None:
    app, begun, never = FastAPI(), asyncio.Event(), asyncio.Event()

    @app.get("/stuck")
    async def stuck() -> None:
        begun.set()
        await never.wait()

    async def ask(client: httpx2.AsyncClient, address: str) -> int:
        try:
            return (await client.get(f"{address}/stuck")).status_code
        except httpx2.HTTPError:
            return 0

    async with serving(app) as (address, task), httpx2.AsyncClient() as client, asyncio.TaskGroup() as group:
        group.create_task(ask(client, address))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_an_address_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}: Address already in use"):
            await server.serve(FastAPI(), "127.0.0.1", port, started=lambda _: None)


async def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ListenError, match=r"no-such-host\.invalid"):
        await server.serve(FastAPI(), "no-such-host.invalid", 0, started=lambda _: None)
