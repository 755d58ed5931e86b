"""The route of the document that describes what is said over MQTT.

Layer: api.
"""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter, Response

from orchestrator.api import responses, schemas
from orchestrator.application.documents import asyncapi, texts
from orchestrator.application.documents.texts import Raw

router = APIRouter(prefix="/api/v1", tags=["asyncapi"])


@router.get("/asyncapi.json", responses=schemas.PROBLEMS)
async def get_asyncapi() -> Response:
    """Get the AsyncAPI document of everything that is said over MQTT."""
    return responses.document(_document())


@cache
def _document() -> Raw:
    return Raw(texts.build(asyncapi.build()))
