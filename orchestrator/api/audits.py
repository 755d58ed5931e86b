"""The routes of the audit.

Layer: api.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, JsonValue

from orchestrator.api import cursors, responses, schemas
from orchestrator.api.contexts import Context
from orchestrator.api.requests import Cursor, Limit
from orchestrator.api.schemas import Shape
from orchestrator.application.audits import Action
from orchestrator.application.authors import Via
from orchestrator.application.documents import audits as documents

router = APIRouter(prefix="/api/v1", tags=["audit"])

_KIND = "audit"


class Audit(Shape):
    """One change by an operator."""

    id: str
    at: datetime
    application: str | None
    actor: str
    via: Via
    action: Action
    resource: str
    reason: str | None
    before: dict[str, JsonValue] | None = Field(description="Null: there was nothing.")
    after: dict[str, JsonValue] | None = Field(description="Null: there is nothing any more.")


ApplicationQuery = Annotated[str | None, Query(description="Only changes of this application, deleted or not.")]


@router.get("/audit", responses=schemas.listing(Audit))
async def list_audit(
    request: Request,
    context: Context,
    application: ApplicationQuery = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List who changed what, and why, newest first."""
    return await _listing(request, context, application, limit, cursor)


@router.get("/applications/{app}/audit", responses=schemas.listing(Audit))
async def list_application_audit(
    request: Request, app: str, context: Context, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List who changed what of an application, and why, newest first."""
    context.observations.entry(app)
    return await _listing(request, context, app, limit, cursor)


async def _listing(
    request: Request, context: Context, application: str | None, limit: int, cursor: str | None
) -> Response:
    before = None if cursor is None else cursors.parse_number(_KIND, cursor)
    found = await context.audits.list(application, before, limit + 1)
    more = cursors.build(_KIND, str(found[limit - 1].number)) if len(found) > limit else None
    return responses.listing(request, [documents.build(item) for item in found[:limit]], more)
