"""REST: freezes and the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.rests import KETTLE, add_application, add_endpoint, add_software, open_rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.system.rests import Rest


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    async with open_rest(tmp_path) as rest:
        await add_application(rest)
        await add_software(rest, "1.0.0")
        await add_software(rest, "1.1.0", "1.0.0")
        await add_endpoint(rest, "kettle-7", "1.0.0")
        yield rest


@pytest.mark.parametrize("path", ["/api/v1/freeze", f"{KETTLE}/freeze"])
async def test_a_freeze_is_shown_everywhere_and_lifted(rest: Rest, path: str) -> None:
    assert (await rest.get(path)) == {"frozen": False, "since": None, "by": None, "reason": None, "everywhere": False}
    answer = await rest.send("POST", path, {"reason": "bad image"})
    assert answer.status_code == 200
    frozen = answer.json()
    assert frozen["frozen"] is True
    assert frozen["reason"] == "bad image"
    assert frozen["by"] == "anonymous"
    assert frozen["withdrawn"] == 1
    assert (await rest.get(f"{KETTLE}/endpoints/kettle-7"))["offer"] is None
    assert (await rest.get(f"{KETTLE}/summary"))["frozen"]["reason"] == "bad image"
    assert (await rest.get(KETTLE))["frozen"]["reason"] == "bad image"
    explained = await rest.get(f"{KETTLE}/endpoints/kettle-7/explain")
    assert explained["outcome"] == "waiting"
    rules = [rule for item in explained["software"] for rule in item["rules"] if rule["rule"] == "freeze"]
    assert rules
    assert not any(rule["passed"] for rule in rules)
    read = await rest.get(KETTLE)
    lifted = await rest.send("DELETE", path)
    assert (await rest.put(KETTLE, read, if_match="*"))["frozen"] is None
    assert lifted.json() == {
        "frozen": False,
        "since": None,
        "by": None,
        "reason": None,
        "everywhere": False,
        "withdrawn": 0,
    }
    assert (await rest.get(f"{KETTLE}/summary"))["frozen"] is None


async def test_a_freeze_needs_no_body_and_false_lifts(rest: Rest) -> None:
    assert (await rest.send("POST", f"{KETTLE}/freeze", otao_reason="ticket 9")).json()["reason"] == "ticket 9"
    assert (await rest.send("POST", f"{KETTLE}/freeze", {"frozen": False})).json()["frozen"] is False


@pytest.mark.parametrize(
    ("body", "code"),
    [({"frozen": "yes"}, "member-type"), ({"why": "x"}, "member-unknown"), ({"reason": "x" * 501}, "member-invalid")],
)
async def test_a_bad_body_freezes_nothing(rest: Rest, body: object, code: str) -> None:
    answer = await rest.send("POST", f"{KETTLE}/freeze", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await rest.get(f"{KETTLE}/freeze"))["frozen"] is False


async def test_an_unknown_application_cannot_be_frozen(rest: Rest) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert (await rest.send(method, "/api/v1/applications/other/freeze")).status_code == 404


async def test_the_audit_says_who_what_and_why(rest: Rest) -> None:
    await rest.send("POST", f"{KETTLE}/software/1.1.0/recall", {"reason": "it bricks"})
    page = await rest.get(f"{KETTLE}/audit?limit=1")
    entry = page["items"][0]
    assert entry["action"] == "software.recall"
    assert entry["resource"] == "software/1.1.0"
    assert (entry["actor"], entry["via"], entry["reason"]) == ("anonymous", "rest", "it bricks")
    assert entry["before"]["recalledAt"] is None
    assert entry["after"]["recalledAt"] is not None
    assert set(entry["after"]["specification"]) == {"sha256"}
    older = await rest.get(f"{KETTLE}/audit?limit=1&cursor={page['next']}")
    assert older["items"][0]["action"] == "endpoint.put"
    every = await rest.get("/api/v1/audit?application=smart-kettle&limit=500")
    assert [item["action"] for item in every["items"]][-1] == "application.put"
    assert every["next"] is None


async def test_a_reason_in_the_header_is_utf_8_and_bounded(rest: Rest) -> None:
    sent = {b"otao-reason": "größer".encode()}
    answer = await rest.client.put(f"{KETTLE}/filters/lab", json={"expression": "attributes.a == 1"}, headers=sent)
    assert answer.status_code == 201
    assert (await rest.get(f"{KETTLE}/audit"))["items"][0]["reason"] == "größer"
    refused = await rest.send(
        "PUT", f"{KETTLE}/filters/lab2", {"expression": "attributes.a == 1"}, otao_reason="x" * 501
    )
    assert refused.status_code == 400


async def test_the_audit_refuses_bad_cursors_and_unknown_applications(rest: Rest) -> None:
    assert (await rest.send("GET", f"{KETTLE}/audit?cursor=zzz")).status_code == 400
    assert (await rest.send("GET", "/api/v1/applications/other/audit")).status_code == 404
