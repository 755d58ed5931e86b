"""How a plan comes to know a fleet: whose the lowest ranks are, where stages ask for them, and how many of each kind.

Rules:
- Endpoints are looked at in order of rank, in ranges that grow, until there are enough: for a percentage, mostly one.
- Ranks and kinds are two reads; a fleet that changes in between makes a stage off by those that changed.

Layer: application.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.kinds import Inquiry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.application.editing import EditingStorage
    from orchestrator.domain.filters import Filter
    from orchestrator.domain.plans import Planner
    from orchestrator.domain.stagings import Gap, Place, Staging

_SLICE = 64
"""Kinds of endpoints that are planned without a pause."""
_FIRST_WIDTH = 1000
"""Of all ranks, the first range."""
_LARGEST_WIDTH = 64 * _FIRST_WIDTH


async def survey(
    planner: Planner, storage: EditingStorage, application: int, filters: Iterable[Filter], now: datetime
) -> None:
    """Have a planner take in the endpoints of an application; `filters` are those that its catalogue uses."""
    catalogue = planner.catalogue
    inquiry = Inquiry(
        at=now, filters=tuple(filters), zoned=catalogue.zoned, consents=bool(catalogue.consenting), stagings=()
    )
    known = [await _known(planner, storage, application, inquiry, staging) for staging in planner.stagings]
    census = await storage.census(application, replace(inquiry, stagings=tuple(known)))
    for place, (kind, crowd) in enumerate(census.items()):
        planner.add(kind, crowd.endpoints, crowd.staged)
        if place % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)


async def _known(
    planner: Planner, storage: EditingStorage, application: int, inquiry: Inquiry, staging: Staging
) -> Staging:
    """A staging with whom it takes in of the fleet."""
    barren = COHORTS
    while (gap := staging.gap) is not None:
        found: list[Place] = []
        if gap.wanted and gap.low < barren:
            found = await _lowest(planner, storage, application, inquiry, staging, gap)
            if not found:
                # Later gaps begin higher, and are of fewer endpoints.
                barren = gap.low
        staging = staging.filled(found)
    return staging


async def _lowest(
    planner: Planner, storage: EditingStorage, application: int, inquiry: Inquiry, staging: Staging, gap: Gap
) -> list[Place]:
    """The endpoints that fill a gap, or all that there are, ascending."""
    found: list[Place] = []
    low, width = gap.low, _FIRST_WIDTH
    while len(found) < gap.wanted and low < COHORTS:
        high = min(low + width, COHORTS)
        page = await storage.places(application, inquiry, staging.turned, low, high)
        found += sorted(
            place
            for kind, places in page.items()
            if kind.filters.isdisjoint(gap.without) and planner.belongs(kind, staging.version)
            for place in places
            if place.key not in gap.taken
        )
        low, width = high, min(2 * width, _LARGEST_WIDTH)
    return found
