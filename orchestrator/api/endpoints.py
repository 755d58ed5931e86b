"""The routes of endpoints.

Layer: api.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from orchestrator.api import cursors, requests, responses, schemas
from orchestrator.api.authors import By
from orchestrator.api.contexts import Context
from orchestrator.api.requests import LIMITS, Cursor, Limit
from orchestrator.application import preconditions
from orchestrator.application.directory import Entry
from orchestrator.application.documents import bodies, durations
from orchestrator.application.documents import endpoints as documents
from orchestrator.application.documents.endpoints import ConsentBody, EndpointBody, RetryBody, TokenBody
from orchestrator.application.problems import FilterUnknownError, MemberError, NotFoundError
from orchestrator.application.records import EndpointDocument, EndpointQuery
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.filters import Filter
from orchestrator.domain.versions import Version
from protocol import topics
from protocol.errors import quoted

router = APIRouter(prefix="/api/v1/applications/{app}/endpoints", tags=["endpoints"])

UNKNOWN = "unknown"
_KIND = "endpoints"
_HISTORY = "history"

VersionQuery = Annotated[str | None, Query(description="What they run; `unknown`: those that reported nothing.")]
StateQuery = Annotated[AttemptState | None, Query(description="Of their latest attempt.")]
FilterQuery = Annotated[str | None, Query(alias="filter", description="A filter that matches them.")]
TokenStateQuery = Annotated[TokenState | None, Query(alias="tokenState", description="Of their token.")]
UnseenQuery = Annotated[
    str | None, Query(alias="unseenFor", description="Not heard for so long, as an ISO 8601 duration: `P30D`.")
]
TokenQuery = Annotated[str | None, Query(description="Their token, exactly.")]


@router.get("", responses=schemas.listing(schemas.Endpoint))
async def list_endpoints(  # noqa: PLR0913 - each parameter of the query is one of the function
    request: Request,
    app: str,
    context: Context,
    *,
    version: VersionQuery = None,
    state: StateQuery = None,
    filter_id: FilterQuery = None,
    token: TokenQuery = None,
    token_state: TokenStateQuery = None,
    unseen_for: UnseenQuery = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List endpoints in the order in which they were registered."""
    entry = context.observations.entry(app)
    query = EndpointQuery(
        after=0 if cursor is None else cursors.parse_number(_KIND, cursor),
        limit=limit + 1,
        running=None if version in {None, UNKNOWN} else (Version.parse(version or ""),),
        unknown=version == UNKNOWN,
        state=state,
        token=token,
        token_state=token_state,
        silent_since=None if unseen_for is None else context.now() - _span(unseen_for),
        filter=_filter(entry, filter_id),
    )
    found = await context.observations.endpoints(app, query)
    more = cursors.build(_KIND, str(found[limit - 1].record.key)) if len(found) > limit else None
    return responses.listing(request, [documents.build(item, entry) for item in found[:limit]], more)


@router.get("/{endpoint_id}", responses=schemas.resource(schemas.Endpoint))
async def get_endpoint(app: str, endpoint_id: str, context: Context) -> Response:
    """Get one endpoint."""
    return _shown(context, app, await context.endpoints.get(app, endpoint_id))


@router.put("/{endpoint_id}", responses=schemas.written(schemas.Endpoint), openapi_extra=schemas.body(EndpointBody))
async def put_endpoint(request: Request, app: str, endpoint_id: str, context: Context, by: By) -> Response:
    """Create or replace an endpoint."""
    if not topics.ENDPOINT_ID.fullmatch(endpoint_id):
        reason = f"{quoted(endpoint_id)} is no endpointId: 1 to 64 letters, digits, '.', '_', '~' and '-'"
        raise MemberError(reason, "endpoint-id-invalid")
    try:
        present = documents.build(await context.endpoints.get(app, endpoint_id), context.endpoints.entry(app))
    except NotFoundError:
        present = {"endpointId": endpoint_id}
    given = await requests.members(request)
    if len(present) > 1:
        # That the endpoint was heard since it was read is no edit, and its tag does not cover it.
        given = {name: text for name, text in given.items() if name not in documents.VOLATILE}
    members = bodies.without_read_only(given, documents.READ_ONLY, present, LIMITS)
    body = EndpointBody.read(members, LIMITS)
    document, created = await context.endpoints.put(app, endpoint_id, body, requests.precondition(request), by=by)
    return _shown(context, app, document, status=201 if created else 200)


@router.patch("/{endpoint_id}", responses=schemas.resource(schemas.Endpoint), openapi_extra=schemas.patch())
async def patch_endpoint(request: Request, app: str, endpoint_id: str, context: Context, by: By) -> Response:
    """Change some members of an endpoint by a JSON merge patch."""
    patch = await requests.members(request)

    def revised(document: EndpointDocument) -> EndpointBody:
        present = documents.build(document, context.endpoints.entry(app))
        return EndpointBody.read(bodies.patched(present, patch, documents.READ_ONLY, LIMITS), LIMITS)

    required = requests.precondition(request)
    return _shown(context, app, await context.endpoints.patch(app, endpoint_id, revised, required, by=by))


@router.delete("/{endpoint_id}", status_code=204, responses=schemas.PROBLEMS)
async def delete_endpoint(request: Request, app: str, endpoint_id: str, context: Context, by: By) -> Response:
    """Delete an endpoint with its history."""
    await context.endpoints.delete(app, endpoint_id, requests.precondition(request), by=by)
    return responses.deleted()


@router.get("/{endpoint_id}/explain", responses=schemas.resource(schemas.Explanation))
async def explain_endpoint(app: str, endpoint_id: str, context: Context) -> Response:
    """Say why an endpoint is offered what it is offered, or nothing."""
    return responses.document(await context.observations.explanation(app, endpoint_id))


@router.get("/{endpoint_id}/history", responses=schemas.listing(schemas.History))
async def list_history(
    request: Request, app: str, endpoint_id: str, context: Context, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List what happened to an endpoint, newest first."""
    before = None if cursor is None else cursors.parse_number(_HISTORY, cursor)
    found = await context.observations.history(app, endpoint_id, before, limit + 1)
    more = cursors.build(_HISTORY, str(found[limit - 1].number)) if len(found) > limit else None
    return responses.listing(request, [documents.build_history(item) for item in found[:limit]], more)


@router.post(
    "/{endpoint_id}/retry",
    responses=schemas.resource(schemas.Endpoint),
    openapi_extra=schemas.body(RetryBody, required=False),
)
async def retry_endpoint(request: Request, app: str, endpoint_id: str, context: Context, by: By) -> Response:
    """Forget an endpoint's failures, so that it is offered what it had failed at."""
    body = RetryBody.read(await requests.optional_members(request), LIMITS)
    version = None if body.version is None else Version.parse(body.version)
    return _shown(context, app, await context.endpoints.retry(app, endpoint_id, version, by=by))


@router.post(
    "/{endpoint_id}/consent",
    responses=schemas.resource(schemas.Endpoint),
    openapi_extra=schemas.body(ConsentBody, required=False),
)
async def consent_to_version(request: Request, app: str, endpoint_id: str, context: Context, by: By) -> Response:
    """Give consent to a version at an endpoint, or refuse it, or take it back."""
    body = ConsentBody.read(await requests.optional_members(request), LIMITS)
    version = None if body.version is None else Version.parse(body.version)
    author = by.because(body.reason)
    return _shown(
        context, app, await context.endpoints.consent(app, endpoint_id, version, granted=body.granted, by=author)
    )


@router.post(
    "/{endpoint_id}/token",
    responses=schemas.resource(schemas.Endpoint),
    openapi_extra=schemas.body(TokenBody, required=False),
)
async def change_token(request: Request, app: str, endpoint_id: str, context: Context, by: By) -> Response:
    """Suspend, revoke or reinstate an endpoint's token, or exchange it; without a body, for one made of chance."""
    body = TokenBody.read(await requests.optional_members(request), LIMITS)
    return _shown(context, app, await context.endpoints.change_token(app, endpoint_id, body.state, body.token, by=by))


def _span(text: str) -> timedelta:
    try:
        return durations.parse(text)
    except ValueError as error:
        raise MemberError(f"unseenFor: {error}") from error


def _filter(entry: Entry, filter_id: str | None) -> Filter | None:
    if filter_id is None:
        return None
    if filter_id not in entry.filters:
        raise FilterUnknownError(filter_id)
    return entry.filters[filter_id].filter


def _shown(context: Context, app: str, document: EndpointDocument, *, status: int = 200) -> Response:
    content = documents.build(document, context.endpoints.entry(app))
    tag = preconditions.tag_of(document, document.record.endpoint.registered_at)
    return responses.document(content, tag=tag, status=status)
