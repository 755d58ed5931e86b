"""The routes of freezes: of one application, and of all.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import Field

from orchestrator.api import requests, responses, schemas
from orchestrator.api.authors import By
from orchestrator.api.contexts import Context
from orchestrator.api.requests import LIMITS
from orchestrator.application.authors import Author
from orchestrator.application.documents import freezes as documents
from orchestrator.application.documents.freezes import FreezeBody

router = APIRouter(prefix="/api/v1", tags=["freezes"])


class Frozen(schemas.Freeze):
    """What has become of a freeze."""

    withdrawn: int = Field(description="Unstarted offers that end by it.")


_BODY = schemas.body(FreezeBody, required=False)


@router.get("/freeze", responses=schemas.resource(schemas.Freeze))
async def get_freeze(context: Context) -> Response:
    """Say whether all applications are frozen."""
    return responses.document(documents.build(await context.freezes.get(None)))


@router.post("/freeze", responses=schemas.resource(Frozen), openapi_extra=_BODY)
async def freeze(request: Request, context: Context, by: By) -> Response:
    """Stop every new offer of every application at once, until the freeze is lifted."""
    return await _change(request, context, None, by)


@router.delete("/freeze", responses=schemas.resource(Frozen))
async def lift_freeze(context: Context, by: By) -> Response:
    """Lift the freeze of all applications; those that have their own stay frozen."""
    return await _lift(context, None, by)


@router.get("/applications/{app}/freeze", responses=schemas.resource(schemas.Freeze))
async def get_application_freeze(app: str, context: Context) -> Response:
    """Say whether an application is frozen, by its own freeze or by that of all."""
    return responses.document(documents.build(await context.freezes.get(app)))


@router.post("/applications/{app}/freeze", responses=schemas.resource(Frozen), openapi_extra=_BODY)
async def freeze_application(request: Request, app: str, context: Context, by: By) -> Response:
    """Stop every new offer of an application at once, until the freeze is lifted."""
    return await _change(request, context, app, by)


@router.delete("/applications/{app}/freeze", responses=schemas.resource(Frozen))
async def lift_application_freeze(app: str, context: Context, by: By) -> Response:
    """Lift an application's own freeze; that of all applications stays."""
    return await _lift(context, app, by)


async def _change(request: Request, context: Context, app: str | None, by: Author) -> Response:
    body = FreezeBody.read(await requests.optional_members(request), LIMITS)
    author = by.because(body.reason)
    if not body.frozen:
        return await _lift(context, app, author)
    frozen = await context.freezes.set(app, author)
    return responses.document({**documents.build(frozen.freeze), "withdrawn": frozen.withdrawn})


async def _lift(context: Context, app: str | None, by: Author) -> Response:
    frozen = await context.freezes.lift(app, by)
    return responses.document({**documents.build(frozen.freeze), "withdrawn": frozen.withdrawn})
