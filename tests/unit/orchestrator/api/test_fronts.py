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
from orchestrator.api.fronts import Front, Local, open_front
from orchestrator.application import partitions
from orchestrator.application.leases import Holder
from orchestrator.application.partitions import MAIN
from tests.contract.deadlines import eventually
from tests.parts import Known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.api.guards import App, Receive, Scope, Send

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
        scene.front.follow({MAIN: scene.holder})
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
        scene.front.follow({MAIN: scene.holder})
        answer = await scene.client.post("/lines", content=pieces())
        assert answer.content == b"".join([piece async for piece in pieces()])


async def test_what_was_passed_on_once_is_not_passed_on_again() -> None:
    async with opened() as scene:
        scene.front.follow({MAIN: scene.holder})
        answer = await scene.client.get("/x", headers={"Otao-Forwarded-By": "other"})
        assert await code(answer) == (503, "no-holder", "1")
        assert scene.behind.seen == []


async def test_a_holder_that_is_gone_is_as_none() -> None:
    async with opened() as scene:
        scene.front.follow({MAIN: NOBODY})
        assert await code(await scene.client.get("/x")) == (503, "no-holder", "1")


async def test_this_replicas_own_application_answers_everything_while_it_has_one() -> None:
    async with opened() as scene:
        scene.front.follow({MAIN: NOBODY})
        scene.front.hold(MAIN, Local(app=scene.behind.app))
        assert (await scene.client.get("/livez")).status_code == 418
        scene.front.hold(MAIN, None)
        assert (await scene.client.get("/livez")).status_code == 200
        assert (await scene.client.get("/x")).status_code == 503


async def test_a_stream_comes_piece_by_piece_and_ends_as_the_holders_does() -> None:
    async with opened() as scene:
        scene.front.follow({MAIN: scene.holder})
        async with scene.client.stream("GET", "/stream") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "first"
            scene.behind.last.set()
            assert [line async for line in lines] == ["last"]


async def test_the_holder_is_left_by_a_reader_who_leaves() -> None:
    async with opened() as scene:
        scene.front.follow({MAIN: scene.holder})
        async with scene.client.stream("GET", "/stream") as answer:
            assert await anext(answer.aiter_lines()) == "first"
        await asyncio.wait_for(scene.behind.left.wait(), DEADLINE_SECONDS)


async def test_what_waits_for_a_holder_is_told_when_another_one_follows() -> None:
    async with opened() as scene, asyncio.TaskGroup() as group:
        scene.front.follow({MAIN: scene.holder})
        asked = group.create_task(scene.client.get("/stuck"))
        await asyncio.wait_for(scene.behind.left.wait(), DEADLINE_SECONDS)
        scene.front.follow({MAIN: NOBODY})
        assert await code(await asked) == (503, "no-holder", "1")


async def test_an_answer_that_had_begun_is_cut_short_when_another_holder_follows() -> None:
    async with opened() as scene:
        scene.front.follow({MAIN: scene.holder})
        async with scene.client.stream("GET", "/stream") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "first"
            scene.front.follow({MAIN: NOBODY})
            with pytest.raises(httpx2.RemoteProtocolError):
                await anext(lines)


@dataclass
class Shared:
    """A replica that holds the second of three partitions; another one has `main`, and nobody the third."""

    front: Front
    here: Behind
    there: Behind
    known: Known
    client: httpx2.AsyncClient
    holder: Holder


@asynccontextmanager
async def sharing() -> AsyncIterator[Shared]:
    here, there, known = Behind(), Behind(), Known({"kettle": "main", "toaster": "p2"})
    async with (
        open_front("me", lambda: b"numbers 1\n", partitions=partitions.names(3), locations=known) as front,
        serving(front) as address,
        serving(there.app) as elsewhere,
        httpx2.AsyncClient(base_url=f"http://{address}", trust_env=False) as client,
    ):
        holder = Holder(replica="it", address=elsewhere)
        front.hold("p2", Local(app=here.app, has=lambda name: name == "toaster"))
        front.follow({"main": holder})
        yield Shared(front=front, here=here, there=there, known=known, client=client, holder=holder)


async def test_what_is_about_an_application_goes_to_the_holder_of_its_partition() -> None:
    async with sharing() as scene:
        for path in ("/api/v1/applications/toaster/software", "/applications/toaster"):
            assert (await scene.client.get(path)).status_code == 418
        assert (len(scene.here.seen), scene.known.asked) == (2, [])
        assert (await scene.client.get("/api/v1/applications/kettle")).status_code == 418
        ((_, came, _, fields, _),) = scene.there.seen
        assert (came, dict(fields)[b"otao-partition"]) == (b"/api/v1/applications/kettle", b"main")


async def test_an_application_that_is_not_there_yet_goes_to_the_partition_with_the_fewest() -> None:
    async with sharing() as scene:
        assert await code(await scene.client.put("/api/v1/applications/lamp", json={})) == (503, "no-holder", "1")
        scene.known.places |= {"a": "p3", "b": "p3", "c": "main"}
        assert (await scene.client.put("/api/v1/applications/lamp", json={})).status_code == 418
        assert len(scene.here.seen) == 1


async def test_what_was_passed_on_goes_to_the_partition_that_it_names_and_no_further() -> None:
    async with sharing() as scene:
        marks = {"Otao-Forwarded-By": "it", "Otao-Partition": "p2"}
        assert (await scene.client.get("/api/v1/applications", headers=marks)).status_code == 418
        for partition in ("main", "p3", "p4"):
            answer = await scene.client.get("/api/v1/freeze", headers=marks | {"Otao-Partition": partition})
            assert await code(answer) == (503, "no-holder", "1")
        assert scene.there.seen == []


async def test_what_is_about_no_application_is_answered_by_anybody_and_first_here() -> None:
    async with sharing() as scene:
        assert (await scene.client.get("/api/v1/openapi.json")).status_code == 418
        scene.front.hold("p2", None)
        assert (await scene.client.get("/api/v1/openapi.json")).status_code == 418
        assert (len(scene.here.seen), len(scene.there.seen)) == (1, 1)


async def test_what_is_about_all_is_asked_of_every_partition_and_refused_while_nobody_holds_one() -> None:
    async with sharing() as scene:
        answer = await scene.client.post(
            "/api/v1/freeze", json={"reason": "fire"}, headers={"Authorization": "Bearer k"}
        )
        assert await code(answer) == (503, "no-holder", "1")
        # Those that are held were asked nevertheless.
        for behind in (scene.here, scene.there):
            ((method, path, _, fields, body),) = behind.seen
            assert (method, path, json.loads(body)) == ("POST", b"/api/v1/freeze", {"reason": "fire"})
            assert dict(fields)[b"authorization"] == b"Bearer k"
        scene.front.follow({"main": scene.holder, "p3": scene.holder})
        assert (await scene.client.get("/api/v1/freeze")).status_code == 418


async def test_a_replica_is_ready_when_what_it_holds_is_and_somebody_holds_the_rest() -> None:
    async with sharing() as scene:
        assert await code(await scene.client.get("/readyz")) == (503, "not-ready", "1")
        scene.front.follow({"main": scene.holder, "p3": scene.holder})
        assert (await scene.client.get("/readyz")).json() == {"status": "ready"}
        assert (await scene.client.get("/metrics")).text == "numbers 1\n"
        scene.front.hold("p2", Local(app=scene.here.app, unready=lambda: "no broker"))
        assert await code(await scene.client.get("/readyz")) == (503, "not-ready", "1")


async def test_a_partition_that_is_handed_over_waits_for_what_is_being_answered() -> None:
    async with sharing() as scene, asyncio.TaskGroup() as group:
        # It is about no application, so it is answered here.
        asked = group.create_task(scene.client.get("/stream"))
        await eventually(lambda: bool(scene.front.local["p2"].answering), "it has come")
        draining = group.create_task(scene.front.drained("p2"))
        await eventually(lambda: "p2" not in scene.front.local, "nothing more is let in")
        assert await code(await scene.client.get("/applications/toaster")) == (503, "no-holder", "1")
        assert not draining.done()
        scene.here.last.set()
        assert (await asked).text == "first\nlast\n"
        await asyncio.wait_for(draining, DEADLINE_SECONDS)


async def test_a_partition_that_is_handed_over_waits_for_what_was_asked_of_all() -> None:
    async with sharing() as scene, asyncio.TaskGroup() as group:
        scene.front.follow({"main": scene.holder, "p3": scene.holder})
        begun, may_answer = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            begun.set()
            await may_answer.wait()
            await scene.here.app(scope, receive, send)

        scene.front.hold("p2", Local(app=slow))
        asked = group.create_task(scene.client.post("/api/v1/freeze", json={"reason": "fire"}))
        await asyncio.wait_for(begun.wait(), DEADLINE_SECONDS)
        draining = group.create_task(scene.front.drained("p2"))
        await eventually(lambda: "p2" not in scene.front.local, "nothing more is let in")
        assert not draining.done()
        may_answer.set()
        assert (await asked).status_code == 418
        await asyncio.wait_for(draining, DEADLINE_SECONDS)
        assert len(scene.here.seen) == 1


async def test_while_nobody_can_say_where_an_application_is_the_caller_is_told_to_try_again() -> None:
    async with sharing() as scene:
        scene.known.misses = 1
        answer = await scene.client.get("/api/v1/applications/lamp")
        assert await code(answer) == (503, "storage-error", "1")
