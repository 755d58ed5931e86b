"""Errors as problem documents.

Rules:
- Every answer of 400 and above is one, the framework's own too; `code` is stable, `message` is Kaa's name of `detail`.
- Status, code and sentence are those of `failures`, which other ways to the service tell as well.

Spec: RFC 9457; RFC 9110 §15.5.
Layer: api.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from orchestrator.application import failures
from orchestrator.application.documents import texts
from orchestrator.application.documents.texts import Document
from orchestrator.application.ports import StorageError
from orchestrator.application.problems import RequestError
from orchestrator.application.records import AppVersionTakenError
from orchestrator.domain.errors import DomainError
from protocol.errors import MessageError, quoted

MEDIA_TYPE = "application/problem+json"
NO_STORE = {"Cache-Control": "no-store"}
"""Specifications may hold credentials: nothing here is to be kept by anybody on the way."""

_HEADERS = {413: {"Connection": "close"}, 503: {"Retry-After": "1"}}


class ParameterError(RequestError):
    """A parameter of the query is unknown, or not what it has to be."""

    def __init__(self, name: str, reason: str, code: str = "parameter-invalid") -> None:
        """Name the parameter."""
        super().__init__(f"the parameter {quoted(name)} {reason}")
        self.code = code


class MediaTypeError(RequestError):
    """The body is said to be of a kind that is not read here."""

    code = "media-type-unsupported"
    status_code = 415

    def __init__(self, given: str, wanted: str = "application/json") -> None:
        """Name what it is said to be, and what it has to be."""
        super().__init__(f"the body must be {wanted}, not {quoted(given)}")


class CrossSiteError(RequestError):
    """A page of another site sent the request."""

    code = "cross-site"
    status_code = 403

    def __init__(self) -> None:
        """Say so."""
        super().__init__("pages of other sites may not change anything here")


class HostError(RequestError):
    """The request names the service as nobody has set it up."""

    code = "host-unknown"
    status_code = 421

    def __init__(self) -> None:
        """Say what to set."""
        super().__init__("the service is not known by this name; OTAO_HTTP_HOSTS lists those that a proxy uses")


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem document as an answer."""
    body: Document = {
        "type": f"urn:otao:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "message": detail,
    }
    return Response(texts.build(body), status, {**NO_STORE, **(headers or {})}, MEDIA_TYPE)


def of(error: Exception) -> Response:
    """The problem that an error is; one of 500 for an error that nobody foresaw."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return of(ParameterError(str(first["loc"][-1]), f"is wrong: {first['msg']}"))
    failure = failures.of(error) or failures.UNFORESEEN
    return problem(failure.status_code, failure.code, failure.reason, _HEADERS.get(failure.status_code))


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Have the application, which has these routes, answer errors with problems."""

    async def answer(_: Request, error: Exception) -> Response:
        return of(error)

    async def not_found(request: Request, _: Exception) -> Response:
        return problem(404, "not-found", f"there is nothing at {quoted(request.url.path)}")

    async def not_allowed(request: Request, _: Exception) -> Response:
        # The framework names the methods of the first route only; RFC 9110 §15.5.6 wants all of them.
        here = [route for route in routes if route.path_regex.match(request.url.path)]
        allowed = {"Allow": ", ".join(sorted(set[str]().union(*(route.methods or () for route in here))))}
        return problem(405, "method-not-allowed", f"{quoted(request.method)} is not possible here", allowed)

    for kind in (RequestError, MessageError, DomainError, AppVersionTakenError, StorageError, RequestValidationError):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(404, not_found)
    app.add_exception_handler(405, not_allowed)
