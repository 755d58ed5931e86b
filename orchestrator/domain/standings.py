"""Everything that the decision looks at in one endpoint: endpoints of one standing get one decision.

Rules:
- What cannot change the decision is left out, so that a fleet has few standings: filters that no software lists,
  failures of versions that are not defined, back-offs that are over, consents that nobody asks for.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import TokenState

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.versions import Version

_NO_FILTERS: frozenset[str] = frozenset()
_NO_VERSIONS: frozenset[Version] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The class of an endpoint, for one catalogue at one moment."""

    running: Version | None
    filters: frozenset[str] = _NO_FILTERS
    """Filters that match the endpoint and that software lists."""
    pinned: Version | None = None
    exhausted: frozenset[Version] = _NO_VERSIONS
    retry_at: tuple[tuple[Version, datetime], ...] = ()
    """Back-offs that are not over, by ascending version."""
    active: bool = True
    """Whether the token is good."""
    soaking: Version | None = None
    consented: frozenset[Version] = _NO_VERSIONS
    """Versions to which consent is given, where the catalogue asks for it."""
    refused: frozenset[Version] = _NO_VERSIONS
    """The same, to which it was refused."""
    held: int = 0
    """The numbers of the software whose stages do not admit it yet."""
    zone: str | None = None
    """Its own time zone, where some window is in that."""


def plain(endpoint: Endpoint) -> bool:
    """Whether nothing particular is known of the endpoint: so it is for most.

    Then what it runs tells its standing, under every catalogue that is not `particular`.
    """
    attempt = endpoint.attempt
    return (
        not endpoint.setbacks
        and not endpoint.filters
        and not endpoint.consents
        and endpoint.pinned is None
        and endpoint.token_state is TokenState.ACTIVE
        and (attempt is None or attempt.state is not AttemptState.SOAKING)
    )


def standing(endpoint: Endpoint, catalogue: Catalogue, now: datetime) -> Standing:
    """Return the endpoint's class."""
    attempt = endpoint.attempt
    exhausted = _NO_VERSIONS
    retry_at: tuple[tuple[Version, datetime], ...] = ()
    if endpoint.setbacks:
        exhausted, retry_at = _setbacks(endpoint, catalogue, now)
    return Standing(
        running=endpoint.running,
        filters=endpoint.filters & catalogue.filters_in_use if endpoint.filters else _NO_FILTERS,
        pinned=endpoint.pinned,
        exhausted=exhausted,
        retry_at=retry_at,
        active=endpoint.token_state is TokenState.ACTIVE,
        soaking=attempt.version if attempt is not None and attempt.state is AttemptState.SOAKING else None,
        consented=_consents(endpoint, catalogue, granted=True),
        refused=_consents(endpoint, catalogue, granted=False),
        held=held(endpoint, catalogue) if catalogue.restrictions else 0,
        zone=endpoint.zone if catalogue.zoned else None,
    )


def held(endpoint: Endpoint, catalogue: Catalogue) -> int:
    """Return the numbers of the software whose stages do not admit an endpoint yet."""
    found = 0
    for restriction in catalogue.restrictions:
        if not restriction.admits(endpoint):
            found |= 1 << restriction.number
    return found


def _consents(endpoint: Endpoint, catalogue: Catalogue, *, granted: bool) -> frozenset[Version]:
    if not catalogue.consenting or not endpoint.consents:
        return _NO_VERSIONS
    said = endpoint.consents.items()
    return frozenset(version for version, item in said if item.granted is granted and version in catalogue.index)


def _setbacks(
    endpoint: Endpoint, catalogue: Catalogue, now: datetime
) -> tuple[frozenset[Version], tuple[tuple[Version, datetime], ...]]:
    exhausted: list[Version] = []
    waiting: list[tuple[Version, datetime]] = []
    for version, setback in endpoint.setbacks.items():
        if version not in catalogue.index:
            continue
        if setback.exhausted:
            exhausted.append(version)
        elif setback.retry_at is not None and setback.retry_at > now:
            waiting.append((version, setback.retry_at))
    return frozenset(exhausted), tuple(sorted(waiting))
