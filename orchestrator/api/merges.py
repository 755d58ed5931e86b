"""What is about the applications of all partitions: each of them is asked, and the answers are put together.

Rules:
- One answer that is no success is the answer to all; a partition that nobody holds is one.
- Lists keep their order and their cursors' meaning; a cursor of one made of several names a place in each.

Layer: api.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import urlencode

import httpx2
import orjson
from fastapi import Request, Response
from pydantic import TypeAdapter

from orchestrator.api import cursors, responses
from orchestrator.api.forwards import Question
from orchestrator.application.partitions import MAIN

# Decoded JSON.
Json: TypeAlias = Any
Answers: TypeAlias = Mapping[str, httpx2.Response]
"""By partition, in their order."""
Ask: TypeAlias = Callable[[Mapping[str, Question]], Awaitable[Answers]]
"""Asks partitions, all at once."""

_SEVERITY = {"ok": 0, "warning": 1, "failed": 2}
_TOP = 2**63 - 1
"""A place before the first entry of the audit."""
_MOST_BYTES = 1024 * 1024
_LIMIT = 100
_INTEGER = TypeAdapter(int)
_AUDIT, _APPLICATIONS = "audits", "applications"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """How one request is asked of partitions, and answered."""

    questions: Callable[[Request, list[str], Question], Mapping[str, Question]]
    combine: Callable[[Request, Answers], Response]


async def answer(request: Request, partitions: list[str], ask: Ask) -> Response:
    """The answer to a request that `find` has something for.

    Raises:
        RequestError: it cannot be asked.
    """
    merge = find(request)
    if merge is None:
        raise LookupError(request.url.path)
    body = None if request.method in {"GET", "HEAD"} else await _body(request)
    query = request.scope["query_string"].decode("latin-1")
    plain = Question(request=request, method=request.method, path=request.url.path, query=query, body=body)
    answers = await ask(merge.questions(request, partitions, plain))
    wrong = next((item for item in answers.values() if not item.is_success and not item.is_redirect), None)
    return merge.combine(request, answers) if wrong is None else _as_it_came(wrong)


def find(request: Request) -> Merge | None:
    """How a request is merged; None: it is about one application, or none."""
    return _MERGES.get((request.method, request.url.path))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            break
    return bytes(body)


def _as_it_came(found: httpx2.Response) -> Response:
    kept = {name: value for name, value in found.headers.items() if name not in {"content-length", "date"}}
    return Response(found.content, found.status_code, kept)


def _same(_request: Request, partitions: list[str], plain: Question) -> Mapping[str, Question]:
    return dict.fromkeys(partitions, plain)


def _first(_request: Request, answers: Answers) -> Response:
    return _as_it_came(next(iter(answers.values())))


def _limit(request: Request) -> int:
    """Every partition has accepted it, and read it in the same way."""
    return _INTEGER.validate_python(request.query_params.get("limit", _LIMIT))


def _documents(answers: Answers) -> dict[str, Json]:
    return {partition: orjson.loads(found.content) for partition, found in answers.items()}


def _applications(request: Request, answers: Answers) -> Response:
    lists = _documents(answers).values()
    items = sorted((item for found in lists for item in found["items"]), key=lambda item: str(item["name"]))
    kept = items[: _limit(request)]
    more = len(items) > len(kept) or any(found["next"] is not None for found in lists)
    following = cursors.build(_APPLICATIONS, kept[-1]["name"]) if more else None
    return responses.listing(request, kept, following)


def _of_audit(request: Request, partitions: list[str], plain: Question) -> Mapping[str, Question]:
    given = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    places = _places(request, partitions)

    def at(place: int) -> Question:
        return replace(plain, query=urlencode([*given, ("cursor", cursors.build("audit", str(place)))]))

    return {partition: at(place) for partition, place in zip(partitions, places, strict=True)}


def _places(request: Request, partitions: list[str]) -> list[int]:
    cursor = request.query_params.get("cursor")
    return [_TOP for _ in partitions] if cursor is None else cursors.parse_numbers(_AUDIT, cursor, len(partitions))


def _audit(request: Request, answers: Answers) -> Response:
    found = _documents(answers)
    entries = [(partition, item) for partition, page in found.items() for item in page["items"]]
    entries.sort(key=lambda entry: datetime.fromisoformat(entry[1]["at"]), reverse=True)
    kept = entries[: _limit(request)]
    places = dict(zip(answers, _places(request, list(answers)), strict=True))
    for partition, item in kept:
        places[partition] = int(item["id"])
    more = len(entries) > len(kept) or any(page["next"] is not None for page in found.values())
    following = cursors.build_numbers(_AUDIT, places.values()) if more else None
    return responses.listing(request, [_told_apart(partition, item) for partition, item in kept], following)


def _told_apart(partition: str, item: Json) -> Json:
    return item if partition == MAIN else {**item, "id": f"{partition}-{item['id']}"}


def _freeze(_request: Request, answers: Answers) -> Response:
    found = list(_documents(answers).values())
    # All are frozen only when every one is.
    told = next((item for item in found if not item.get("frozen")), found[0])
    if "withdrawn" in told:
        told = {**told, "withdrawn": sum(item["withdrawn"] for item in found)}
    return responses.document(told)


def _doctor(_request: Request, answers: Answers) -> Response:
    checks: dict[str, Json] = {}
    for partition, found in _documents(answers).items():
        for check in found["checks"]:
            worst = checks.get(check["check"])
            if worst is None or _SEVERITY[check["status"]] > _SEVERITY[worst["status"]]:
                where = "" if partition == MAIN else f"partition {partition}: "
                checks[check["check"]] = {**check, "detail": f"{where}{check['detail']}"}
    return responses.document({"checks": list(checks.values())})


_MERGES: Mapping[tuple[str, str], Merge] = {
    ("GET", "/api/v1/applications"): Merge(questions=_same, combine=_applications),
    ("GET", "/api/v1/audit"): Merge(questions=_of_audit, combine=_audit),
    ("GET", "/api/v1/doctor"): Merge(questions=_same, combine=_doctor),
    **{(method, "/api/v1/freeze"): Merge(questions=_same, combine=_freeze) for method in ("GET", "POST", "DELETE")},
    **{("POST", path): Merge(questions=_same, combine=_first) for path in ("/freeze", "/logout")},
}
