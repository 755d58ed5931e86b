"""The routes of applications.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from orchestrator.api import cursors, requests, responses, schemas
from orchestrator.api.authors import By
from orchestrator.api.contexts import Context
from orchestrator.api.requests import LIMITS, Cursor, Limit
from orchestrator.application import preconditions
from orchestrator.application.documents import applications as documents
from orchestrator.application.documents import bodies
from orchestrator.application.documents.applications import ApplicationBody
from orchestrator.application.documents.texts import Document
from orchestrator.application.problems import NotFoundError
from orchestrator.application.records import Application

router = APIRouter(prefix="/api/v1/applications", tags=["applications"])

_KIND = "applications"


@router.get("", responses=schemas.listing(schemas.Application))
async def list_applications(request: Request, context: Context, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """List applications by name."""
    after = "" if cursor is None else cursors.parse(_KIND, cursor)
    following = [item for item in context.applications.all() if item.name > after]
    more = cursors.build(_KIND, following[limit - 1].name) if len(following) > limit else None
    return responses.listing(request, [documents.build(item) for item in following[:limit]], more)


@router.get("/{app}", responses=schemas.resource(schemas.Application))
async def get_application(request: Request, app: str, context: Context) -> Response:
    """Get one application."""
    application = context.applications.get(app)
    return responses.resource(request, documents.build(application), _tag(application))


@router.put("/{app}", responses=schemas.written(schemas.Application), openapi_extra=schemas.body(ApplicationBody))
async def put_application(request: Request, app: str, context: Context, by: By) -> Response:
    """Create or replace an application."""
    documents.check_name(app)
    members = await requests.members(request)
    given = {name: text for name, text in members.items() if name not in documents.VOLATILE}
    given = bodies.without_read_only(given, documents.READ_ONLY, _present(context, app), LIMITS)
    body = ApplicationBody.read(given, LIMITS)
    application, created = await context.applications.put(app, body, requests.precondition(request), by=by)
    return responses.written(documents.build(application), _tag(application), created=created)


@router.delete("/{app}", status_code=204, responses=schemas.PROBLEMS)
async def delete_application(request: Request, app: str, context: Context, by: By) -> Response:
    """Delete an application that has no endpoints."""
    await context.applications.delete(app, requests.precondition(request), by=by)
    return responses.deleted()


def _present(context: Context, name: str) -> Document:
    try:
        return documents.build(context.applications.get(name))
    except NotFoundError:
        return {"name": name}


def _tag(application: Application) -> str:
    return preconditions.tag_of(application, application.created_at)
