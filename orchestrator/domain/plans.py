"""What would become of a fleet under a catalogue that is not in force yet.

Rules:
- An endpoint's way is taken hop by hop through `decide`, as if it installed every hop at once: a plan and the fleet
  that obeys agree (a property test applies the candidate for real and holds them together).
- Who has to wait for a date, or for a back-off to end, waits here too, in no time. A freeze is set aside.
- Unreachable is who would not come to the target, although it runs something lower, something recalled, or has not
  said what.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import obstacles
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.changes import stays
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.endpoints import Endpoint, Setback, TokenState

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.versions import Version

SOON = timedelta(milliseconds=1)
"""When every back-off ends: a plan does not tell one from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Endpoints that differ in nothing that a plan looks at."""

    running: Version | None
    filters: frozenset[str] = frozenset()
    """Those of the candidate that match."""
    token_state: TokenState = TokenState.ACTIVE
    pinned: Version | None = None
    exhausted: frozenset[Version] = frozenset()
    backing_off: frozenset[Version] = frozenset()
    """Versions that failed lately and are not offered just now."""
    installing: Version | None = None
    """What it has begun to install: that goes on."""
    origin: Version | None = None
    """What it ran when that was offered; meaningless without `installing`."""


class Edge(NamedTuple):
    """A hop; the source is None for an unknown version."""

    source: Version | None
    target: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """The way of one kind until it comes to rest."""

    hops: tuple[Edge, ...]
    end: Endpoint
    end_at: datetime
    waits: tuple[tuple[Version, datetime], ...]
    """Software for which it waits, and until when, in order."""


@dataclass(slots=True, kw_only=True)
class Forecast:
    """The journeys of a fleet, added up."""

    moves: Counter[Edge] = field(default_factory=Counter)
    running: Counter[Version | None] = field(default_factory=Counter)
    """Before the first hop."""
    resting: Counter[Version | None] = field(default_factory=Counter)
    """After the last one."""
    unreachable: Counter[str] = field(default_factory=Counter)
    """By reason."""
    waits: Counter[tuple[Version, datetime]] = field(default_factory=Counter)
    matches: Counter[str] = field(default_factory=Counter)
    """How many endpoints each filter matches."""


class Planner:
    """Takes in a fleet kind by kind, and adds its journeys up."""

    def __init__(self, catalogue: Catalogue, target: Version | None, now: datetime) -> None:
        """Plan for a catalogue; `target` is what endpoints should come to, None when there is nothing."""
        self.catalogue = Catalogue.of(catalogue.software)
        self.target = self.catalogue.get(target)
        self.forecast = Forecast()
        self._now = now
        self._journeys: dict[Kind, Journey] = {}

    def add(self, kind: Kind, endpoints: int) -> None:
        """Take in so many endpoints of a kind."""
        forecast = self.forecast
        kind = self._told_apart(kind)
        journey = self._journeys.get(kind)
        if journey is None:
            journey = self._journeys[kind] = travel(endpoint_of(kind, self._now), self.catalogue, self._now)
        forecast.running[kind.running] += endpoints
        forecast.resting[journey.end.running] += endpoints
        for filter_id in kind.filters:
            forecast.matches[filter_id] += endpoints
        for edge in journey.hops:
            forecast.moves[edge] += endpoints
        for wait in journey.waits:
            forecast.waits[wait] += endpoints
        if self._should_move(kind.running) and self._should_move(journey.end.running):
            forecast.unreachable[self._reason(journey)] += endpoints

    def _told_apart(self, kind: Kind) -> Kind:
        """The kind without what cannot matter here, so that a fleet has few."""
        known = self.catalogue.index
        return replace(
            kind,
            filters=kind.filters & self.catalogue.filters_in_use,
            exhausted=kind.exhausted.intersection(known),
            backing_off=kind.backing_off.intersection(known),
        )

    def _should_move(self, running: Version | None) -> bool:
        if self.target is None:
            return False
        item = self.catalogue.get(running)
        return running is None or running < self.target.version or (item is not None and item.recalled)

    def _reason(self, journey: Journey) -> str:
        if self.target is None:
            raise AssertionError(journey)
        return obstacles.name(standing(journey.end, self.catalogue, journey.end_at), self.catalogue, self.target)


def endpoint_of(kind: Kind, now: datetime) -> Endpoint:
    """Return an endpoint of this kind."""
    setbacks = {version: Setback(failures=1, retry_at=now + SOON) for version in kind.backing_off}
    setbacks |= {version: Setback(failures=1, exhausted=True) for version in kind.exhausted}
    attempt = None
    if kind.installing is not None:
        attempt = Attempt(
            version=kind.installing,
            number=1,
            sequence=1,
            origin=kind.origin,
            state=AttemptState.INSTALLING,
            offered_at=now,
        )
    return Endpoint(
        running=kind.running,
        registered_at=now,
        token_state=kind.token_state,
        pinned=kind.pinned,
        sequence=0 if attempt is None else 1,
        attempt=attempt,
        setbacks=setbacks,
        filters=kind.filters,
    )


def travel(endpoint: Endpoint, catalogue: Catalogue, now: datetime) -> Journey:
    """Return the way of an endpoint that installs whatever it is offered, until nothing is offered any more."""
    hops: list[Edge] = []
    waits: list[tuple[Version, datetime]] = []
    at = now
    if endpoint.token_state is not TokenState.ACTIVE:
        # Its reports are refused: it stays where it is known to be, even if it has begun to install.
        return Journey(hops=(), end=endpoint, end_at=now, waits=())
    # No cycles, ever (`routes`): one hop for each software is more than any way has.
    for _ in range(len(catalogue.software) + 1):
        decision = decide(standing(endpoint, catalogue, at), catalogue, at)
        offer = endpoint.offer
        if offer is not None and stays(offer, endpoint, decision, catalogue):
            hop: Version | None = offer.version
        else:
            if decision.hop is None and decision.waits_until is not None:
                at, ahead = decision.waits_until, decision.path[0]
                decision = decide(standing(endpoint, catalogue, at), catalogue, at)
                if at > now + SOON:
                    waits.append((decision.hop or ahead, at))
            hop = decision.hop or next(iter(decision.path), None)
        if hop is None:
            break
        hops.append(Edge(endpoint.running, hop))
        endpoint = replace(endpoint, running=hop, attempt=None)
    return Journey(hops=tuple(hops), end=endpoint, end_at=at, waits=tuple(waits))
