"""What forms of pages send.

Rules:
- A form is read to its limit and no further; a field counts once, and surrounding blanks do not.
- The way back after signing in is a path of ours, or the first page.

Spec: URL Living Standard, `application/x-www-form-urlencoded`.
Layer: dashboard.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import Request

from orchestrator.api.problems import MediaTypeError
from protocol.errors import PayloadTooLargeError

LIMIT_BYTES = 16 * 1024
_FORM = "application/x-www-form-urlencoded"


async def fields(request: Request) -> dict[str, str]:
    """The fields of the form that was sent; empty ones are left out.

    Raises:
        MediaTypeError: it is said to be something else.
        PayloadTooLargeError: it is larger than `LIMIT_BYTES`.
    """
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != _FORM:
        raise MediaTypeError(given, _FORM)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT_BYTES:
            raise PayloadTooLargeError(len(body), LIMIT_BYTES)
    parsed = parse_qs(body.decode(errors="replace"))
    stripped = {name: values[0].strip() for name, values in parsed.items()}
    return {name: value for name, value in stripped.items() if value}


def way_back(given: str | None) -> str:
    """The path to go on at: the one that was given if it is one of ours."""
    if given is None or not given.startswith("/") or given.startswith(("//", "/\\")):
        return "/"
    # Browsers drop tabs and line breaks, so that "/\t/evil" would lead elsewhere.
    return given if given.isprintable() and "\\" not in given else "/"
