"""The routes of an application's graph and numbers.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from orchestrator.api import responses, schemas
from orchestrator.api.contexts import Context

router = APIRouter(prefix="/api/v1/applications/{app}", tags=["fleet"])


@router.get("/graph", responses=schemas.resource(schemas.Graph))
async def get_graph(app: str, context: Context) -> Response:
    """Get the upgrade graph, with how many endpoints run each version."""
    return responses.document(await context.observations.graph(app))


@router.get("/summary", responses=schemas.resource(schemas.Summary))
async def get_summary(app: str, context: Context) -> Response:
    """Get an application's numbers."""
    return responses.document(await context.observations.summary(app))
