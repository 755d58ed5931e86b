"""The route of bulk imports.

Rules:
- The body is read line by line, never held as a whole; what is too long is told as an error of its line.

Layer: api.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response

from orchestrator.api import responses, schemas
from orchestrator.api.authors import By
from orchestrator.api.contexts import Context
from orchestrator.api.problems import MediaTypeError
from orchestrator.api.schemas import Shape
from orchestrator.application.documents import imports as documents
from orchestrator.application.documents.imports import LINE, ImportBody
from orchestrator.application.imports import Line
from protocol.errors import PayloadTooLargeError

router = APIRouter(prefix="/api/v1/applications/{app}/endpoints", tags=["endpoints"])

MEDIA_TYPE = "application/x-ndjson"
MOST_BYTES = 64 * 1024 * 1024


class LineProblem(Shape):
    """A line that was not imported, or not as it says."""

    line: int
    code: str
    detail: str


class Imported(Shape):
    """What has become of the lines."""

    created: int
    updated: int
    unchanged: int
    failed: int
    errors: list[LineProblem]


@router.post(
    "",
    responses=schemas.resource(Imported),
    openapi_extra=schemas.body(ImportBody, media_type=MEDIA_TYPE),
)
async def import_endpoints(request: Request, app: str, context: Context, by: By) -> Response:
    """Create or update many endpoints: one JSON object per line, imported page by page; errors are told by line."""
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise MediaTypeError(given, MEDIA_TYPE)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MOST_BYTES:
        raise PayloadTooLargeError(int(declared), MOST_BYTES)
    return responses.document(documents.build(await context.imports.run(app, _lines(request), by=by)))


async def _lines(request: Request) -> AsyncIterator[Line]:
    """The lines of the body that are not blank; of one that is too long no more than the limit is kept."""
    number, total, rest, cut = 1, 0, b"", False
    async for chunk in request.stream():
        total += len(chunk)
        if total > MOST_BYTES:
            yield Line(number=number, text=None, limit_bytes=MOST_BYTES)
            return
        *whole, last = (rest + chunk).split(b"\n")
        for text in whole:
            if cut or len(text) > LINE.payload_bytes:
                yield Line(number=number, text=None)
            elif text.strip():
                yield Line(number=number, text=text)
            number, cut = number + 1, False
        cut = cut or len(last) > LINE.payload_bytes
        rest = b"" if cut else last
    if cut:
        yield Line(number=number, text=None)
    elif rest.strip():
        yield Line(number=number, text=rest)
