"""The route of the doctor.

Layer: api.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from orchestrator.api import responses, schemas
from orchestrator.api.contexts import Context
from orchestrator.api.schemas import Shape
from orchestrator.application.diagnoses import Status
from orchestrator.application.documents import diagnoses as documents

router = APIRouter(prefix="/api/v1", tags=["service"])


class Check(Shape):
    """One thing that was looked at."""

    check: str
    status: Status
    detail: str
    advice: str | None


class Diagnosis(Shape):
    """Everything that was looked at."""

    checks: list[Check]


@router.get("/doctor", responses=schemas.resource(Diagnosis))
async def get_diagnosis(context: Context) -> Response:
    """Look at the broker, the database, the clock and the keys, and say what to change."""
    return responses.document(documents.build(await context.diagnoses.run()))
