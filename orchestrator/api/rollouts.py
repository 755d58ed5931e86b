"""The routes of rollouts.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from orchestrator.api import requests, responses, schemas
from orchestrator.api.authors import By
from orchestrator.api.contexts import ApiContext, Context
from orchestrator.api.requests import LIMITS
from orchestrator.application.authors import Author
from orchestrator.application.documents import progress as documents
from orchestrator.application.documents.endpoints import RecallBody
from orchestrator.application.documents.progress import ApprovalBody
from orchestrator.application.rollouts import Moved
from orchestrator.domain.versions import Version

router = APIRouter(prefix="/api/v1/applications/{app}/software/{version}/rollout", tags=["rollouts"])
_MOVED = schemas.resource(schemas.MovedRollout)
_BODY = schemas.body(RecallBody, required=False)
_APPROVAL = schemas.body(ApprovalBody, required=False)


@router.get("", responses=schemas.resource(schemas.Rollout))
async def get_rollout(app: str, version: str, context: Context) -> Response:
    """Get how far a rollout is, and why it waits."""
    view = await context.rollouts.get(app, Version.parse(version))
    return responses.document(documents.build(view, context.now()))


@router.post("/pause", responses=_MOVED, openapi_extra=_BODY)
async def pause_rollout(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Pause: unstarted offers are withdrawn, running installs end, and no new offers are made until it is resumed."""
    moved = await context.rollouts.pause(app, Version.parse(version), by=await _author(request, by))
    return await _moved(app, version, context, moved)


@router.post("/resume", responses=_MOVED, openapi_extra=_BODY)
async def resume_rollout(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Go on where it was paused; the failures that were seen so far stop it no more."""
    moved = await context.rollouts.resume(app, Version.parse(version), by=await _author(request, by))
    return await _moved(app, version, context, moved)


@router.post("/abort", responses=_MOVED, openapi_extra=_BODY)
async def abort_rollout(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Abort for good: unstarted offers are withdrawn, running installs end, and no offers are made any more."""
    moved = await context.rollouts.abort(app, Version.parse(version), by=await _author(request, by))
    return await _moved(app, version, context, moved)


@router.post("/approve", responses=_MOVED, openapi_extra=_APPROVAL)
async def approve_rollout(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Leave the present stage, whatever its gate says; with `stage`, only if it is that one."""
    body = ApprovalBody.read(await requests.optional_members(request), LIMITS)
    author = by.because(body.reason)
    moved = await context.rollouts.approve(app, Version.parse(version), stage=body.stage, by=author)
    return await _moved(app, version, context, moved)


async def _author(request: Request, by: Author) -> Author:
    body = RecallBody.read(await requests.optional_members(request), LIMITS)
    return by.because(body.reason)


async def _moved(app: str, version: str, context: ApiContext, moved: Moved) -> Response:
    view = await context.rollouts.get(app, Version.parse(version))
    return responses.document(documents.build_moved(view, context.now(), moved))
