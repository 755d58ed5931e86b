"""The routes of an application's graph and numbers.

Layer: api.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Query, Response

from orchestrator.api import problems, responses, schemas
from orchestrator.api.contexts import Context
from orchestrator.application.documents import fleets
from orchestrator.application.drawings import dots, svgs, tables
from orchestrator.application.drawings.charts import Chart

router = APIRouter(prefix="/api/v1/applications/{app}", tags=["fleet"])


class Form(Enum):
    """How a graph is answered."""

    JSON = "json"
    TEXT = "text"
    DOT = "dot"
    SVG = "svg"


_DRAWN: dict[Form, tuple[str, Callable[[Chart], str]]] = {
    Form.TEXT: ("text/plain; charset=utf-8", tables.draw),
    Form.DOT: ("text/vnd.graphviz; charset=utf-8", dots.draw),
    Form.SVG: ("image/svg+xml", svgs.draw),
}

FormQuery = Annotated[Form, Query(alias="format", description="JSON, or a drawing for terminals, Graphviz or pages.")]


@router.get("/graph", responses=schemas.drawn(schemas.Graph, *(kind for kind, _ in _DRAWN.values())))
async def get_graph(app: str, context: Context, form: FormQuery = Form.JSON) -> Response:
    """Get the upgrade graph, with how many endpoints run each version."""
    chart = await context.observations.chart(app)
    if form is Form.JSON:
        return responses.document(fleets.build_graph(chart))
    media_type, draw = _DRAWN[form]
    return Response(draw(chart), headers=problems.NO_STORE, media_type=media_type)


@router.get("/summary", responses=schemas.resource(schemas.Summary))
async def get_summary(app: str, context: Context) -> Response:
    """Get an application's numbers."""
    return responses.document(await context.observations.summary(app))
