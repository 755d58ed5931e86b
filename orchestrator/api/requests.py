"""What a request brings: its body, what it requires of the resource, its parameters.

Rules:
- A body is read to its limit and no further; it is JSON, or says nothing of what it is.
- A parameter that the resource does not know is refused: a mistyped filter must not answer with everything.

Spec: RFC 9110 §8.3, §13.1; RFC 7396 §3 for the patches' media type.
Layer: api.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Query, Request
from fastapi.routing import APIRoute

from orchestrator.api.problems import MediaTypeError, ParameterError
from orchestrator.application.preconditions import ANY, Precondition
from protocol import payloads
from protocol.errors import PayloadTooLargeError
from protocol.payloads import Limits

LIMITS = Limits(payload_bytes=1024 * 1024, depth=64)
"""Of a body."""
MOST_ITEMS = 500

Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="How many items to answer at most.")]
Cursor = Annotated[str | None, Query(description="`next` of the list before.")]

_MEDIA_TYPES = frozenset({"", "application/json", "application/merge-patch+json"})
_TAG = re.compile(r'(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"')


async def members(request: Request) -> dict[str, str]:
    """The members of the body, an object, each with the exact text of its value.

    Raises:
        MediaTypeError: it is said to be something else than JSON.
        PayloadError: it is larger than `LIMITS` says, no JSON, or no object.
    """
    return payloads.members(await _body(request), LIMITS)


async def optional_members(request: Request) -> dict[str, str]:
    """The same; an empty body has no members.

    Raises:
        MediaTypeError: it is said to be something else than JSON.
        PayloadError: it is larger than `LIMITS` says, no JSON, or no object.
    """
    body = await _body(request)
    return payloads.members(body, LIMITS) if body else {}


async def _body(request: Request) -> bytes:
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() not in _MEDIA_TYPES:
        raise MediaTypeError(given, "application/json")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > LIMITS.payload_bytes:
        raise PayloadTooLargeError(int(declared), LIMITS.payload_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMITS.payload_bytes:
            raise PayloadTooLargeError(len(body), LIMITS.payload_bytes)
    return bytes(body)


def precondition(request: Request) -> Precondition:
    """What the request requires of the resource by `If-Match` and `If-None-Match: *`."""
    # A list may come in several lines (RFC 9110 §5.3).
    match = request.headers.getlist("if-match")
    tags = frozenset(_tags(", ".join(match))) if match else None
    return Precondition(tags=tags, absent=request.headers.get("if-none-match", "").strip() == ANY)


def unchanged(request: Request, tag: str) -> bool:
    """Whether the request has the resource already, as `If-None-Match` says."""
    given = request.headers.get("if-none-match")
    return given is not None and bool(_tags(given, weak=True) & {ANY, tag})


def _tags(header: str, *, weak: bool = False) -> set[str]:
    """The tags of a header; a weak one counts only where the comparison is weak."""
    if header.strip() == ANY:
        return {ANY}
    return {found["tag"] for found in _TAG.finditer(header) if weak or not found["weak"]} - {ANY}


async def refuse_unknown_parameters(request: Request) -> None:
    """Let only declared parameters pass, each once.

    Raises:
        ParameterError: there is another one, or one twice.
    """
    route = request.scope.get("route")
    known = {field.alias for field in route.dependant.query_params} if isinstance(route, APIRoute) else set()
    for name in request.query_params:
        if name not in known:
            raise ParameterError(name, "is unknown here", "parameter-unknown")
        if len(request.query_params.getlist(name)) > 1:
            raise ParameterError(name, "is given twice")
