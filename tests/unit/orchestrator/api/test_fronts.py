"""Before a replica's application: who answers what, and what is passed on to the holder as it came."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from orchestrator.api import server
from orchestrator.api.fronts import Front, open_front
from orchestrator.application.leases import Holder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.api.guards import App

DEADLINE_SECONDS = 10
NOBODY = Holder(replica="nobody", address="127.0.0.1:9")


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[str]:
    """`HOST:PORT` of a server with this application."""
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(app, "127.0.0.1", 0, started=address.set_result))
        yield (await address).removeprefix("http://")
        task.cancel()


@dataclass
class Behind:
    """The application of the holder; keeps what comes."""

    app: FastAPI = field(default_factory=FastAPI)
    seen: list[tuple[str, bytes, bytes, list[tuple[bytes, bytes]], bytes]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    last: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.app.add_api_route("/stream", self.stream)
        self.app.add_api_route("/stuck", self.stuck)
        self.app.add_api_route("/{path:path}", self.echo, methods=["GET", "PUT", "POST", "DELETE"])

    async def echo(self, request: Request) -> Response:
        scope = request.scope
        body = await request.body()
        self.seen.append((request.method, scope["raw_path"], scope["query_string"], scope["headers"], body))
        response = Response(body or b"nothing", 418, media_type="text/odd")
        response.headers.append("Set-Cookie", "a=1")
        response.headers.append("Set-Cookie", "b=2")
        return response

    async def stream(self) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            try:
                yield "first\n"
                await self.last.wait()
                yield "last\n"
            finally:
                self.left.set()

        return StreamingResponse(pieces(), media_type="text/event-stream")

    async def stuck(self) -> None:
        self.left.set()
        await asyncio.Event().wait()


@dataclass
class Scene:
    front: Front
    behind: Behind
    holder: Holder
    client: httpx2.AsyncClient


@asynccontextmanager
async def opened() -> AsyncIterator[Scene]:
    behind = Behind()
    async with (
        open_front("me", lambda: b"numbers 1\n") as front,
        serving(front) as here,
        serving(behind.app) as there,
        httpx2.AsyncClient(base_url=f"http://{here}", trust_env=False) as client,
    ):
        yield Scene(front=front, behind=behind, holder=Holder(replica="it", address=there), client=client)


async def code(answer: httpx2.Response) -> tuple[int, str, str | None]:
    return answer.status_code, json.loads(await answer.aread())["code"], answer.headers.get("retry-after")


async def test_while_nobody_holds_the_lease_only_what_is_about_this_replica_is_answered() -> None:
    async with opened() as scene:
        assert (await scene.client.get("/livez")).json() == {"status": "alive"}
        assert (await scene.client.get("/metrics")).text == "numbers 1\n"
        assert await code(await scene.client.get("/readyz")) == (503, "not-ready", "1")
        assert await code(await scene.client.put("/api/v1/applications/x", json={})) == (503, "no-holder", "1")


async def test_a_request_reaches_the_holder_as_it_came_and_so_does_the_answer() -> None:
    async with opened() as scene:
        scene.front.follow(scene.holder)
        assert (await scene.client.get("/readyz")).json() == {"status": "ready"}
        answer = await scene.client.put(
            "/a%2Fb/%C3%BC?x=%31&x=2",
            content=b'{"n":1.0}',
            headers={"Authorization": "Bearer k", "Host": "ota.example"},
        )
        assert (answer.status_code, answer.content) == (418, b'{"n":1.0}')
        assert answer.headers["content-type"] == "text/odd; charset=utf-8"
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert len(answer.headers.get_list("date")) == 1
        ((method, path, query, fields, body),) = scene.behind.seen
        assert (method, path, query, body) == ("PUT", b"/a%2Fb/%C3%BC", b"x=%31&x=2", b'{"n":1.0}')
        named = dict(fields)
        assert named[b"host"] == b"ota.example"
        assert named[b"authorization"] == b"Bearer k"
        assert named[b"otao-forwarded-by"] == b"me"
        assert len(fields) == len(named)


async def test_a_body_without_a_length_reaches_the_holder_whole() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d\n" % number

    async with opened() as scene:
        scene.front.follow(scene.holder)
        answer = await scene.client.post("/lines", content=pieces())
        assert answer.content == b"".join([piece async for piece in pieces()])


async def test_what_was_passed_on_once_is_not_passed_on_again() -> None:
    async with opened() as scene:
        scene.front.follow(scene.holder)
        answer = await scene.client.get("/x", headers={"Otao-Forwarded-By": "other"})
        assert await code(answer) == (503, "no-holder", "1")
        assert scene.behind.seen == []


async def test_a_holder_that_is_gone_is_as_none() -> None:
    async with opened() as scene:
        scene.front.follow(NOBODY)
        assert await code(await scene.client.get("/x")) == (503, "no-holder", "1")


async def test_this_replicas_own_application_answers_everything_while_it_has_one() -> None:
    async with opened() as scene:
        scene.front.follow(NOBODY)
        scene.front.hold(scene.behind.app)
        assert (await scene.client.get("/livez")).status_code == 418
        scene.front.hold(None)
        assert (await scene.client.get("/livez")).status_code == 200
        assert (await scene.client.get("/x")).status_code == 503


async def test_a_stream_comes_piece_by_piece_and_ends_as_the_holders_does() -> None:
    async with opened() as scene:
        scene.front.follow(scene.holder)
        async with scene.client.stream("GET", "/stream") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "first"
            scene.behind.last.set()
            assert [line async for line in lines] == ["last"]


async def test_the_holder_is_left_by_a_reader_who_leaves() -> None:
    async with opened() as scene:
        scene.front.follow(scene.holder)
        async with scene.client.stream("GET", "/stream") as answer:
            assert await anext(answer.aiter_lines()) == "first"
        await asyncio.wait_for(scene.behind.left.wait(), DEADLINE_SECONDS)


async def test_what_waits_for_a_holder_is_told_when_another_one_follows() -> None:
    async with opened() as scene, asyncio.TaskGroup() as group:
        scene.front.follow(scene.holder)
        asked = group.create_task(scene.client.get("/stuck"))
        await asyncio.wait_for(scene.behind.left.wait(), DEADLINE_SECONDS)
        scene.front.follow(NOBODY)
        assert await code(await asked) == (503, "no-holder", "1")


async def test_an_answer_that_had_begun_is_cut_short_when_another_holder_follows() -> None:
    async with opened() as scene:
        scene.front.follow(scene.holder)
        async with scene.client.stream("GET", "/stream") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "first"
            scene.front.follow(NOBODY)
            with pytest.raises(httpx2.RemoteProtocolError):
                await anext(lines)
