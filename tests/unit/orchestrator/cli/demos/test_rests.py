"""Calls of the demonstration, on a server that answers as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.demos.errors import RefusedCallError
from orchestrator.cli.demos.rests import Rest

if TYPE_CHECKING:
    from tests.unit.orchestrator.cli.fake_servers import FakeServer

PATH = "/applications/kettle"


async def test_documents_are_read_and_written(server: FakeServer) -> None:
    server.on("GET /api/v1/applications/kettle", {"name": "kettle"})
    server.on("PUT /api/v1/applications/kettle", {"name": "kettle"}, 201)
    async with Rest(server.url) as rest:
        assert await rest.get(PATH) == {"name": "kettle"}
        assert await rest.put(PATH, {"appVersions": ["v1"]}) == {"name": "kettle"}
    assert server.calls[-1].document == {"appVersions": ["v1"]}


async def test_ready_is_what_answers_200(server: FakeServer) -> None:
    server.on("GET /readyz", None, 503)
    server.on("GET /readyz", None, 200)
    async with Rest(server.url) as rest:
        assert [await rest.is_ready(), await rest.is_ready()] == [False, True]
    async with Rest("http://127.0.0.1:9") as nobody:
        assert not await nobody.is_ready()


async def test_a_refusal_names_the_call_and_the_answer(server: FakeServer) -> None:
    server.refuse("PUT /api/v1/applications/kettle", 409, "app-version-taken", "another has it")
    async with Rest(server.url) as rest:
        with pytest.raises(RefusedCallError, match=r"PUT /applications/kettle: 409 .*another has it"):
            await rest.put(PATH, {})
        server.on("GET /api/v1/applications/list", [])
        with pytest.raises(RefusedCallError, match="no object"):
            await rest.get("/applications/list")
    async with Rest("http://127.0.0.1:9") as nobody:
        with pytest.raises(RefusedCallError, match="GET /applications/kettle: no answer"):
            await nobody.get(PATH)
