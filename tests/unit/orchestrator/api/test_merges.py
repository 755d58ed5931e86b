"""What several partitions answer, put together."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import Request

from orchestrator.api import cursors, merges
from orchestrator.application.problems import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import Response

    from orchestrator.api.forwards import Question

PARTITIONS = ["main", "p2", "p3"]


def request(method: str, path: str, query: str = "", body: bytes = b"") -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    return Request(scope, receive)


@dataclass
class Partitions:
    """Partitions that answer what a test says; keeps what they were asked."""

    documents: list[Any]
    status: int = 200
    asked: dict[str, Question] = field(default_factory=dict)

    async def ask(self, questions: Mapping[str, Question]) -> dict[str, httpx2.Response]:
        self.asked = dict(questions)
        statuses = [200, self.status, 200]
        answers = zip(questions, self.documents, statuses, strict=True)
        return {name: httpx2.Response(status, json=document) for name, document, status in answers}


def read(response: Response) -> Any:  # noqa: ANN401 - JSON
    return json.loads(bytes(response.body))


def listed(*names: str, more: bool = False) -> dict[str, Any]:
    return {"items": [{"name": name} for name in names], "next": "on" if more else None}


async def merged(partitions: Partitions, method: str, path: str, query: str = "", body: bytes = b"") -> Response:
    return await merges.answer(request(method, path, query, body), PARTITIONS, partitions.ask)


def test_only_what_is_about_all_applications_is_merged() -> None:
    found = [("GET", "/api/v1/audit"), ("POST", "/api/v1/freeze"), ("POST", "/freeze"), ("GET", "/api/v1/doctor")]
    assert all(merges.find(request(*given)) for given in found)
    others = [("GET", "/freeze"), ("PUT", "/api/v1/applications"), ("GET", "/api/v1/applications/x"), ("GET", "/")]
    assert not any(merges.find(request(*given)) for given in others)


async def test_applications_come_by_name_and_go_on_after_the_last_one() -> None:
    partitions = Partitions([listed("a", "d"), listed("c", "e"), listed()])
    path = "/api/v1/applications"
    page = read(await merged(partitions, "GET", path, "limit=3"))
    assert [item["name"] for item in page["items"]] == ["a", "c", "d"]
    assert page["next"] == cursors.build("applications", "d")
    assert {question.query for question in partitions.asked.values()} == {"limit=3"}
    assert read(await merged(partitions, "GET", path))["next"] is None
    partitions.documents[2] = listed("b", more=True)
    assert read(await merged(partitions, "GET", path))["next"] == cursors.build("applications", "e")


@pytest.mark.parametrize("limit", ["2", "2.0", "+2", "%202"])
async def test_a_limit_is_read_as_every_partition_reads_it(limit: str) -> None:
    partitions = Partitions([listed("a", "d"), listed("c"), listed()])
    page = read(await merged(partitions, "GET", "/api/v1/applications", f"limit={limit}"))
    assert [item["name"] for item in page["items"]] == ["a", "c"]


def entries(*given: tuple[int, int]) -> dict[str, Any]:
    items = [{"id": str(number), "at": f"2026-03-01T12:00:{second:02}Z"} for number, second in given]
    return {"items": items, "next": None}


async def test_the_audit_goes_on_in_each_partition_where_it_ended_there() -> None:
    partitions = Partitions([entries((9, 30), (8, 10)), entries((4, 20), (3, 5)), entries()])
    path = "/api/v1/audit"
    page = read(await merged(partitions, "GET", path, "limit=2&application=x"))
    assert [item["id"] for item in page["items"]] == ["9", "p2-4"]
    again = f"limit=2&cursor={page['next']}"
    partitions.documents = [entries((8, 10)), entries((3, 5)), entries()]
    page = read(await merged(partitions, "GET", path, again))
    queries = [httpx2.QueryParams(question.query) for question in partitions.asked.values()]
    places = [cursors.parse_number("audit", query["cursor"]) for query in queries]
    assert places == [9, 4, 2**63 - 1]
    assert [item["id"] for item in page["items"]] == ["8", "p2-3"]
    assert page["next"] is None


async def test_a_cursor_of_another_list_is_refused() -> None:
    for cursor in ("x", cursors.build("audit", "3"), cursors.build_numbers("audits", [1, 2])):
        with pytest.raises(RequestError):
            await merged(Partitions([]), "GET", "/api/v1/audit", f"cursor={cursor}")


async def test_all_are_frozen_when_each_is_and_what_ends_by_it_is_added_up() -> None:
    partitions = Partitions([{"frozen": True}, {"frozen": False}, {"frozen": True}])
    assert read(await merged(partitions, "GET", "/api/v1/freeze")) == {"frozen": False}
    partitions.documents = [{"frozen": True, "withdrawn": amount} for amount in (1, 0, 4)]
    response = await merged(partitions, "POST", "/api/v1/freeze", body=b'{"reason":"fire"}')
    assert read(response) == {"frozen": True, "withdrawn": 5}
    assert {question.body for question in partitions.asked.values()} == {b'{"reason":"fire"}'}


async def test_the_doctor_tells_the_worst_of_each_check_and_where() -> None:
    def diagnosis(status: str) -> dict[str, Any]:
        return {"checks": [{"check": "broker", "status": status, "detail": "x"}]}

    partitions = Partitions([diagnosis("ok"), diagnosis("failed"), diagnosis("warning")])
    (check,) = read(await merged(partitions, "GET", "/api/v1/doctor"))["checks"]
    assert (check["status"], check["detail"]) == ("failed", "partition p2: x")


async def test_one_refusal_is_the_answer() -> None:
    partitions = Partitions([listed("a"), {"code": "unauthorized"}, listed("b")], status=401)
    response = await merged(partitions, "GET", "/api/v1/applications")
    assert (response.status_code, read(response)) == (401, {"code": "unauthorized"})
