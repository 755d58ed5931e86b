"""The route of endpoints that need attention.

Layer: api.
"""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import Field

from orchestrator.api import cursors, responses, schemas
from orchestrator.api.contexts import Context
from orchestrator.api.requests import Cursor, Limit
from orchestrator.api.schemas import Shape
from orchestrator.application.documents import attentions as documents
from orchestrator.application.records import AttentionPlace
from orchestrator.domain.attentions import TroubleKind

router = APIRouter(prefix="/api/v1/applications/{app}", tags=["fleet"])

_KIND = "attention"


class Attention(Shape):
    """An endpoint that needs attention."""

    endpoint_id: str
    token: str
    running_version: str | None
    severity: int = Field(ge=1, le=100)
    problem: TroubleKind
    reason: str
    advice: str
    since: datetime


@router.get("/attention", responses=schemas.listing(Attention))
async def list_attention(
    request: Request, app: str, context: Context, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List endpoints that need attention, the worst first, each with the reason and what to do."""
    found = await context.observations.attention(app, _place(cursor), limit + 1)
    more = _cursor(found[limit - 1].place) if len(found) > limit else None
    return responses.listing(request, [documents.build(item) for item in found[:limit]], more)


def _place(cursor: str | None) -> AttentionPlace | None:
    if cursor is None:
        return None
    severity, place, key = cursors.parse_numbers(_KIND, cursor, 3)
    return AttentionPlace(severity=severity, place=place, key=key)


def _cursor(place: AttentionPlace) -> str:
    return cursors.build_numbers(_KIND, (place.severity, place.place, place.key))
