"""The routes of software definitions.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from orchestrator.api import requests, responses, schemas
from orchestrator.api.authors import By
from orchestrator.api.contexts import Context
from orchestrator.api.requests import LIMITS
from orchestrator.application import preconditions
from orchestrator.application.definitions import Defined
from orchestrator.application.documents import bodies
from orchestrator.application.documents import software as documents
from orchestrator.application.documents.endpoints import RecallBody
from orchestrator.application.documents.software import Definition, SoftwareBody
from orchestrator.application.problems import NotFoundError
from orchestrator.application.records import SoftwareRecord
from orchestrator.domain.versions import Version

router = APIRouter(prefix="/api/v1/applications/{app}/software", tags=["software"])


@router.get("", responses=schemas.array(schemas.Software))
async def list_software(app: str, context: Context) -> Response:
    """List an application's software, the highest version first."""
    return responses.document([documents.build(record) for record in context.definitions.all(app)])


@router.get("/{version}", responses=schemas.resource(schemas.Software))
async def get_software(app: str, version: str, context: Context) -> Response:
    """Get one software."""
    record = context.definitions.get(app, Version.parse(version))
    # No 304: `offeredAt` is in the document and not in the tag, which covers what operators edit.
    return responses.document(documents.build(record), tag=_tag(record))


@router.put("/{version}", responses=schemas.written(schemas.Software), openapi_extra=schemas.body(SoftwareBody))
async def put_software(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Define a software, or define it anew."""
    parsed = Version.parse(version)
    try:
        present = documents.build(context.definitions.get(app, parsed))
    except NotFoundError:
        present = {"version": parsed.text}
    members = bodies.without_read_only(await requests.members(request), documents.READ_ONLY, present, LIMITS)
    definition = documents.read(members, LIMITS)
    defined = await context.definitions.put(app, parsed, definition, requests.precondition(request), by=by)
    return _written(defined)


@router.patch("/{version}", responses=schemas.resource(schemas.Software), openapi_extra=schemas.patch())
async def patch_software(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Change some members of a software by a JSON merge patch."""
    patch = await requests.members(request)

    def revised(record: SoftwareRecord) -> Definition:
        members = bodies.patched(documents.build(record), patch, documents.READ_ONLY, LIMITS)
        return documents.read(members, LIMITS)

    required = requests.precondition(request)
    return _written(await context.definitions.patch(app, Version.parse(version), revised, required, by=by))


@router.delete("/{version}", status_code=204, responses=schemas.PROBLEMS)
async def delete_software(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Delete a software; open offers of it end."""
    required = requests.precondition(request)
    return responses.deleted(withdrawn=await context.definitions.delete(app, Version.parse(version), required, by=by))


@router.post(
    "/{version}/recall",
    responses=schemas.resource(schemas.Recalled),
    openapi_extra=schemas.body(RecallBody, required=False),
)
async def recall_software(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Have a software run no more, for good: it is offered to nobody, and endpoints on it are moved off along edges."""
    body = RecallBody.read(await requests.optional_members(request), LIMITS)
    defined = await context.definitions.recall(app, Version.parse(version), by=by.because(body.reason))
    content = {**documents.build(defined.record), "withdrawn": defined.withdrawn}
    return responses.document(content, tag=_tag(defined.record))


def _written(defined: Defined) -> Response:
    content = documents.build(defined.record)
    return responses.written(content, _tag(defined.record), created=defined.created, withdrawn=defined.withdrawn)


def _tag(record: SoftwareRecord) -> str:
    return preconditions.tag_of(record, record.created_at)
