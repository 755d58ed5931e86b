"""Short ways to write software, endpoints and instants in tests of the decision core."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.decisions import Standing
from orchestrator.domain.endpoints import Attempt, Endpoint
from orchestrator.domain.filters import Values
from orchestrator.domain.software import FilterUse, Software, Strategy
from orchestrator.domain.versions import Constraint, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.domain.filters import JsonValue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def v(text: str) -> Version:
    return Version.parse(text)


def values(
    attributes: Mapping[str, JsonValue] | None = None,
    *,
    endpoint_id: str = "kettle-7",
    app_version: str = "kettle-v1",
    running: str | None = None,
    last_seen_at: datetime | None = None,
) -> Values:
    return Values(
        attributes=attributes or {},
        endpoint_id=endpoint_id,
        app_version=app_version,
        running=None if running is None else v(running),
        registered_at=NOW - DAY,
        last_seen_at=last_seen_at,
    )


def general(version: str, *upgradable_from: str, rollout_date: datetime | None = None, given: bool = True) -> Software:
    return Software(
        version=v(version),
        upgradable_from=tuple(map(Constraint.parse, upgradable_from)),
        strategy=Strategy.GENERAL,
        rollout_date=rollout_date,
        has_specification=given,
    )


def targeted(version: str, *upgradable_from: str, filters: Iterable[FilterUse] = ()) -> Software:
    return Software(
        version=v(version),
        upgradable_from=tuple(map(Constraint.parse, upgradable_from)),
        strategy=Strategy.TARGETED,
        filters=tuple(filters),
    )


def suspended(version: str, *upgradable_from: str) -> Software:
    return Software(
        version=v(version),
        upgradable_from=tuple(map(Constraint.parse, upgradable_from)),
        strategy=Strategy.SUSPENDED,
    )


def recalled(version: str, *upgradable_from: str) -> Software:
    return Software(
        version=v(version),
        upgradable_from=tuple(map(Constraint.parse, upgradable_from)),
        strategy=Strategy.GENERAL,
        recalled_at=NOW - DAY,
    )


def use(filter_id: str, rollout_date: datetime | None = None) -> FilterUse:
    return FilterUse(filter_id=filter_id, rollout_date=rollout_date)


def catalogue(*software: Software) -> Catalogue:
    return Catalogue.of(software)


def at(running: str | None, *, filters: Iterable[str] = (), pinned: str | None = None) -> Standing:
    """Return the standing of an endpoint on a version that has no failures."""
    return Standing(
        running=None if running is None else v(running),
        filters=frozenset(filters),
        pinned=None if pinned is None else v(pinned),
    )


def endpoint(running: str | None = "1.0.0", attempt: Attempt | None = None) -> Endpoint:
    return Endpoint(
        running=None if running is None else v(running),
        running_since=None if running is None else NOW - DAY,
        registered_at=NOW - DAY,
        sequence=0 if attempt is None else attempt.sequence,
        attempt=attempt,
    )


def offer(version: str = "1.1.0", origin: str | None = "1.0.0", reached_at: datetime | None = None) -> Attempt:
    return Attempt(
        version=v(version),
        number=1,
        sequence=1,
        origin=None if origin is None else v(origin),
        offered_at=NOW - HOUR,
        reached_at=reached_at,
    )
