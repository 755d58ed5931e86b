"""The routes of filters.

Layer: api.
"""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response

from orchestrator.api import cursors, requests, responses, schemas
from orchestrator.api.authors import By
from orchestrator.api.contexts import Context
from orchestrator.api.requests import LIMITS, Cursor, Limit
from orchestrator.application import preconditions
from orchestrator.application.documents import bodies
from orchestrator.application.documents import endpoints as endpoint_documents
from orchestrator.application.documents import filters as documents
from orchestrator.application.documents.filters import FILTER_ID, FilterBody
from orchestrator.application.problems import MemberError
from orchestrator.application.records import EndpointQuery
from orchestrator.domain.filters import Filter
from protocol.errors import quoted

router = APIRouter(prefix="/api/v1/applications/{app}/filters", tags=["filters"])

_KIND = "filters"
_MATCHES = "matches"


@router.get("", responses=schemas.listing(schemas.Filter))
async def list_filters(
    request: Request, app: str, context: Context, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List an application's filters by identifier."""
    after = "" if cursor is None else cursors.parse(_KIND, cursor)
    following = [record for record in context.groups.all(app) if record.filter.filter_id > after]
    more = cursors.build(_KIND, following[limit - 1].filter.filter_id) if len(following) > limit else None
    return responses.listing(request, [documents.build(record) for record in following[:limit]], more)


@router.get("/{filter_id}", responses=schemas.resource(schemas.Filter))
async def get_filter(request: Request, app: str, filter_id: str, context: Context) -> Response:
    """Get one filter."""
    record = context.groups.get(app, filter_id)
    return responses.resource(request, documents.build(record), preconditions.tag_of(record, None))


@router.put("/{filter_id}", responses=schemas.written(schemas.Filter), openapi_extra=schemas.body(FilterBody))
async def put_filter(request: Request, app: str, filter_id: str, context: Context, by: By) -> Response:
    """Create or replace a filter."""
    if not re.fullmatch(FILTER_ID, filter_id):
        reason = f"{quoted(filter_id)} is no filterId: 1 to 64 letters, digits, _ and -"
        raise MemberError(reason, "filter-id-invalid")
    given = await requests.members(request)
    given = bodies.without_read_only(given, documents.READ_ONLY, {"filterId": filter_id}, LIMITS)
    body = FilterBody.read(given, LIMITS)
    wanted = Filter(filter_id=filter_id, expression=body.expression)
    record, created = await context.groups.put(app, wanted, body.description, requests.precondition(request), by=by)
    return responses.written(documents.build(record), preconditions.tag_of(record, None), created=created)


@router.delete("/{filter_id}", status_code=204, responses=schemas.PROBLEMS)
async def delete_filter(request: Request, app: str, filter_id: str, context: Context, by: By) -> Response:
    """Delete a filter that no software lists."""
    await context.groups.delete(app, filter_id, requests.precondition(request), by=by)
    return responses.deleted()


@router.get("/{filter_id}/endpoints", responses=schemas.listing(schemas.Endpoint))
async def list_matches(
    request: Request, app: str, filter_id: str, context: Context, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the endpoints that a filter matches."""
    after = 0 if cursor is None else cursors.parse_number(_MATCHES, cursor)
    query = EndpointQuery(after=after, limit=limit + 1, filter=context.groups.get(app, filter_id).filter)
    found = await context.observations.endpoints(app, query)
    more = cursors.build(_MATCHES, str(found[limit - 1].record.key)) if len(found) > limit else None
    entry = context.observations.entry(app)
    return responses.listing(request, [endpoint_documents.build(item, entry) for item in found[:limit]], more)
