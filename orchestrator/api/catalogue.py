"""The route of an application's catalogue as a whole.

Layer: api.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from orchestrator.api import access, requests, responses, schemas
from orchestrator.api.authors import By
from orchestrator.api.contexts import Context
from orchestrator.api.plans import Plan
from orchestrator.api.problems import ParameterError
from orchestrator.api.requests import LIMITS
from orchestrator.application.documents import declarations as documents
from orchestrator.application.documents.applications import check_name
from orchestrator.application.documents.declarations import CatalogueBody
from orchestrator.application.outlines import Change

router = APIRouter(prefix="/api/v1/applications/{app}", tags=["catalogue"])


class Changed(schemas.Shape):
    """What becomes of a resource that is declared."""

    resource: str = Field(description="Its path, such as `software/1.1.0`.")
    change: Change


class Applied(schemas.Shape):
    """What becomes of a catalogue."""

    changes: list[Changed]
    plan: Plan | None = Field(description="Only of a dry run.")


DryRun = Annotated[bool, Query(alias="dryRun", description="Store nothing, and add the plan.")]
CheckLinks = Annotated[
    bool, Query(alias="checkLinks", description="Of a dry run: have a look at what specifications link to.")
]


@router.put("/catalogue", responses=schemas.resource(Applied), openapi_extra=schemas.body(CatalogueBody))
async def put_catalogue(
    request: Request, app: str, context: Context, by: By, *, dry_run: DryRun = False, check_links: CheckLinks = False
) -> Response:
    """Make an application, its filters and its software as they are declared, all or nothing."""
    check_name(app)
    if check_links and not dry_run:
        raise ParameterError("checkLinks", "goes with dryRun=true")
    if check_links:
        access.check_may_look(request)
    declaration = documents.read(await requests.members(request), LIMITS)
    if dry_run:
        declared = await context.declarations.rehearse(app, declaration, check_links=check_links)
    else:
        declared = await context.declarations.apply(app, declaration, by=by)
    changes = [{"resource": resource, "change": change.value} for resource, change in declared.changes]
    response = responses.document({"changes": changes, "plan": declared.plan})
    if declared.withdrawn:
        response.headers["Otao-Withdrawn"] = str(declared.withdrawn)
    return response
