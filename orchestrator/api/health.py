"""The routes for those who watch the service itself.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from orchestrator.api import problems, responses, schemas
from orchestrator.api.contexts import Context

router = APIRouter(tags=["health"])

METRICS = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""


@router.get("/livez", responses=schemas.PROBLEMS)
async def get_livez() -> Response:
    """Answer as long as the process is alive."""
    return responses.document({"status": "alive"})


@router.get("/readyz", responses=schemas.PROBLEMS)
async def get_readyz(context: Context) -> Response:
    """Answer 200 when endpoints are served, else 503."""
    reason = context.unready()
    if reason is not None:
        return unready(reason)
    return responses.document({"status": "ready"})


def unready(reason: str) -> Response:
    """Answer that endpoints are not served, and why."""
    return problems.problem(503, "not-ready", reason, {"Retry-After": "1"})


@router.get("/metrics", responses=schemas.PROBLEMS, response_class=PlainTextResponse)
async def get_metrics(context: Context) -> Response:
    """Get all metrics in Prometheus' text format."""
    return Response(context.metrics(), headers=problems.NO_STORE, media_type=METRICS)
