"""Many endpoints by one call, as JSON lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.api import imports
from orchestrator.application import imports as use_case
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.system.rests import Json, Rest

ENDPOINTS = f"{KETTLE}/endpoints"
NDJSON = "application/x-ndjson"


def lines(*documents: object) -> bytes:
    return b"\n".join(json.dumps(document).encode() for document in documents) + b"\n"


async def send(rest: Rest, body: bytes | AsyncIterator[bytes], media_type: str = NDJSON) -> Json:
    response = await rest.client.post(ENDPOINTS, content=body, headers={"content-type": media_type})
    assert response.status_code == 200, response.text
    imports.Imported.model_validate_json(response.content)
    return response.json()


def numbers(answer: Json) -> tuple[int, int, int, int]:
    return answer["created"], answer["updated"], answer["unchanged"], answer["failed"]


async def kinds(rest: Rest, endpoint_id: str) -> list[tuple[str, str | None]]:
    items = (await rest.get(f"{ENDPOINTS}/{endpoint_id}/history"))["items"]
    return [(item["kind"], item["version"]) for item in reversed(items)]


@pytest.fixture
async def kettle(rest: Rest) -> Rest:
    await add_application(rest)
    await add_software(rest, "1.1.0", "1.0.0")
    return rest


async def test_lines_create_update_and_leave_alone(kettle: Rest) -> None:
    first = lines(
        {"endpointId": "a", "token": "tokA", "attributes": {"ring": 1}},
        {"endpointId": "b", "pinned": "1.1.0", "runningVersion": "1.0.0"},
        {"endpointId": "c"},
    )
    assert numbers(await send(kettle, first)) == (3, 0, 0, 0)
    assert numbers(await send(kettle, first)) == (0, 0, 3, 0)
    second = lines({"endpointId": "a", "attributes": {"ring": 2}}, {"endpointId": "c", "token": "tokC"})
    assert numbers(await send(kettle, second)) == (0, 2, 0, 0)
    a, b, c = [await kettle.get(f"{ENDPOINTS}/{name}") for name in "abc"]
    assert (a["token"], a["attributes"]) == ("tokA", {"ring": 2})
    assert (b["token"], b["pinned"], b["runningVersion"]) == ("b", "1.1.0", "1.0.0")
    assert c["token"] == "tokC"
    assert (await kettle.cleared()) == ["kp1/smart-kettle-v1/cmx_ota/c/config/json/status"]


async def test_an_import_does_what_puts_would_do(kettle: Rest) -> None:
    await kettle.put(f"{KETTLE}/filters/lab", {"expression": "attributes.site == 'lab'"})
    await add_software(kettle, "2.0.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "lab"}])
    body = {"token": "tok", "attributes": {"site": "lab"}, "pinned": None}
    await add_endpoint(kettle, "put", "1.0.0")
    await add_endpoint(kettle, "imported", "1.0.0")
    await kettle.put(f"{ENDPOINTS}/put", body, If_Match="*")
    await send(kettle, lines({**body, "endpointId": "imported", "token": "tok2"}))
    wanted = await kettle.get(f"{ENDPOINTS}/put")
    assert wanted["offer"]["version"] == "2.0.0"
    found = await kettle.get(f"{ENDPOINTS}/imported")
    assert found == {**wanted, "endpointId": "imported", "token": "tok2"}
    assert await kinds(kettle, "imported") == await kinds(kettle, "put")


async def test_an_asserted_version_makes_the_decision_work(kettle: Rest) -> None:
    await send(kettle, lines({"endpointId": "a", "runningVersion": "1.0.0"}))
    document = await kettle.get(f"{ENDPOINTS}/a")
    assert (document["runningVersion"], document["runningAsserted"]) == ("1.0.0", True)
    assert (document["runningSince"], document["lastSeenAt"]) == (None, None)
    assert document["offer"]["version"] == "1.1.0"
    assert await kinds(kettle, "a") == [("asserted", "1.0.0"), ("offered", "1.1.0")]
    assert (await kettle.get(f"{KETTLE}/summary"))["byVersion"] == {"1.0.0": 1}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ("1.0.0", [("reported", "1.0.0")]),
        ("0.9.0", [("reported", "0.9.0"), ("withdrawn", "1.1.0")]),
        ("1.1.0", [("reported", "1.1.0"), ("confirmed", "1.1.0")]),
        ("5.0.0", [("reported", "5.0.0"), ("withdrawn", "1.1.0")]),
    ],
)
async def test_the_first_report_replaces_what_was_asserted_and_is_held_against_nobody(
    kettle: Rest, reported: str, expected: list[tuple[str, str]]
) -> None:
    await send(kettle, lines({"endpointId": "a", "runningVersion": "1.0.0"}))
    await kettle.report("a", reported)
    document = await kettle.get(f"{ENDPOINTS}/a")
    assert (document["runningVersion"], document["runningAsserted"]) == (reported, False)
    assert document["runningSince"] == "2026-03-01T12:00:00Z"
    assert (await kinds(kettle, "a"))[2:] == expected


async def test_the_second_report_of_the_old_version_is_a_return_as_ever(kettle: Rest) -> None:
    await send(kettle, lines({"endpointId": "a", "runningVersion": "1.0.0"}))
    await kettle.report("a", "1.0.0")
    await kettle.report("a", "1.0.0")
    assert (await kinds(kettle, "a"))[-1] == ("returned", "1.1.0")


async def test_what_an_endpoint_has_reported_is_not_asserted_away(kettle: Rest) -> None:
    await add_endpoint(kettle, "a", "1.1.0")
    answer = await send(
        kettle, lines({"endpointId": "a", "runningVersion": "1.0.0", "attributes": {"ring": 1}}, {"endpointId": "b"})
    )
    assert numbers(answer) == (1, 1, 0, 0)
    assert [(error["line"], error["code"]) for error in answer["errors"]] == [(1, "running-version-reported")]
    document = await kettle.get(f"{ENDPOINTS}/a")
    assert (document["runningVersion"], document["attributes"]) == ("1.1.0", {"ring": 1})
    assert numbers(
        await send(kettle, lines({"endpointId": "a", "runningVersion": "1.1.0", "attributes": {"ring": 1}}))
    ) == (
        0,
        0,
        1,
        0,
    )


async def test_an_assertion_can_be_corrected_until_the_first_report(kettle: Rest) -> None:
    await send(kettle, lines({"endpointId": "a", "runningVersion": "0.9.0"}))
    assert (await kettle.get(f"{ENDPOINTS}/a"))["offer"] is None
    assert numbers(await send(kettle, lines({"endpointId": "a", "runningVersion": "1.0.0"}))) == (0, 1, 0, 0)
    assert (await kettle.get(f"{ENDPOINTS}/a"))["offer"]["version"] == "1.1.0"


async def test_what_was_listed_elsewhere_can_be_imported(kettle: Rest) -> None:
    await add_endpoint(kettle, "a", "1.0.0", attributes={"ring": 1}, token="tokA")
    exported = await kettle.get(f"{ENDPOINTS}/a")
    await kettle.send("DELETE", f"{ENDPOINTS}/a", If_Match="*")
    assert numbers(await send(kettle, lines(exported))) == (1, 0, 0, 0)
    document = await kettle.get(f"{ENDPOINTS}/a")
    assert (document["token"], document["runningVersion"], document["runningAsserted"]) == ("tokA", "1.0.0", True)


async def test_bad_lines_are_told_by_number_and_the_good_ones_imported(kettle: Rest) -> None:
    await add_endpoint(kettle, "owner", token="taken")
    body = b"\n".join(
        [
            b'{"endpointId":"a"}',
            b"",
            b"{",
            b"[]",
            b'{"token":"x"}',
            b'{"endpointId":"b","colour":"red"}',
            b'{"endpointId":"not one"}',
            b'{"endpointId":"c","token":"taken"}',
            b'{"endpointId":"d","appVersion":"other-v1"}',
            b'{"endpointId":"e","runningVersion":"1.0"}',
            b'{"endpointId":"e.e"}',
            b'{"endpointId":"f","endpointId":"g"}',
            b'{"endpointId":"h","attributes":{"note":"' + b"x" * 65536 + b'"}}',
            b"\xff",
            b'{"endpointId":"i"}\r',
        ]
    )
    answer = await send(kettle, body)
    assert numbers(answer) == (2, 0, 0, 12)
    assert [(error["line"], error["code"]) for error in answer["errors"]] == [
        (3, "payload-not-json"),
        (4, "member-type"),
        (5, "member-missing"),
        (6, "member-unknown"),
        (7, "member-invalid"),
        (8, "token-taken"),
        (9, "app-version-unknown"),
        (10, "invalid-version"),
        (11, "member-missing"),
        (12, "member-duplicate"),
        (13, "payload-too-large"),
        (14, "payload-not-utf8"),
    ]
    assert all(error["detail"] for error in answer["errors"])
    assert sorted(item["endpointId"] for item in (await kettle.get(ENDPOINTS))["items"]) == ["a", "i", "owner"]


async def test_lines_about_one_endpoint_are_taken_in_order(kettle: Rest) -> None:
    answer = await send(kettle, lines(*({"endpointId": "a", "attributes": {"n": number}} for number in range(3))))
    assert numbers(answer) == (1, 2, 0, 0)
    assert (await kettle.get(f"{ENDPOINTS}/a"))["attributes"] == {"n": 2}


async def test_a_token_can_be_handed_on_within_one_import(kettle: Rest) -> None:
    await send(kettle, lines({"endpointId": "a", "token": "one"}, {"endpointId": "b", "token": "two"}))
    handed = lines(
        {"endpointId": "a", "token": "new"}, {"endpointId": "b", "token": "one"}, {"endpointId": "c", "token": "two"}
    )
    assert numbers(await send(kettle, handed)) == (1, 2, 0, 0)
    tokens = {item["endpointId"]: item["token"] for item in (await kettle.get(ENDPOINTS))["items"]}
    assert tokens == {"a": "new", "b": "one", "c": "two"}
    twice = lines({"endpointId": "d", "token": "same"}, {"endpointId": "e", "token": "same"})
    assert numbers(await send(kettle, twice)) == (1, 0, 0, 1)


async def test_only_a_hundred_errors_are_told_and_all_are_counted(kettle: Rest) -> None:
    answer = await send(kettle, b"x\n" * 250)
    assert (answer["failed"], len(answer["errors"])) == (250, 100)


async def test_many_lines_in_small_pieces_fill_several_pages(kettle: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use_case, "PAGE", 10)
    body = lines(*({"endpointId": f"e{number}", "runningVersion": "1.0.0"} for number in range(35)))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    assert numbers(await send(kettle, pieces())) == (35, 0, 0, 0)
    assert (await kettle.get(f"{KETTLE}/summary"))["byVersion"] == {"1.0.0": 35}
    assert (await kettle.get(f"{KETTLE}/summary"))["byState"] == {"offered": 35}
    audit = (await kettle.get(f"{KETTLE}/audit"))["items"]
    assert [item["action"] for item in audit].count("endpoint.import") == 4
    assert audit[0]["after"] == {"firstLine": 31, "lastLine": 35, "created": 5, "updated": 0, "failed": 0}


async def test_a_line_without_an_end_is_not_kept_in_memory(kettle: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MOST_BYTES", 300_000)

    async def endless() -> AsyncIterator[bytes]:
        yield b'{"endpointId":"a"}\n{"endpointId":"'
        while True:
            yield b"b" * 50_000

    answer = await send(kettle, endless())
    assert numbers(answer) == (1, 0, 0, 1)
    assert [(error["line"], error["code"]) for error in answer["errors"]] == [(2, "payload-too-large")]
    declared = await kettle.refused("POST", ENDPOINTS, b" " * 300_001, content_type=NDJSON)
    assert declared == (413, "payload-too-large")


@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
async def test_another_media_type_is_refused(kettle: Rest, media_type: str) -> None:
    assert await kettle.refused("POST", ENDPOINTS, b"{}", content_type=media_type) == (415, "media-type-unsupported")


async def test_nothing_is_imported_where_there_is_nothing(kettle: Rest) -> None:
    assert numbers(await send(kettle, b"")) == (0, 0, 0, 0)
    other = "/api/v1/applications/none/endpoints"
    assert await kettle.refused("POST", other, b"{}", content_type=NDJSON) == (404, "application-not-found")
