"""The pages of endpoints: those that were searched for, and one with its reasons and its history.

Rules:
- A search finds an endpoint by its endpointId or its token, exactly; what finds one leads to its page.

Layer: dashboard.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from orchestrator.api import cursors
from orchestrator.api.authors import By
from orchestrator.api.contexts import ApiContext, Context
from orchestrator.api.requests import Cursor
from orchestrator.application.documents import attentions
from orchestrator.application.documents import endpoints as documents
from orchestrator.application.problems import NotFoundError
from orchestrator.application.records import EndpointQuery
from orchestrator.dashboard import forms, renderings, routes
from orchestrator.dashboard.fleets import APPLICATIONS
from orchestrator.dashboard.renderings import path_of, shown
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.versions import Version

router = routes.router()

ITEMS = 50
"""On one page."""
UNKNOWN = "unknown"
_KIND, _HISTORY = "endpoints", "history"

SearchQuery = Annotated[str | None, Query(max_length=200, description="An endpointId or a token.")]


@router.get("/applications/{app}/endpoints")
async def list_endpoints(
    request: Request,
    app: str,
    context: Context,
    *,
    q: SearchQuery = None,
    version: str | None = None,
    state: AttemptState | None = None,
    cursor: Cursor = None,
) -> Response:
    """Show the endpoints that were asked for, or the one that a search finds."""
    entry = context.observations.entry(app)
    search = (q or "").strip()
    if search:
        endpoint_id = await _find(context, app, search)
        if endpoint_id is not None:
            return renderings.redirect(path_of(APPLICATIONS, app, "endpoints", endpoint_id))
        return renderings.page(request, "nothing.html", app=app, search=search)
    query = EndpointQuery(
        after=0 if not cursor else cursors.parse_number(_KIND, cursor),
        limit=ITEMS + 1,
        running=None if version in {None, "", UNKNOWN} else (Version.parse(version or ""),),
        unknown=version == UNKNOWN,
        state=state,
    )
    found = await context.observations.endpoints(app, query)
    more = cursors.build(_KIND, str(found[ITEMS - 1].record.key)) if len(found) > ITEMS else None
    chosen = {"version": version} if version else {}
    chosen |= {"state": state.value} if state else {}
    return renderings.page(
        request,
        "endpoints.html",
        app=app,
        chosen=chosen,
        endpoints=[shown(documents.build(item, entry)) for item in found[:ITEMS]],
        first=cursor is None,
        following=None if more is None else urlencode({**chosen, "cursor": more}),
    )


async def _find(context: ApiContext, app: str, search: str) -> str | None:
    try:
        return (await context.endpoints.get(app, search)).endpoint_id
    except NotFoundError:
        found = await context.observations.endpoints(app, EndpointQuery(token=search, limit=1))
        return found[0].endpoint_id if found else None


@router.get("/applications/{app}/attention")
async def list_attention(request: Request, app: str, context: Context) -> Response:
    """Show the endpoints that need attention, the worst first."""
    found = await context.observations.attention(app, None, 500)
    return renderings.page(request, "attention.html", app=app, attention=[shown(attentions.build(i)) for i in found])


@router.get("/applications/{app}/endpoints/{endpoint_id}")
async def get_endpoint(
    request: Request, app: str, endpoint_id: str, context: Context, cursor: Cursor = None
) -> Response:
    """Show one endpoint: what it runs, what it is offered and why, and what has happened to it."""
    document = await context.endpoints.get(app, endpoint_id)
    before = None if not cursor else cursors.parse_number(_HISTORY, cursor)
    history = await context.observations.history(app, endpoint_id, before, ITEMS + 1)
    explanation = shown(await context.observations.explanation(app, endpoint_id))
    candidates = [explanation["hop"], *explanation["path"], *(item["version"] for item in explanation["software"])]
    return renderings.page(
        request,
        "endpoint.html",
        app=app,
        endpoint=shown(documents.build(document, context.endpoints.entry(app))),
        explanation=explanation,
        decisive=next(filter(None, candidates), None),
        history=[shown(documents.build_history(item)) for item in history[:ITEMS]],
        older=cursors.build(_HISTORY, str(history[ITEMS - 1].number)) if len(history) > ITEMS else None,
        newest=cursor is None,
    )


@router.post("/applications/{app}/endpoints/{endpoint_id}/retry")
async def retry(request: Request, app: str, endpoint_id: str, context: Context, by: By) -> Response:
    """Forget the endpoint's failures, so that it is offered what it had failed at."""
    given = await forms.fields(request)
    await context.endpoints.retry(app, endpoint_id, None, by=by.because(given.get("reason")))
    return renderings.redirect(path_of(APPLICATIONS, app, "endpoints", endpoint_id))
