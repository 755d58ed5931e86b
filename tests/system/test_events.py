"""The stream of events, of a real service on a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.brokers import Mosquitto
from tests.services import SECONDS, Service, eventually
from tests.system.wires import open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.system.wires import Wire

# A decoded event, which tests index as they please.
Json = Any


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def wire() -> AsyncIterator[Wire]:
    async with open_wire() as opened:
        yield opened


@dataclass
class Stream:
    """One open stream, read event by event."""

    lines: AsyncIterator[str]
    last_id: str = ""
    seen: list[Json] = field(default_factory=list)
    ended: bool = False

    async def until(self, kind: str, **data: object) -> Json:
        """Read up to an event of a type whose data has these members."""
        async with asyncio.timeout(SECONDS):
            while True:
                event = await self.next()
                if event["type"] == kind and data.items() <= event["data"].items():
                    return event

    async def next(self) -> Json:
        fields: dict[str, str] = {}
        async for line in self.lines:
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                event = json.loads(fields["data"])
                assert fields["event"] == event["type"]
                self.last_id = fields["id"]
                self.seen.append(event)
                return event
        self.ended = True
        raise EOFError


@asynccontextmanager
async def stream(service: Service, name: str, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    path = f"/api/v1/applications/{name}/events{query}"
    async with service.client() as client, client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        yield Stream(lines=response.aiter_lines())


async def bare_stream(service: Service, path: str) -> asyncio.StreamWriter:
    """A stream on a bare connection, read up to its first event; a client for each of 200 takes half a minute."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(SECONDS):
        await reader.readuntil(b"event: summary")
    return writer


async def test_a_stream_begins_with_the_numbers_and_tells_an_endpoint_s_whole_update(wire: Wire) -> None:
    application = await wire.application()
    await application.software("1.1.0", "1.0.0")
    async with stream(wire.service, application.name) as events, application.device() as device:
        first = await events.next()
        assert (first["type"], first["data"]["endpoints"]) == ("summary", 0)
        await device.report("1.0.0")
        await events.until("endpoint.registered", endpointId="dev")
        await events.until("endpoint.offered", version="1.1.0")
        await device.report("1.1.0")
        event = await events.until("endpoint.confirmed", version="1.1.0")
        await events.until("summary", byVersion={"1.1.0": 1})
    assert event["source"] == f"/applications/{application.name}"
    assert event["subject"] == "endpoints/dev"
    ids = [item["id"] for item in events.seen]
    assert len(set(ids)) == len(ids)
    assert [item["type"] for item in events.seen if item["type"] == "endpoint.reported"] == ["endpoint.reported"] * 2


async def test_operators_changes_and_what_follows_from_them_are_told(wire: Wire) -> None:
    application = await wire.application()
    async with application.device() as device:
        await device.report("1.0.0")
    async with stream(wire.service, application.name, "?types=software.*,offers.changed,freeze.*") as events:
        await application.software("1.1.0", "1.0.0", specification='{"link":"https://user:secret@firmware.example/"}')
        put = await events.until("software.put", version="1.1.0")
        await events.until("offers.changed", offered={"1.1.0": 1})
        await application.send("POST", "/freeze", {"reason": "leaks"})
        await events.until("freeze.set", reason="leaks")
        await events.until("offers.changed", withdrawn={"1.1.0": 1})
    assert put["subject"] == "software/1.1.0"
    assert put["data"] == {"version": "1.1.0", "actor": "anonymous", "via": "rest", "reason": None}
    assert "secret" not in json.dumps(events.seen)
    assert {item["type"] for item in events.seen} == {"software.put", "freeze.set", "offers.changed"}


async def test_a_stream_goes_on_where_another_ended(wire: Wire) -> None:
    application = await wire.application()
    async with application.device() as device:
        async with stream(wire.service, application.name, "?types=endpoint.*") as events:
            await device.report("1.0.0")
            await events.until("endpoint.reported", version="1.0.0")
        for version in ("1.1.0", "1.2.0", "1.3.0"):
            await device.report(version)
        again = {"last-event-id": events.last_id}
        async with stream(wire.service, application.name, "?types=endpoint.*", **again) as resumed:
            await resumed.until("endpoint.reported", version="1.3.0")
    assert [item["data"]["version"] for item in resumed.seen] == ["1.1.0", "1.2.0", "1.3.0"]


async def test_who_comes_back_from_before_the_service_s_memory_is_told_that_something_is_missing(wire: Wire) -> None:
    application = await wire.application()
    async with stream(wire.service, application.name, "?types=software.*", **{"last-event-id": "17"}) as events:
        dropped = await events.next()
        assert (dropped["type"], dropped["data"]) == ("events.dropped", {"count": None})
        await application.software("1.1.0", "1.0.0")
        await events.until("software.put")


async def test_a_stream_ends_with_its_application(wire: Wire) -> None:
    application = await wire.application()
    async with stream(wire.service, application.name) as events:
        await application.send("DELETE", "")
        await events.until("application.delete")
        async with asyncio.timeout(SECONDS):
            assert [line async for line in events.lines if line] == []


async def test_bad_requests_for_a_stream_are_problems(wire: Wire) -> None:
    application = await wire.application()
    url = f"/api/v1/applications/{application.name}/events"
    assert (await wire.http.get("/api/v1/applications/nobody/events")).json()["code"] == "application-not-found"
    assert (await wire.http.get(f"{url}?types=rubbish")).json()["code"] == "parameter-invalid"
    assert (await wire.http.get(url, headers={"last-event-id": "x"})).json()["code"] == "parameter-invalid"
    assert (await wire.http.post(url)).status_code == 405


async def test_only_so_many_streams_are_open_at_once_and_a_closed_one_makes_room(wire: Wire) -> None:
    application = await wire.application()
    url = f"/api/v1/applications/{application.name}/events"
    opened = [await bare_stream(wire.service, url) for _ in range(200)]
    async with wire.http.stream("GET", url) as refused:
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert json.loads(await refused.aread())["code"] == "too-many-streams"
    opened.pop().close()

    async def room() -> bool:
        async with wire.http.stream("GET", url) as response:
            return response.status_code == 200

    await eventually(room, "a stream that was closed makes room")
    for writer in opened:
        writer.close()


async def test_the_service_stops_in_time_although_streams_are_open() -> None:
    async with Mosquitto() as broker, Service(broker) as service:
        await service.define()
        async with stream(service, "kettle") as events:
            await events.next()
            started = time.monotonic()
            assert await service.terminate() == 0
            assert time.monotonic() - started < 5
            async with asyncio.timeout(SECONDS):
                assert [line async for line in events.lines if line] == []
        assert "request-failed" not in service.log()


async def test_a_rollout_is_told_of_as_it_gets_on(wire: Wire) -> None:
    application = await wire.application()
    await application.software("1.1.0", "1.0.0", rollout={"stages": [{"percent": 100, "minAttempted": 1}]})
    async with application.device() as device, stream(wire.service, application.name, "?types=rollout.*") as events:
        await device.report("1.0.0")
        begun = await events.until("rollout.progress", version="1.1.0")
        assert begun["subject"] == "software/1.1.0/rollout"
        await device.report("1.1.0")
        finished = await events.until("rollout.finish", version="1.1.0")
        assert (finished["data"]["actor"], finished["data"]["via"]) == ("otao", "engine")
        told = await events.until("rollout.progress", state="finished")
        assert told["data"]["stages"][0]["confirmed"] == 1
