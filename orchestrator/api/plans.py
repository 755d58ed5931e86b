"""The route of plans.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import Field

from orchestrator.api import requests, responses, schemas
from orchestrator.api.contexts import Context
from orchestrator.api.requests import LIMITS
from orchestrator.application.documents import plans as documents
from orchestrator.application.documents.applications import check_name
from orchestrator.application.documents.plans import PlanBody

router = APIRouter(prefix="/api/v1/applications/{app}", tags=["plans"])


class Move(schemas.Shape):
    """A hop that endpoints would make; `from` is null for an unknown version."""

    from_: str | None = Field(alias="from")
    to: str
    endpoints: int


class Unreachable(schemas.Shape):
    """Endpoints that would not come to the version, for one reason."""

    reason: str
    endpoints: int


class Plan(schemas.Shape):
    """What software would do to the fleet."""

    endpoints: int = Field(description="All of the application.")
    moves: list[Move]
    unreachable: list[Unreachable] = Field(description="The most first.")
    warnings: list[str]


@router.post("/plan", responses=schemas.resource(Plan), openapi_extra=schemas.body(PlanBody))
async def plan(request: Request, app: str, context: Context) -> Response:
    """Say what one software, or a catalogue, would do to the fleet; nothing is stored."""
    check_name(app)
    proposal = documents.read(await requests.members(request), LIMITS)
    return responses.document(await context.plans.plan(app, proposal))
