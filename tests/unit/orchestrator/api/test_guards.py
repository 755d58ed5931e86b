"""What stands around every request: foreign pages, foreign names, errors that nobody foresaw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fastapi import Response

from orchestrator.api.guards import Guard
from tests.unit.orchestrator.api.scopes import scope_of

if TYPE_CHECKING:
    from orchestrator.api.guards import App, Message, Receive, Scope, Send


class Caller:
    """Sends one request through a guard and keeps what comes back."""

    def __init__(self, app: App, *hosts: str) -> None:
        self.failures = 0
        self.messages: list[Message] = []
        self.guard = Guard(app, failed=self._failed, hosts=hosts)

    def _failed(self) -> None:
        self.failures += 1

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def call(self, method: str = "GET", *, host: str = "127.0.0.1:8080", **headers: str) -> tuple[int, str]:
        await self.guard(scope_of(method, host=host, **headers), self.receive, self.send)
        body = b"".join(message.get("body", b"") for message in self.messages)
        status = self.messages[0]["status"]
        return status, json.loads(body)["code"] if status >= 400 else ""


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("fine")(scope, receive, send)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


async def broken_half_way(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "ota.example.org", "10.0.0.1"]
)
async def test_addresses_and_names_that_were_set_up_are_known(host: str) -> None:
    assert await Caller(fine, "ota.example.org").call(host=host) == (200, "")


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a@b", "[x]", "[::1"]
)
async def test_a_name_that_a_page_may_have_had_resolved_to_us_is_refused(host: str) -> None:
    assert await Caller(fine, "ota.example.org").call(host=host) == (421, "host-unknown")


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
async def test_pages_of_other_sites_change_nothing(method: str, headers: dict[str, str]) -> None:
    assert await Caller(broken).call(method, **headers) == (403, "cross-site")


@pytest.mark.parametrize(
    "headers", [{}, {"sec_fetch_site": "same-origin"}, {"sec_fetch_site": "none"}, {"origin": "http://127.0.0.1:8080"}]
)
async def test_own_pages_and_programs_may_change_things(headers: dict[str, str]) -> None:
    assert await Caller(fine).call("PUT", **headers) == (200, "")


async def test_reading_is_left_to_the_browser() -> None:
    assert await Caller(fine).call("GET", sec_fetch_site="cross-site") == (200, "")


async def test_an_error_that_nobody_foresaw_is_a_problem_and_counted() -> None:
    caller = Caller(broken)
    assert await caller.call() == (500, "internal-error")
    assert caller.failures == 1


async def test_an_error_in_mid_answer_is_counted_and_ends_the_connection() -> None:
    caller = Caller(broken_half_way)
    with pytest.raises(ZeroDivisionError):
        await caller.call()
    assert caller.failures == 1


async def test_what_is_no_request_passes() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    caller = Caller(app)
    await caller.guard({"type": "lifespan"}, caller.receive, caller.send)
    assert seen == ["lifespan"]
