"""Routes that answer people: what is refused becomes a page that says why.

Layer: dashboard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from orchestrator.api import problems
from orchestrator.application.ports import StorageError
from orchestrator.application.problems import RequestError
from orchestrator.dashboard import renderings
from orchestrator.domain.errors import DomainError
from protocol.errors import MessageError

_REFUSALS = (RequestError, MessageError, DomainError, StorageError, RequestValidationError)


class PageRoute(APIRoute):
    """A route whose errors are pages, with the status and the words of REST's problems."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with its errors caught."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except _REFUSALS as error:
                problem = json.loads(bytes(problems.of(error).body))
                return renderings.page(request, "problem.html", status=problem["status"], problem=problem)

        return handled


def router() -> APIRouter:
    """A router for pages, which the OpenAPI document leaves out."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)
