"""The client of the REST interface: what it sends, how refusals end, what it does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.cli import clients
from orchestrator.cli.clients import Client, ProblemError, RacedError
from orchestrator.cli.endings import Ending, FailedError, RefusedError, UnreachableError
from tests.brokers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.orchestrator.cli.fake_servers import FakeServer

THING = "/api/v1/things/one"


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.url, key="otao_secret", reason="because of ❄") as opened:
        yield opened


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://host:70000",
        "http://host/?x=1",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(RefusedError, match="must be http"):
        Client(address)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(RefusedError) as caught:
        Client("http://me:hidden@host:8080")
    assert "hidden" not in str(caught.value)


def test_the_key_goes_along_and_reasons_with_changes_only(server: FakeServer, client: Client) -> None:
    server.on(f"GET {THING}", {})
    server.on(f"POST {THING}", {})
    client.get("/things/one")
    client.call("POST", "/things/one", {"a": "ä"})
    read, changed = server.calls
    assert read.headers["authorization"] == changed.headers["authorization"] == "Bearer otao_secret"
    assert "otao-reason" not in read.headers
    assert changed.headers["otao-reason"].encode("latin-1").decode() == "because of ❄"
    assert changed.headers["content-type"] == "application/json"
    assert changed.document == {"a": "ä"}


def test_parameters_that_are_none_are_left_out(server: FakeServer, client: Client) -> None:
    server.on(f"GET {THING}", {})
    client.get("/things/one", version="1.0.0+a b", filter=None)
    assert server.lines == [f"GET {THING}?version=1.0.0%2Ba+b"]


def test_a_put_sends_the_tag_of_what_is_there(server: FakeServer, client: Client) -> None:
    server.on(f"GET {THING}", {}, etag='"7"')
    server.on(f"PUT {THING}", {})
    assert not client.put("/things/one", {}).created
    assert server.calls[-1].headers["if-match"] == '"7"'


def test_a_put_of_what_is_not_there_only_creates(server: FakeServer, client: Client) -> None:
    server.on(f"PUT {THING}", {}, 201)
    assert client.put("/things/one", {}).created
    assert server.calls[-1].headers["if-none-match"] == "*"


def test_a_tag_that_is_given_is_sent_without_a_look(server: FakeServer, client: Client) -> None:
    server.on(f"PUT {THING}", {})
    server.on(f"DELETE {THING}", None, 204)
    client.put("/things/one", {}, if_match='"3"')
    client.delete("/things/one", if_match="*")
    assert [(call.method, call.headers["if-match"]) for call in server.calls] == [("PUT", '"3"'), ("DELETE", "*")]


def test_nothing_is_deleted_that_is_not_there(server: FakeServer, client: Client) -> None:
    with pytest.raises(ProblemError):
        client.delete("/things/one")
    assert server.changes() == []


@pytest.mark.parametrize("status", [412, 428])
def test_an_edit_that_comes_second_says_so(server: FakeServer, client: Client, status: int) -> None:
    server.on(f"GET {THING}", {}, etag='"7"')
    server.refuse(f"PUT {THING}", status, "precondition-failed", "it has another tag")
    with pytest.raises(RacedError, match="somebody else changed it") as caught:
        client.put("/things/one", {})
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("status", "exit_code"), [(400, 2), (401, 2), (403, 2), (404, 2), (409, 2), (422, 2), (500, 1), (503, 1)]
)
def test_a_problem_is_shown_with_its_code(server: FakeServer, client: Client, status: int, exit_code: int) -> None:
    server.refuse(f"GET {THING}", status, "some-code", "so it is")
    with pytest.raises(Ending) as caught:
        client.get("/things/one")
    assert (caught.value.exit_code, caught.value.message) == (exit_code, "so it is (some-code)")


@pytest.mark.parametrize("status", [302, 404, 502])
def test_what_is_not_otao_is_named_so(server: FakeServer, client: Client, status: int) -> None:
    server.on(f"GET {THING}", b"<html>", status, location="http://127.0.0.1:1/")
    with pytest.raises(FailedError, match=f"status {status}"):
        client.get("/things/one")
    assert len(server.calls) == 1


def test_an_answer_that_is_no_json_is_named_so(server: FakeServer, client: Client) -> None:
    server.on(f"GET {THING}", b"<html>")
    with pytest.raises(FailedError, match="no JSON"):
        _ = client.get("/things/one").document


def test_nobody_listening_is_not_reached() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(UnreachableError, match="OTAO_SERVER") as caught,
    ):
        client.get("/things")
    assert caught.value.exit_code == 4


def test_a_proxy_is_not_asked_for_this_machine(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.on(f"GET {THING}", {})
    with Client(server.url) as client:
        assert client.get("/things/one").status == 200


def test_a_list_is_read_to_its_end_or_its_limit(server: FakeServer, client: Client) -> None:
    def part(first: int, count: int, cursor: str | None) -> object:
        return {"items": [{"n": n} for n in range(first, first + count)], "next": cursor}

    server.on("GET /api/v1/things?limit=500", part(0, 500, "c1"))
    server.on("GET /api/v1/things?limit=500&cursor=c1", part(500, 20, None))
    server.on("GET /api/v1/things?limit=200&cursor=c1", part(500, 20, "c2"))
    server.on("GET /api/v1/things?limit=180&cursor=c2", part(520, 180, "c3"))
    assert [len(str(answer.document["items"])) > 0 for answer in client.pages("/things")] == [True, True]
    server.calls.clear()
    *_, last = client.pages("/things", 700)
    assert last.document["next"] == "c3"
    assert len(server.calls) == 3


def test_parts_of_a_path_are_quoted() -> None:
    assert clients.path("software", "1.0.0+a/b c") == "/software/1.0.0%2Ba%2Fb%20c"


def test_a_stream_is_read_by_pieces_and_refused_as_any_call(server: FakeServer, client: Client) -> None:
    server.on(f"GET {THING}", b"data: 1\n\n")
    with client.stream("/things/one", headers={"last-event-id": "9"}, seconds=5) as pieces:
        assert b"".join(pieces) == b"data: 1\n\n"
    assert server.calls[0].headers["last-event-id"] == "9"
    server.refuse(f"GET {THING}/no", 503, "too-many-streams", "there are too many")
    with pytest.raises(FailedError, match="too-many-streams"), client.stream("/things/one/no", headers={}, seconds=5):
        pass
