"""The route of plans.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import Field

from orchestrator.api import access, requests, responses, schemas
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


class PlannedStage(schemas.Shape):
    """One stage; one of `percent`, `count` and `filter` says whom it admits."""

    stage: int = Field(description="From 0.")
    percent: float | None = None
    count: int | None = None
    filter: str | None = None
    endpoints: int = Field(description="Those that it admits, and no earlier one, that would come to the version.")


class PlannedRollout(schemas.Shape):
    """The stages of one software."""

    version: str
    stages: list[PlannedStage]
    duration: str | None = Field(description="At least; ISO 8601. Null: nothing takes time, or nobody would come.")


class FirstOffers(schemas.Shape):
    """What would happen at once."""

    version: str
    endpoints: int = Field(description="Those that would be offered it, and are not yet.")
    asked: int = Field(description="Those whose consent would be asked for, and is not yet.")


class Plan(schemas.Shape):
    """What software would do to the fleet."""

    endpoints: int = Field(description="All of the application.")
    moves: list[Move]
    stages: list[PlannedRollout] = Field(description="Of software with stages that is defined or changed.")
    first_offers: list[FirstOffers]
    duration: str | None = Field(description="The longest, the limits of the application over all moves included.")
    unreachable: list[Unreachable] = Field(description="The most first.")
    warnings: list[str]


@router.post("/plan", responses=schemas.resource(Plan), openapi_extra=schemas.body(PlanBody))
async def plan(request: Request, app: str, context: Context) -> Response:
    """Say what one software, or a catalogue, would do to the fleet; nothing is stored."""
    check_name(app)
    proposal = documents.read(await requests.members(request), LIMITS)
    if proposal.check_links:
        access.check_may_look(request)
    return responses.document(await context.plans.plan(app, proposal))
