"""Endpoints over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.pushes import ParkedPush
from tests.system.rests import KETTLE, START, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from tests.system.rests import Rest

ENDPOINTS = f"{KETTLE}/endpoints"
ENDPOINT = f"{ENDPOINTS}/kettle-7"


@pytest.fixture
async def kettle(rest: Rest) -> Rest:
    await add_application(rest)
    return rest


def push_topic(token: str, app_version: str = "smart-kettle-v1") -> str:
    return f"kp1/{app_version}/cmx_ota/{token}/config/json/status"


async def test_an_endpoint_is_created_read_and_deleted(kettle: Rest) -> None:
    body = {"token": "tok7", "appVersion": "smart-kettle-v1", "attributes": {"site": "lab"}}
    created = await kettle.send("PUT", ENDPOINT, body)
    assert created.status_code == 201
    assert created.json() == {
        "endpointId": "kettle-7",
        "token": "tok7",
        "tokenState": "active",
        "appVersion": "smart-kettle-v1",
        "attributes": {"site": "lab"},
        "runningVersion": None,
        "runningAsserted": False,
        "runningSince": None,
        "lastSeenAt": None,
        "registeredAt": "2026-03-01T12:00:00Z",
        "observe": True,
        "pinned": None,
        "offer": None,
        "consentAsked": None,
    }
    assert await kettle.get(ENDPOINT) == created.json()
    assert await kettle.put(ENDPOINT, created.json(), if_match="*") == created.json()
    assert await kettle.refused("DELETE", ENDPOINT) == (428, "precondition-required")
    assert (await kettle.send("DELETE", ENDPOINT, if_match=created.headers["etag"])).status_code == 204
    assert await kettle.refused("GET", ENDPOINT) == (404, "endpoint-not-found")
    assert await kettle.cleared() == [push_topic("tok7")]
    assert (await kettle.get(f"{KETTLE}/summary"))["endpoints"] == 0


async def test_the_endpoint_id_is_the_token_when_none_is_given(kettle: Rest) -> None:
    assert (await add_endpoint(kettle, "kettle-7"))["token"] == "kettle-7"
    assert await kettle.refused("PUT", f"{ENDPOINTS}/kettle.7", {}) == (422, "member-missing")
    assert (await add_endpoint(kettle, "kettle.7", token="k7"))["token"] == "k7"


async def test_a_token_is_one_endpoints(kettle: Rest) -> None:
    await add_endpoint(kettle, "a", token="same")
    assert await kettle.refused("PUT", f"{ENDPOINTS}/b", {"token": "same"}) == (409, "token-taken")
    await add_endpoint(kettle, "b")
    assert await kettle.refused("PATCH", f"{ENDPOINTS}/b", {"token": "same"}, if_match="*") == (409, "token-taken")
    assert await kettle.refused("POST", f"{ENDPOINTS}/b/token", {"token": "same"}) == (409, "token-taken")


@pytest.mark.parametrize("endpoint_id", ["a+b", "a b", "x" * 65, "%C3%A9"])
async def test_an_identifier_that_no_endpoint_may_have_is_refused(kettle: Rest, endpoint_id: str) -> None:
    assert await kettle.refused("PUT", f"{ENDPOINTS}/{endpoint_id}", {}) == (422, "endpoint-id-invalid")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"token": "a/b"}, "member-invalid"),
        ({"token": ""}, "member-invalid"),
        ({"appVersion": "other"}, "app-version-unknown"),
        ({"attributes": []}, "member-invalid"),
        ({"attributes": {"a-b": 1}}, "member-invalid"),
        ({"attributes": {"a": "\0"}}, "text-not-storable"),
        ({"pinned": "1.0"}, "invalid-version"),
        ({"runningVersion": "2.0.0"}, "member-read-only"),
        ({"tokenState": "revoked"}, "member-read-only"),
        ({"endpointId": "other"}, "member-read-only"),
        ({"colour": "red"}, "member-unknown"),
    ],
)
async def test_a_wrong_body_is_refused_and_creates_nothing(kettle: Rest, body: object, code: str) -> None:
    assert await kettle.refused("PUT", ENDPOINT, body) == (422, code)
    assert (await kettle.get(ENDPOINTS))["items"] == []
    await add_endpoint(kettle, "kettle-7", "1.0.0")
    assert await kettle.refused("PUT", ENDPOINT, body, if_match="*") == (422, code)
    assert (await kettle.get(ENDPOINT))["runningVersion"] == "1.0.0"


async def test_an_application_version_must_be_named_when_there_are_several(rest: Rest) -> None:
    await rest.put(KETTLE, {"appVersions": ["v1", "v2"]})
    assert await rest.refused("PUT", ENDPOINT, {}) == (422, "app-version-unknown")
    assert (await add_endpoint(rest, "kettle-7", appVersion="v2"))["appVersion"] == "v2"
    moved = await rest.send("PATCH", ENDPOINT, {"appVersion": "v1"}, if_match="*")
    assert moved.json()["appVersion"] == "v1"
    assert await rest.cleared() == [push_topic("kettle-7", "v2")]


async def test_the_tag_covers_what_operators_edit_and_not_what_is_reported(kettle: Rest) -> None:
    created = await kettle.send("PUT", ENDPOINT, {})
    await kettle.report("kettle-7", "1.0.0")
    read = await kettle.send("GET", ENDPOINT)
    assert read.headers["etag"] == created.headers["etag"]
    assert (await kettle.send("GET", ENDPOINT, if_none_match=read.headers["etag"])).status_code == 200
    patched = await kettle.send("PATCH", ENDPOINT, {"attributes": {"a": 1}}, if_match=read.headers["etag"])
    assert patched.headers["etag"] != read.headers["etag"]


async def test_a_patch_merges_attributes(kettle: Rest) -> None:
    await add_endpoint(kettle, "kettle-7", attributes={"a": 1, "b": {"c": 1, "d": 2}})
    patch = {"attributes": {"a": None, "b": {"c": None}, "e": [1]}}
    patched = await kettle.send("PATCH", ENDPOINT, patch, if_match="*")
    assert patched.json()["attributes"] == {"b": {"d": 2}, "e": [1]}
    for body in ({"offer": None, "runningVersion": "9.0.0"}, {"registeredAt": None}):
        assert await kettle.refused("PATCH", ENDPOINT, body, if_match="*") == (422, "member-read-only")


async def test_new_attributes_are_decided_on_at_once(kettle: Rest) -> None:
    await kettle.put(f"{KETTLE}/filters/canary", {"expression": "attributes.ring == 1"})
    await add_software(kettle, "1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "canary"}])
    await add_endpoint(kettle, "kettle-7", "1.0.0")
    joined = await kettle.send("PATCH", ENDPOINT, {"attributes": {"ring": 1}}, if_match="*")
    assert joined.json()["offer"]["version"] == "1.1.0"
    assert (await kettle.get(f"{KETTLE}/software/1.1.0"))["offeredAt"] is not None
    left = await kettle.send("PATCH", ENDPOINT, {"attributes": {"ring": 2}}, if_match="*")
    assert left.json()["offer"] is None


async def test_a_pin_leads_down_and_is_lifted_by_null(kettle: Rest) -> None:
    await add_software(kettle, "1.0.0", "2.0.0")
    await add_software(kettle, "2.0.0", "1.0.0")
    await add_endpoint(kettle, "kettle-7", "2.0.0")
    pinned = await kettle.send("PATCH", ENDPOINT, {"pinned": "1.0.0"}, if_match="*")
    assert (pinned.json()["pinned"], pinned.json()["offer"]["version"]) == ("1.0.0", "1.0.0")
    lifted = await kettle.send("PATCH", ENDPOINT, {"pinned": None}, if_match="*")
    assert (lifted.json()["pinned"], lifted.json()["offer"]) == (None, None)


async def test_an_endpoint_that_reported_nothing_is_offered_what_is_for_any(kettle: Rest) -> None:
    await add_software(kettle, "1.0.0", "*")
    assert (await add_endpoint(kettle, "kettle-7"))["offer"] == {
        "version": "1.0.0",
        "sequence": 1,
        "state": "offered",
        "offeredAt": "2026-03-01T12:00:00Z",
        "attempt": 1,
        "percent": None,
    }


async def test_a_token_is_exchanged_suspended_reinstated_and_revoked(kettle: Rest) -> None:
    await add_software(kettle, "1.1.0", "1.0.0")
    await add_endpoint(kettle, "kettle-7", "1.0.0", token="old")
    exchanged = await kettle.send("POST", f"{ENDPOINT}/token", {"token": "new"})
    assert (exchanged.json()["token"], exchanged.json()["offer"]["version"]) == ("new", "1.1.0")
    assert await kettle.cleared() == [push_topic("old")]
    closings = kettle.gate.closings
    suspended = await kettle.send("POST", f"{ENDPOINT}/token", {"state": "suspended"})
    assert (suspended.json()["tokenState"], suspended.json()["offer"]) == ("suspended", None)
    assert kettle.gate.closings == closings + 1
    assert (await kettle.get(f"{ENDPOINT}/explain"))["outcome"] == "suspended"
    active = await kettle.send("POST", f"{ENDPOINT}/token", {"state": "active"})
    assert active.json()["offer"]["sequence"] == 2
    both = await kettle.send("POST", f"{ENDPOINT}/token", {"state": "revoked", "token": "third"})
    assert (both.json()["token"], both.json()["tokenState"]) == ("third", "revoked")
    made = await kettle.send("POST", f"{ENDPOINT}/token")
    assert len(made.json()["token"]) == 22
    assert await kettle.refused("POST", f"{ENDPOINT}/token", {"state": "lost"}) == (422, "member-invalid")


async def test_an_operator_never_moves_what_an_endpoint_runs(kettle: Rest) -> None:
    # Invariant 4, seen from outside: after every call that changes an endpoint.
    await add_software(kettle, "1.1.0", "1.0.0")
    await add_endpoint(kettle, "kettle-7", "1.0.0")
    await kettle.send("PATCH", ENDPOINT, {"pinned": "1.1.0"}, if_match="*")
    await kettle.send("POST", f"{ENDPOINT}/retry")
    await kettle.send("POST", f"{ENDPOINT}/token")
    await kettle.put(ENDPOINT, {}, if_match="*")
    assert (await kettle.get(ENDPOINT))["runningVersion"] == "1.0.0"


async def test_a_retry_offers_again_what_was_exhausted(kettle: Rest) -> None:
    await add_software(kettle, "1.1.0", "1.0.0", rollout={"attempts": {"max": 1}})
    await add_endpoint(kettle, "kettle-7", "1.0.0")
    await kettle.report("kettle-7", "1.1.0", 500, "no room left")
    explained = await kettle.get(f"{ENDPOINT}/explain")
    assert explained["outcome"] == "exhausted"
    assert "no room left" in explained["summary"]
    other = await kettle.send("POST", f"{ENDPOINT}/retry", {"version": "9.0.0"})
    assert other.json()["offer"] is None
    retried = await kettle.send("POST", f"{ENDPOINT}/retry", {"version": "1.1.0"})
    assert (retried.json()["offer"]["version"], retried.json()["offer"]["attempt"]) == ("1.1.0", 1)
    assert await kettle.refused("POST", f"{ENDPOINT}/retry", {"version": "1"}) == (422, "invalid-version")
    assert await kettle.refused("POST", f"{ENDPOINTS}/nobody/retry") == (404, "endpoint-not-found")


async def test_explain_names_goal_path_and_every_rule(kettle: Rest) -> None:
    await add_software(kettle, "1.1.0", "1.0.0")
    await add_software(kettle, "2.0.0", "1.1.0", rollout={"start": "2026-04-01T00:00:00Z"})
    await add_software(kettle, "3.0.0", "2.0.0", rolloutStrategy="suspended")
    await add_endpoint(kettle, "kettle-7", "1.0.0")
    explained = await kettle.get(f"{ENDPOINT}/explain")
    assert list(explained) == [
        "endpointId",
        "runningVersion",
        "outcome",
        "hop",
        "goal",
        "path",
        "waitsUntil",
        "summary",
        "software",
    ]
    assert (explained["outcome"], explained["hop"], explained["goal"]) == ("offer", "1.1.0", "2.0.0")
    assert explained["path"] == ["1.1.0", "2.0.0"]
    verdicts = {item["version"]: item for item in explained["software"]}
    assert [verdicts[version]["eligible"] for version in ("1.1.0", "2.0.0", "3.0.0")] == [True, True, False]
    assert [verdicts[version]["open"] for version in ("1.1.0", "2.0.0", "3.0.0")] == [True, False, False]
    assert {"rule": "strategy", "passed": False, "detail": "suspended"} in verdicts["3.0.0"]["rules"]
    await kettle.report("kettle-7", "1.1.0")
    assert (await kettle.get(f"{ENDPOINT}/explain"))["waitsUntil"] == "2026-04-01T00:00:00Z"


async def test_explain_names_a_push_that_the_broker_refuses(kettle: Rest) -> None:
    await add_endpoint(kettle, "kettle-7", "1.0.0")
    (document,) = await kettle.endpoints()
    parked = ParkedPush(
        topic=push_topic("kettle-7"),
        key=document.record.key,
        reason_code=0x87,
        parked_at=START,
        retry_at=START + timedelta(hours=1),
        tries=1,
    )
    async with kettle.storage.edit() as edit:
        await edit.park([parked])
    assert "(reason code 0x87)" in (await kettle.get(f"{ENDPOINT}/explain"))["summary"]


async def test_history_is_listed_newest_first_in_parts(kettle: Rest) -> None:
    await add_software(kettle, "1.1.0", "1.0.0")
    await add_endpoint(kettle, "kettle-7", "1.0.0")
    await kettle.report("kettle-7", "1.1.0", 500, "no room left")
    whole = await kettle.get(f"{ENDPOINT}/history")
    assert [item["kind"] for item in whole["items"]] == ["failed", "reported", "offered", "reported"]
    assert whole["items"][1] == {
        "at": "2026-03-01T12:00:00Z",
        "kind": "reported",
        "version": "1.1.0",
        "statusCode": 500,
        "reason": "no room left",
    }
    parts, cursor = [], ""
    while cursor is not None:
        part = await kettle.get(f"{ENDPOINT}/history?limit=3{cursor and f'&cursor={cursor}'}")
        parts += part["items"]
        cursor = part["next"]
    assert parts == whole["items"]
    assert await kettle.refused("GET", f"{ENDPOINTS}/nobody/history") == (404, "endpoint-not-found")


async def test_endpoints_are_listed_by_what_they_are(kettle: Rest) -> None:
    await kettle.put(f"{KETTLE}/filters/canary", {"expression": "attributes.ring == 1"})
    await add_software(kettle, "1.1.0", "1.0.0")
    await add_endpoint(kettle, "a", "1.0.0", attributes={"ring": 1})
    await add_endpoint(kettle, "b", "1.0.0")
    await add_endpoint(kettle, "c", "1.1.0", token="tok", attributes={"ring": True})
    await add_endpoint(kettle, "d")
    await kettle.report("b", "1.1.0")

    async def listed(query: str) -> list[str]:
        return [item["endpointId"] for item in (await kettle.get(f"{ENDPOINTS}?{query}"))["items"]]

    assert await listed("") == ["a", "b", "c", "d"]
    assert await listed("version=1.1.0") == ["b", "c"]
    assert await listed("version=1.1.0%2Bbuild") == ["b", "c"]
    assert await listed("version=unknown") == ["d"]
    assert await listed("state=offered") == ["a"]
    assert await listed("state=confirmed&version=1.1.0") == ["b"]
    assert await listed("filter=canary") == ["a"]
    assert await listed("token=tok") == ["c"]
    assert await listed("token=none") == []
    assert await listed("tokenState=active&version=1.1.0") == ["b", "c"]
    assert await listed("tokenState=retired") == []
    assert await listed("unseenFor=P30D") == []
    item = (await kettle.get(f"{ENDPOINTS}?token=tok"))["items"][0]
    assert item == await kettle.get(f"{ENDPOINTS}/c")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("version=latest", (422, "invalid-version")),
        ("state=lost", (400, "parameter-invalid")),
        ("tokenState=lost", (400, "parameter-invalid")),
        ("unseenFor=long", (422, "member-invalid")),
        ("filter=none", (422, "filter-unknown")),
        ("limit=0", (400, "parameter-invalid")),
        ("limit=501", (400, "parameter-invalid")),
        ("limit=ten", (400, "parameter-invalid")),
        ("cursor=x", (400, "cursor-invalid")),
        ("cursor=", (400, "cursor-invalid")),
        ("cursor=YXBwbGljYXRpb25zOmE", (400, "cursor-invalid")),
        ("limt=5", (400, "parameter-unknown")),
        ("limit=5&limit=6", (400, "parameter-invalid")),
    ],
)
async def test_a_wrong_query_is_refused(kettle: Rest, query: str, expected: tuple[int, str]) -> None:
    assert await kettle.refused("GET", f"{ENDPOINTS}?{query}") == expected


async def test_a_list_in_parts_holds_every_endpoint_once(kettle: Rest) -> None:
    for number in range(7):
        await add_endpoint(kettle, f"k{number}")
    found, target = [], f"{ENDPOINTS}?limit=3&version=unknown"
    while target:
        answer = await kettle.send("GET", target)
        found += [item["endpointId"] for item in answer.json()["items"]]
        link = answer.headers.get("link", "")
        target = link.removeprefix("<").removesuffix('>; rel="next"')
    assert found == [f"k{number}" for number in range(7)]
