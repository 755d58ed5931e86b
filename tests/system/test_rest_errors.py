"""What HTTP itself asks for: problems for every error, limits, media types, health, and who may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application.ports import StorageError
from tests.system.rests import KETTLE, add_application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.system.rests import Rest


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "payload-not-json")),
        (b"{", (400, "payload-not-json")),
        (b"[]", (422, "member-type")),
        (b"null", (422, "member-type")),
        (b'{"a":1,"a":2}', (400, "member-duplicate")),
        (b'{"rollout":{"a":1,"a":1}}', (400, "member-duplicate")),
        (b'{"specification":NaN}', (400, "payload-not-json")),
        (b'{"specification":Infinity}', (400, "payload-not-json")),
        (b'{"specification":' + b"[" * 64 + b"]" * 64 + b"}", (400, "payload-too-deep")),
        (b'\xff{"a":1}', (400, "payload-not-utf8")),
        (b'\xef\xbb\xbf{"a":1}', (400, "payload-not-json")),
        (b'{"specification":"' + b"x" * 1024 * 1024 + b'"}', (413, "payload-too-large")),
        (b'{"rollout":{"attempts":{"max":' + b"9" * 5000 + b"}}}", (400, "number-out-of-range")),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(rest: Rest, body: bytes, expected: tuple[int, str]) -> None:
    await add_application(rest)
    assert await rest.refused("PUT", f"{KETTLE}/software/1.0.0", body) == expected


async def test_a_body_of_unknown_length_is_read_to_the_limit_only(rest: Rest) -> None:
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" " * 65536

    answer = await rest.client.put(KETTLE, content=chunks())
    assert (answer.status_code, answer.json()["code"]) == (413, "payload-too-large")
    assert read <= 18


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/yaml", "json"])
async def test_a_body_that_says_it_is_no_json_is_refused(rest: Rest, media_type: str) -> None:
    refused = await rest.refused("PUT", KETTLE, {"appVersions": ["v1"]}, content_type=media_type)
    assert refused == (415, "media-type-unsupported")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", ""])
async def test_a_body_may_say_nothing_of_what_it_is(rest: Rest, media_type: str) -> None:
    answer = await rest.send("PUT", KETTLE, {"appVersions": ["v1"]}, content_type=media_type)
    assert answer.status_code == 201


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/api/v1/applications/", "/docs", f"{KETTLE}/rollouts"])
async def test_what_is_not_there_is_a_problem(rest: Rest, path: str) -> None:
    assert await rest.refused("GET", path) == (404, "not-found")


async def test_a_method_that_is_not_possible_names_those_that_are(rest: Rest) -> None:
    answer = await rest.send("POST", f"{KETTLE}/software/1.0.0")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PATCH, PUT")


async def test_an_error_that_nobody_foresaw_ends_one_request(rest: Rest) -> None:
    rest.trouble.append(ZeroDivisionError("inside"))
    answer = await rest.send("GET", "/metrics")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "inside" not in answer.text
    assert rest.failures == ["failed"]
    assert (await rest.send("GET", "/livez")).status_code == 200


async def test_a_database_that_cannot_is_a_problem_that_may_pass(rest: Rest) -> None:
    rest.trouble.append(StorageError("disk I/O error", transient=True))
    answer = await rest.send("GET", "/metrics")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "storage-error", "1")
    assert rest.failures == []


async def test_health_says_why_the_service_is_not_ready(rest: Rest) -> None:
    assert await rest.get("/readyz") == {"status": "ready"}
    rest.health.append("there is no connection to the broker")
    answer = await rest.send("GET", "/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
    assert answer.json()["detail"] == "there is no connection to the broker"
    assert await rest.get("/livez") == {"status": "alive"}


async def test_metrics_are_in_prometheus_format(rest: Rest) -> None:
    answer = await rest.send("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.startswith("# HELP otao_")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:9999"},
        {"origin": "null"},
    ],
)
async def test_pages_of_other_sites_change_nothing(rest: Rest, headers: dict[str, str]) -> None:
    assert await rest.refused("PUT", KETTLE, {"appVersions": ["v1"]}, **headers) == (403, "cross-site")
    assert (await rest.get("/api/v1/applications"))["items"] == []


@pytest.mark.parametrize("headers", [{"sec_fetch_site": "same-origin"}, {"origin": "http://localhost"}, {}])
async def test_pages_of_our_own_and_programs_may(rest: Rest, headers: dict[str, str]) -> None:
    assert (await rest.send("PUT", KETTLE, {"appVersions": ["v1"]}, **headers)).status_code == 201


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8080", "", "a@localhost"])
async def test_a_name_that_nobody_has_set_up_is_refused(rest: Rest, host: str) -> None:
    assert await rest.refused("GET", "/livez", host=host) == (421, "host-unknown")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "10.0.0.7", "otao.example"]
)
async def test_addresses_and_names_that_were_set_up_are_served(rest: Rest, host: str) -> None:
    assert (await rest.send("GET", "/livez", host=host)).status_code == 200


async def test_nothing_is_to_be_kept_on_the_way(rest: Rest) -> None:
    for method, path in (("GET", KETTLE), ("GET", "/api/v1/applications"), ("DELETE", KETTLE), ("GET", "/metrics")):
        assert (await rest.send(method, path)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("asked", ["endpoints/%00", "endpoints/%00/explain", "endpoints/a%00b/history"])
async def test_nobody_has_a_name_that_no_database_can_hold(rest: Rest, asked: str) -> None:
    await add_application(rest)
    assert await rest.refused("GET", f"{KETTLE}/{asked}") == (404, "endpoint-not-found")


@pytest.mark.parametrize("asked", [f"{KETTLE}/endpoints?token=%00", "/api/v1/audit?application=%00"])
async def test_lists_of_what_has_a_text_that_no_database_can_hold_are_empty(rest: Rest, asked: str) -> None:
    await add_application(rest)
    answer = await rest.client.get(asked)
    assert (answer.status_code, answer.json()["items"]) == (200, [])
