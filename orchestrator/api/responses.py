"""Documents as answers.

Rules:
- A resource that people edit carries its ETag; a list its `next`, as a member and as a link.

Spec: RFC 9110 §8.8.3; RFC 8288 §3 for `Link`.
Layer: api.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import Request, Response

from orchestrator.api import requests
from orchestrator.api.problems import NO_STORE
from orchestrator.application.documents import texts
from orchestrator.application.documents.texts import Document, Node

JSON = "application/json"


def document(node: Node, *, tag: str | None = None, status: int = 200) -> Response:
    """A document, with its tag if it has one."""
    headers = dict(NO_STORE) if tag is None else {**NO_STORE, "ETag": f'"{tag}"'}
    return Response(texts.build(node), status, headers, JSON)


def resource(request: Request, content: Document, tag: str) -> Response:
    """The answer to a GET of one resource; empty when the request has it already."""
    if requests.unchanged(request, tag):
        return Response(status_code=304, headers={**NO_STORE, "ETag": f'"{tag}"'})
    return document(content, tag=tag)


def written(content: Document, tag: str, *, created: bool, withdrawn: int = 0) -> Response:
    """The answer to a PUT or PATCH: the stored resource, and how many offers end by it, if any do."""
    response = document(content, tag=tag, status=201 if created else 200)
    if withdrawn:
        response.headers["Otao-Withdrawn"] = str(withdrawn)
    return response


def deleted(*, withdrawn: int = 0) -> Response:
    """The answer to a DELETE, with how many offers end by it, if any do."""
    headers: Mapping[str, str] = {"Otao-Withdrawn": str(withdrawn)} if withdrawn else {}
    return Response(status_code=204, headers={**NO_STORE, **headers})


def listing(request: Request, items: Sequence[Document], following: str | None) -> Response:
    """One part of a list; `following` is the cursor of the next part, None when this is the last."""
    response = document({"items": items, "next": following})
    if following is not None:
        query = request.url.include_query_params(cursor=following).query
        response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return response
