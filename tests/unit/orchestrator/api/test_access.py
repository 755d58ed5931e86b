"""Who is let through, as whom, and what the others are told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from fastapi import Request, Response
from structlog.testing import capture_logs

from orchestrator import keys
from orchestrator.api import access
from orchestrator.api.access import Access, Gatekeeper, KeysUnusableError
from orchestrator.api.keyrings import Keyring
from orchestrator.api.sessions import Sessions
from orchestrator.application.ports import StorageError
from orchestrator.keys import Role
from tests.unit.orchestrator.api.scopes import scope_of

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.api.guards import Message, Receive, Scope, Send

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
READ, CHANGE = ("GET", "/api/v1/applications"), ("PUT", "/api/v1/applications/kettle")


@dataclass
class Door:
    """A gatekeeper with its keys; who got in is kept."""

    file: Path
    refusals: int = 0
    inside: list[tuple[str | None, bool]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.passes = iter(range(0, 10**9, 10))
        keyring = Keyring(self.file, lambda: float(next(self.passes)))
        self.access = Access(keyring=keyring, sessions=Sessions(lambda: 0.0), refused=self._refused)
        self.gatekeeper = Gatekeeper(self._app, access=self.access)

    def _refused(self) -> None:
        self.refusals += 1

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = Request(scope).state
        self.inside.append((getattr(state, "key_name", None), state.key_required))
        await Response("in")(scope, receive, send)

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def call(self, method: str, path: str, query: str = "", **headers: str) -> tuple[int, str, dict[str, str]]:
        self.messages.clear()
        await self.gatekeeper(scope_of(method, path, query, **headers), self.receive, self.send)
        status = self.messages[0]["status"]
        answered = {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}
        return status, json.loads(self.messages[1]["body"])["code"] if status >= 400 else "", answered

    async def status(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        status, code, _ = await self.call(method, path, **headers)
        return status, code

    def create(self, name: str, role: Role = Role.OPERATOR) -> str:
        return keys.create(self.file, name, role, NOW)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "keys")


async def test_without_keys_everybody_is_let_in_without_a_name(door: Door) -> None:
    assert await door.status(*CHANGE) == (200, "")
    assert door.inside == [(None, False)]


async def test_a_key_is_let_in_by_its_name(door: Door) -> None:
    door.create("alice")
    bob = door.create("bob")
    assert await door.status(*CHANGE, authorization=f"Bearer {bob}") == (200, "")
    assert await door.status(*CHANGE, authorization=f"bearer  {bob}") == (200, "")
    assert door.inside == [("bob", True)] * 2


async def test_without_a_key_a_program_is_told_what_to_send(door: Door) -> None:
    door.create("alice")
    status, code, headers = await door.call(*READ)
    assert (status, code) == (401, "unauthorized")
    assert headers["www-authenticate"] == 'Bearer realm="otao"'
    assert (door.inside, door.refusals) == ([], 0)


@pytest.mark.parametrize("scheme", ["Bearer ", "Bearer", "Basic ", ""])
async def test_a_wrong_key_is_refused_counted_and_not_repeated(door: Door, scheme: str) -> None:
    wrong = door.create("alice")[:-1]
    with capture_logs() as logs:
        status, code, headers = await door.call(*READ, authorization=f"{scheme}{wrong}")
    assert (status, code) == (401, "unauthorized")
    assert headers["www-authenticate"] == 'Bearer realm="otao", error="invalid_token"'
    assert door.inside == []
    assert door.refusals == (scheme == "Bearer ")
    assert wrong not in str(logs) + str(door.messages)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/login", "/static/page.css"])
async def test_what_needs_no_key_is_open(door: Door, path: str) -> None:
    door.create("alice")
    assert await door.status("GET", path) == (200, "")
    assert door.inside == [(None, True)]


@pytest.mark.parametrize("path", ["/livez/", "/api/v1/openapi.json", "/staticky", "/loginx", "/api/v1/livez"])
async def test_nothing_else_is(door: Door, path: str) -> None:
    door.create("alice")
    status, _ = await door.status("POST", path)
    assert status == 401


async def test_a_viewer_reads_and_changes_nothing(door: Door) -> None:
    header = f"Bearer {door.create('wall', Role.VIEWER)}"
    assert await door.status(*READ, authorization=header) == (200, "")
    assert await door.status("HEAD", READ[1], authorization=header) == (200, "")
    for method in ("PUT", "POST", "PATCH", "DELETE", "BREW"):
        assert await door.status(method, CHANGE[1], authorization=header) == (403, "forbidden")
    assert len(door.inside) == 2


PLAN, CATALOGUE = "/api/v1/applications/kettle/plan", "/api/v1/applications/kettle/catalogue"


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("POST", PLAN, ""),
        ("POST", PLAN, "a=b"),
        ("PUT", CATALOGUE, "dryRun=true"),
        ("PUT", CATALOGUE, "a=b&dryRun=true"),
    ],
)
async def test_a_viewer_may_ask_what_a_change_would_do(door: Door, method: str, path: str, query: str) -> None:
    header = f"Bearer {door.create('wall', Role.VIEWER)}"
    status, _, _ = await door.call(method, path, query, authorization=header)
    assert (status, door.inside) == (200, [("wall", True)])


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("PUT", CATALOGUE, ""),
        ("PUT", CATALOGUE, "dryRun=false"),
        ("PUT", CATALOGUE, "dryRun=true&dryRun=false"),
        ("PUT", CATALOGUE, "dryrun=true"),
        ("PUT", CATALOGUE, "dryRun=1"),
        ("POST", CATALOGUE, "dryRun=true"),
        ("PUT", PLAN, "dryRun=true"),
        ("PUT", "/api/v1/applications/kettle", "dryRun=true"),
        ("PUT", f"{CATALOGUE}/x", "dryRun=true"),
        ("POST", f"{PLAN}/", ""),
        ("POST", f"{PLAN}?x/rollout/abort", ""),
        ("POST", "/api/v1/applications/kettle/software/1.0.0/rollout/plan", ""),
    ],
)
async def test_a_viewer_changes_nothing_by_what_looks_like_a_question(
    door: Door, method: str, path: str, query: str
) -> None:
    header = f"Bearer {door.create('wall', Role.VIEWER)}"
    status, code, _ = await door.call(method, path, query, authorization=header)
    assert (status, code, door.inside) == (403, "forbidden", [])


async def test_a_browser_is_sent_to_the_form_and_comes_back(door: Door) -> None:
    key = door.create("alice")
    status, _, headers = await door.call("GET", "/applications/kettle")
    assert (status, headers["location"]) == (303, "/login?next=/applications/kettle")
    session = door.access.sign_in(key)
    assert session is not None
    assert await door.status("GET", "/applications/kettle", cookie=f"otao_session={session}") == (200, "")
    assert await door.status(*CHANGE, cookie=f"otao_session={session}") == (200, "")
    assert door.inside == [("alice", True)] * 2


async def test_the_way_back_is_one_parameter(door: Door) -> None:
    door.create("alice")
    _, _, headers = await door.call("GET", "//evil.example/a", "b=c&next=d")
    assert headers["location"] == "/login?next=//evil.example/a%3Fb%3Dc%26next%3Dd"


async def test_a_wrong_header_is_refused_beside_a_right_session(door: Door) -> None:
    session = door.access.sign_in(door.create("alice"))
    cookie = f"otao_session={session}"
    assert await door.status(*READ, authorization="Bearer otao_x", cookie=cookie) == (401, "unauthorized")


async def test_a_session_ends_with_its_key(door: Door) -> None:
    session = door.access.sign_in(door.create("alice"))
    door.create("bob")
    keys.revoke(door.file, "alice")
    assert await door.status(*READ, cookie=f"otao_session={session}") == (401, "unauthorized")


async def test_a_session_ends_when_it_is_signed_out_of(door: Door) -> None:
    session = door.access.sign_in(door.create("alice"))
    assert session is not None
    await door.access.sign_out(session)
    assert await door.status(*READ, cookie=f"otao_session={session}") == (401, "unauthorized")


async def test_a_shared_session_that_is_signed_out_of_is_kept_and_one_that_cannot_be_kept_goes_on(door: Door) -> None:
    kept: list[str] = []

    async def keep(session: str, _ends_at: float) -> None:
        if not kept:
            kept.append(session)
            raise StorageError("gone", transient=True)
        kept.append(session)

    door.access.sessions.share("secret")
    keeping = replace(door.access, keep=keep)
    session = keeping.sign_in(door.create("alice"))
    assert session is not None
    with pytest.raises(StorageError):
        await keeping.sign_out(session)
    assert await door.status(*READ, cookie=f"otao_session={session}") != (401, "unauthorized")
    await keeping.sign_out(session)
    assert await door.status(*READ, cookie=f"otao_session={session}") == (401, "unauthorized")
    await keeping.sign_out(session)
    assert kept == [session.rpartition(".")[0]] * 2


async def test_a_wrong_key_begins_no_session(door: Door) -> None:
    door.create("alice")
    assert door.access.sign_in("otao_wrong") is None
    assert door.refusals == 1


async def test_a_broken_file_lets_nobody_in(door: Door) -> None:
    key = door.create("alice")
    session = door.access.sign_in(key)
    door.file.write_text("nonsense")
    assert await door.status(*READ, authorization=f"Bearer {key}") == (503, "api-keys-unusable")
    assert await door.status("GET", "/", cookie=f"otao_session={session}") == (503, "api-keys-unusable")
    assert await door.status("GET", "/livez") == (200, "")
    with pytest.raises(KeysUnusableError):
        door.access.sign_in(key)


async def test_an_answer_without_end_ends_with_its_key(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOOK_SECONDS", 0.01)
    header = f"Bearer {door.create('alice')}"

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        keys.revoke(door.file, "alice")
        assert await receive() == {"type": "http.disconnect"}

    scope = scope_of("GET", READ[1], authorization=header)
    await Gatekeeper(endless, access=door.access)(scope, never, door.send)
    assert [message.get("more_body") for message in door.messages] == [None, True, False]


async def test_an_answer_that_has_ended_is_not_ended_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOOK_SECONDS", 0.01)
    assert await door.status(*READ, authorization=f"Bearer {door.create('alice')}") == (200, "")
    assert len(door.messages) == 2


async def test_what_is_no_request_passes(door: Door) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await Gatekeeper(app, access=door.access)({"type": "lifespan"}, door.receive, door.send)
    assert seen == ["lifespan"]
