"""`otao watch`: lines in a pipe, and a stream that was lost is gone on with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli import watching
from tests.brokers import free_port
from tests.unit.orchestrator.cli.fake_servers import APP, FakeServer

if TYPE_CHECKING:
    from click.testing import Result

EVENTS = f"GET {APP}/events"


def event(number: int, kind: str, **data: object) -> bytes:
    document = {"type": kind, "subject": "endpoints/e1", "time": f"t{number}", "data": data}
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(document)}\n\n".encode()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(watching, "pause", waited.append)
    return waited


def watch(server: FakeServer, *words: str) -> Result:
    return server.run("watch", "-a", "kettle", *words)


def test_a_lost_stream_is_gone_on_with_where_it_ended(server: FakeServer, waits: list[float]) -> None:
    server.on(EVENTS, b"retry: 100\n\n" + event(7, "endpoint.failed", reason="no room"))
    server.on(EVENTS, {"code": "not-ready", "detail": "it starts", "status": 503}, 503)
    server.on(EVENTS, event(8, "application.delete", actor="alice"))
    result = watch(server)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "t7\tendpoint.failed\tendpoints/e1\treason=no room",
        "t8\tapplication.delete\tendpoints/e1\tactor=alice",
    ]
    assert [call.headers.get("last-event-id") for call in server.calls] == [None, "7", "7"]
    assert waits == [0.1, 0.1]
    assert result.stderr.count("trying again") == 2


def test_json_is_the_servers_events(server: FakeServer) -> None:
    server.on(f"{EVENTS}?types=application.%2A", event(8, "application.delete"))
    result = watch(server, "--json", "--types", "application.*")
    assert json.loads(result.stdout)["type"] == "application.delete"


def test_a_refusal_ends_with_2(server: FakeServer) -> None:
    server.refuse(EVENTS, 404, "application-not-found", "there is no application")
    assert watch(server).exit_code == 2


def test_a_server_that_fails_at_first_ends_with_1(server: FakeServer) -> None:
    server.refuse(EVENTS, 503, "too-many-streams", "there are too many")
    assert watch(server).exit_code == 1


def test_a_server_that_is_not_there_at_first_ends_with_4() -> None:
    assert watch(FakeServer(url=f"http://127.0.0.1:{free_port()}")).exit_code == 4
