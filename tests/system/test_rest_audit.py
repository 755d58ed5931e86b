"""REST: every operation that writes leaves an entry in the audit, with who did it and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator import keys
from orchestrator.api.access import Access
from orchestrator.api.keyrings import Keyring
from orchestrator.api.sessions import Sessions
from orchestrator.keys import Role
from tests.system.rests import KETTLE, open_rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.system.rests import Json, Rest

APP = "/api/v1/applications/{app}"
SOFTWARE, ROLLOUT = f"{APP}/software/{{version}}", f"{APP}/software/{{version}}/rollout"
FILTER, ENDPOINT = f"{APP}/filters/{{filter_id}}", f"{APP}/endpoints/{{endpoint_id}}"
WRITES_NOTHING = {("post", f"{APP}/plan")}
BODY = {"rolloutStrategy": "general", "upgradableFrom": ["1.0.0"], "specification": {"link": "https://example.org/1"}}
STAGES = {
    "stages": [{"percent": 50, "soak": "PT1H", "approval": "manual"}, {"percent": 100, "soak": "PT1H"}],
    "attempts": {"max": 1},
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an operator, and what the audit calls it."""

    method: str
    path: str
    action: str
    body: object = None
    failing: bool = False
    """Whether kettle-7 fails its offer first."""
    version: str = "1.1.0"

    @property
    def url(self) -> str:
        """The path with names in it."""
        return self.path.format(app="smart-kettle", version=self.version, filter_id="canary", endpoint_id="kettle-7")


STORY = [
    Call("put", APP, "application.put", {"appVersions": ["smart-kettle-v1"]}),
    Call("put", FILTER, "filter.put", {"expression": "attributes.ring == 1"}),
    Call("put", SOFTWARE, "software.put", BODY),
    Call("put", SOFTWARE, "software.put", BODY, version="3.0.0"),
    Call("patch", SOFTWARE, "software.patch", {"rollout": STAGES}),
    Call("put", ENDPOINT, "endpoint.put", {"attributes": {"ring": 1}}),
    Call("post", f"{APP}/endpoints", "endpoint.import", {"endpointId": "kettle-7", "attributes": {"ring": 2}}),
    Call("patch", ENDPOINT, "endpoint.patch", {"pinned": "1.1.0"}),
    Call("post", f"{ENDPOINT}/consent", "endpoint.consent", {"version": "1.1.0"}),
    Call("post", f"{ENDPOINT}/retry", "endpoint.retry", {}, failing=True),
    Call("post", f"{ENDPOINT}/token", "endpoint.token", {"state": "suspended"}),
    Call("post", f"{ROLLOUT}/pause", "rollout.pause"),
    Call("post", f"{ROLLOUT}/resume", "rollout.resume"),
    Call("post", f"{ROLLOUT}/approve", "rollout.approve", {}),
    Call("post", f"{ROLLOUT}/abort", "rollout.abort"),
    Call("post", f"{SOFTWARE}/recall", "software.recall", {}),
    Call("post", f"{APP}/freeze", "freeze.set", {}),
    Call("delete", f"{APP}/freeze", "freeze.lift"),
    Call("post", "/api/v1/freeze", "freeze.set", {}),
    Call("delete", "/api/v1/freeze", "freeze.lift"),
    Call("put", f"{APP}/catalogue", "application.put", {"appVersions": ["smart-kettle-v1"], "registration": "open"}),
    Call("delete", ENDPOINT, "endpoint.delete"),
    # What was recalled stays.
    Call("delete", SOFTWARE, "software.delete", version="3.0.0"),
    Call("delete", FILTER, "filter.delete"),
    Call("delete", APP, "application.delete"),
]


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    """Every request is anne's."""
    file = tmp_path / "keys"
    key = keys.create(file, "anne", Role.OPERATOR, datetime(2026, 3, 1, tzinfo=UTC))
    access = Access(keyring=Keyring(file, lambda: 0.0), sessions=Sessions(lambda: 0.0), refused=lambda: None)
    async with open_rest(tmp_path, access=access) as rest:
        rest.client.headers["authorization"] = f"Bearer {key}"
        yield rest


async def writing(rest: Rest) -> set[tuple[str, str]]:
    """Method and path of every documented operation that is no reading."""
    paths = (await rest.get("/api/v1/openapi.json"))["paths"]
    return {(method, path) for path, calls in paths.items() for method in calls if method not in {"get", "head"}}


async def audit(rest: Rest) -> list[Json]:
    """All entries, newest first."""
    found: list[Json] = (await rest.get("/api/v1/audit?limit=500"))["items"]
    return found


async def do(rest: Rest, call: Call) -> None:
    if call.failing:
        await rest.report("kettle-7", "1.0.0")
        await rest.report("kettle-7", "1.1.0", 500, "no room")
    headers = {"otao_reason": f"because of {call.action}"}
    if (call.method, call.path) == ("post", f"{APP}/endpoints"):
        headers["content_type"] = "application/x-ndjson"
    elif call.method in {"patch", "delete"} and "freeze" not in call.path:
        headers["if_match"] = "*"
    response = await rest.send(call.method.upper(), call.url, call.body, **headers)
    assert response.status_code in {200, 201, 204}, (call, response.text)


async def test_invariant_11_every_operation_that_writes_leaves_an_entry_of_its_author(rest: Rest) -> None:
    assert {(call.method, call.path) for call in STORY} | WRITES_NOTHING == await writing(rest)
    before = 0
    for call in STORY:
        await do(rest, call)
        entries = await audit(rest)
        assert len(entries) > before, call
        fresh = entries[: len(entries) - before]
        told = {(entry["actor"], entry["via"], entry["reason"]) for entry in fresh}
        assert told == {("anne", "rest", f"because of {call.action}")}, call
        assert call.action in {entry["action"] for entry in fresh}, call
        before = len(entries)


async def test_a_dry_run_leaves_no_entry(rest: Rest) -> None:
    response = await rest.send("POST", f"{KETTLE}/plan", {"software": {"version": "1.1.0", **BODY}})
    assert response.status_code == 200
    assert json.loads(response.content)["endpoints"] == 0
    assert await audit(rest) == []
