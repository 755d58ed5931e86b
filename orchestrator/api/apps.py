"""The web application, put together.

Layer: api.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from orchestrator.api import (
    applications,
    asyncapi,
    attentions,
    audits,
    catalogue,
    diagnoses,
    endpoints,
    events,
    filters,
    fleets,
    freezes,
    health,
    imports,
    plans,
    problems,
    requests,
    rollouts,
    schemas,
    software,
)
from orchestrator.api.access import Access, Gatekeeper
from orchestrator.api.contexts import ApiContext
from orchestrator.api.guards import Guard
from orchestrator.application import products
from orchestrator.application.documents.applications import ApplicationBody
from orchestrator.application.documents.declarations import CatalogueBody
from orchestrator.application.documents.endpoints import ConsentBody, EndpointBody, RecallBody, RetryBody, TokenBody
from orchestrator.application.documents.filters import FilterBody
from orchestrator.application.documents.freezes import FreezeBody
from orchestrator.application.documents.imports import ImportBody
from orchestrator.application.documents.plans import PlanBody
from orchestrator.application.documents.progress import ApprovalBody
from orchestrator.application.documents.software import SoftwareBody

_BODIES = (
    ApprovalBody,
    ApplicationBody,
    CatalogueBody,
    ConsentBody,
    EndpointBody,
    FilterBody,
    FreezeBody,
    ImportBody,
    RecallBody,
    RetryBody,
    PlanBody,
    SoftwareBody,
    TokenBody,
)
_SHAPES = (
    attentions.Attention,
    audits.Audit,
    schemas.Application,
    schemas.Endpoint,
    schemas.Filter,
    schemas.History,
    schemas.Problem,
    schemas.Software,
)
_ROUTERS = [
    module.router
    for module in (
        applications,
        asyncapi,
        attentions,
        audits,
        catalogue,
        diagnoses,
        endpoints,
        events,
        filters,
        fleets,
        freezes,
        health,
        imports,
        plans,
        rollouts,
        software,
    )
]
_TEMPLATE = "#/components/schemas/{model}"


class _Application(FastAPI):
    """Adds to the OpenAPI document what routes read by themselves."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, made once."""
        if self.openapi_schema is None:
            document = get_openapi(title=self.title, version=self.version, routes=self.routes)
            _, read = models_json_schema([(kind, "validation") for kind in _BODIES], ref_template=_TEMPLATE)
            _, shown = models_json_schema([(kind, "serialization") for kind in _SHAPES], ref_template=_TEMPLATE)
            document["components"]["schemas"] |= read["$defs"] | shown["$defs"]
            self.openapi_schema = document
        return self.openapi_schema


def build(context: ApiContext, *, hosts: Collection[str] = (), access: Access | None = None) -> FastAPI:
    """Return the web application over these use cases.

    `hosts` are the names, besides localhost and addresses, under which a proxy passes requests on. Without `access`
    nobody needs a key.
    """
    app = _Application(
        title="Otao",
        version=products.version(),
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(requests.refuse_unknown_parameters)],
    )
    app.state.context = context
    for router in _ROUTERS:
        app.include_router(router)
    problems.install(app, [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)])
    if access is not None:
        app.add_middleware(Gatekeeper, access=access)
    # The last one added stands outermost.
    app.add_middleware(Guard, failed=context.failed, hosts=hosts)
    return app
