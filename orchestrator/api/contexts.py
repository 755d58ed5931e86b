"""What the routes work with.

Layer: api.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, TypeAlias, cast

from fastapi import Depends, Request

from orchestrator.api.streams import Streams
from orchestrator.application.applications import Applications
from orchestrator.application.audits import Audits
from orchestrator.application.declarations import Declarations
from orchestrator.application.definitions import Definitions
from orchestrator.application.diagnoses import Diagnoses
from orchestrator.application.endpoints import Endpoints
from orchestrator.application.feeds import Feed
from orchestrator.application.freezes import Freezes
from orchestrator.application.groups import Groups
from orchestrator.application.imports import Imports
from orchestrator.application.observations import Observations
from orchestrator.application.plans import Plans
from orchestrator.application.rollouts import Rollouts

Others: TypeAlias = Callable[[Request], Awaitable[Mapping[str, Any]]]
"""Gives the numbers of applications in other partitions, as documents of REST, to who may read them."""


async def alone(_request: Request) -> Mapping[str, Any]:
    """There are no other partitions."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiContext:
    """The use cases, and what the service says of itself."""

    applications: Applications
    audits: Audits
    declarations: Declarations
    definitions: Definitions
    groups: Groups
    imports: Imports
    diagnoses: Diagnoses
    endpoints: Endpoints
    freezes: Freezes
    observations: Observations
    plans: Plans
    rollouts: Rollouts
    now: Callable[[], datetime]
    """The service's clock."""
    installation: str = "otao"
    """Name of the database, with which the ids of events begin."""
    feed: Feed = field(default_factory=Feed)
    streams: Streams = field(default_factory=Streams)
    unready: Callable[[], str | None]
    """Why the service does not serve yet, in words; None: it does."""
    metrics: Callable[[], bytes]
    """All metrics in Prometheus' text format."""
    failed: Callable[[], None]
    """Counts a request that ended in an error of ours."""
    others: Others = alone


# A coroutine: FastAPI would take a plain function to a thread, for every request.
async def of(request: Request) -> ApiContext:
    """The context that the application was built with."""
    return cast("ApiContext", request.app.state.context)


Context = Annotated[ApiContext, Depends(of)]
"""For the signatures of routes."""
