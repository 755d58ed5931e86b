"""The way of an endpoint that installs whatever it is offered, until nothing is offered any more.

Rules:
- First it goes as far as it can at once. Then all stages are over, pauses and consents are given up, and it waits for
  dates, windows and back-offs, in no time: an open hop is taken before one that opens later.
- Software that none of its stages admits it to stays closed. A freeze, and its own soak, hold it only from what it
  would be offered at once.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import rules
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.changes import stays
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.endpoints import Consent, Endpoint, Setback, TokenState
from orchestrator.domain.rollouts import Phase

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from orchestrator.domain.decisions import Decision, Standing
    from orchestrator.domain.kinds import Kind
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

SOON = timedelta(milliseconds=1)
"""When every back-off ends: a plan does not tell one from another."""
_MOMENTS = 8
"""For so many is waited, for each software, until something is taken to stay closed."""


class Edge(NamedTuple):
    """A hop; the source is None for an unknown version."""

    source: Version | None
    target: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """The way of one kind until it comes to rest."""

    hops: tuple[Edge, ...] = ()
    staged: frozenset[Version] = frozenset()
    """What it came to as one of a stage: neither pinned, nor rescued from recalled software."""
    waits: tuple[tuple[Version, datetime], ...] = ()
    """Software for which it waits, and until when, in order."""
    first: Version | None = None
    """What it would be offered at once, and is not yet."""
    asks: Version | None = None
    """For what it would be asked for consent, and is not yet."""
    end: Standing
    """Where it comes to rest."""
    end_at: datetime


@dataclass(slots=True, kw_only=True)
class _Way:
    """A journey as far as it has come."""

    endpoint: Endpoint
    hops: list[Edge] = field(default_factory=list)
    staged: set[Version] = field(default_factory=set)
    until: datetime | None = None
    """When something opens that is not open."""

    def stand(self, catalogue: Catalogue, closed: Collection[Version], at: datetime) -> Standing:
        """Return its standing, with the software that its stages close."""
        return replace(standing(self.endpoint, catalogue, at), held=rules.numbers(closed, catalogue))

    def hop(self, catalogue: Catalogue, closed: Collection[Version], at: datetime) -> Version | None:
        """Make the hop that is open, and return it; None when there is none."""
        endpoint = self.endpoint
        decision = decide(self.stand(catalogue, closed, at), catalogue, at)
        offer = endpoint.offer
        kept = offer is not None and stays(offer, endpoint, decision, catalogue)
        version = offer.version if kept and offer is not None else decision.hop
        self.until = decision.waits_until if version is None else None
        if version is not None:
            self.hops.append(Edge(endpoint.running, version))
            if endpoint.pinned is None and not rules.rescued(decision.standing, catalogue):
                self.staged.add(version)
            self.endpoint = replace(endpoint, running=version, attempt=None)
        return version


class Traveller:
    """Finds the journeys of kinds under one catalogue, and remembers them."""

    def __init__(self, catalogue: Catalogue, now: datetime) -> None:
        """Start at an instant; a freeze of the catalogue holds nothing but what would be offered at once."""
        self._now = now
        self._real = catalogue
        self._at_once = _built(catalogue, catalogue.software, consent=catalogue.consent)
        self.in_time = _built(catalogue, map(_unhindered, catalogue.software), consent=False)
        """The catalogue without what operators and owners may lift: pauses and consent."""
        self._known: dict[Kind, Journey] = {}

    def journey(self, kind: Kind) -> Journey:
        """Return the way of an endpoint of this kind."""
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._travel(kind)
        return found

    def _travel(self, kind: Kind) -> Journey:
        now, endpoint = self._now, endpoint_of(kind, self._now)
        way = _Way(endpoint=endpoint)
        if endpoint.token_state is not TokenState.ACTIVE:
            # Its reports are refused: it stays where it is known to be, even if it has begun to install.
            return Journey(end=way.stand(self.in_time, kind.never, now), end_at=now)
        closed = kind.later | kind.never
        first, asks = _offered(kind, endpoint, decide(way.stand(self._real, closed, now), self._real, now))
        if kind.soaking is not None:
            way.endpoint = replace(endpoint, attempt=None)
        # No cycles, ever (`routes`): one hop for each software is more than any way has.
        for _ in self._at_once.software:
            if way.hop(self._at_once, closed, now) is None:
                break
        at, waits = self._wait(way, kind.never)
        end = way.stand(self.in_time, kind.never, at)
        return Journey(
            hops=tuple(way.hops),
            staged=frozenset(way.staged),
            waits=tuple(waits),
            first=first,
            asks=asks,
            end=end,
            end_at=at,
        )

    def _wait(self, way: _Way, never: Collection[Version]) -> tuple[datetime, list[tuple[Version, datetime]]]:
        """Let an endpoint go on as time passes; return when it rests, and for what it has waited."""
        at, waited = self._now, False
        waits: list[tuple[Version, datetime]] = []
        for _ in range(_MOMENTS * (len(self.in_time.software) + 1)):
            version = way.hop(self.in_time, never, at)
            if version is not None:
                waits += [(version, at)] if waited and at > self._now + SOON else []
                waited = False
            elif way.until is None:
                break
            else:
                at, waited = way.until, True
        return at, waits


def endpoint_of(kind: Kind, now: datetime) -> Endpoint:
    """Return an endpoint of this kind."""
    setbacks = {version: Setback(failures=1, retry_at=now + SOON) for version in kind.backing_off}
    setbacks |= {version: Setback(failures=1, exhausted=True) for version in kind.exhausted}
    consents = {
        version: Consent(granted=version in kind.consented, at=now) for version in kind.consented | kind.refused
    }
    attempt = _attempt(kind, now)
    return Endpoint(
        running=kind.running,
        registered_at=now,
        token_state=kind.token_state,
        pinned=kind.pinned,
        sequence=0 if attempt is None else 1,
        attempt=attempt,
        setbacks=setbacks,
        filters=kind.filters,
        consents=consents,
        asked=kind.asked,
        zone=kind.zone,
    )


def _attempt(kind: Kind, now: datetime) -> Attempt | None:
    states = (
        (kind.installing, AttemptState.INSTALLING),
        (kind.offered, AttemptState.OFFERED),
        (kind.soaking, AttemptState.SOAKING),
    )
    for version, state in states:
        if version is not None:
            return Attempt(version=version, number=1, sequence=1, origin=kind.origin, state=state, offered_at=now)
    return None


def _offered(kind: Kind, endpoint: Endpoint, decision: Decision) -> tuple[Version | None, Version | None]:
    """What would be offered anew, and for what consent would be asked anew."""
    offer = endpoint.offer
    if offer is not None and stays(offer, endpoint, decision, decision.catalogue):
        return None, None
    return decision.hop, None if decision.asks == kind.asked else decision.asks


def _unhindered(item: Software) -> Software:
    rollout = item.rollout if item.rollout.aborted else replace(item.rollout, phase=Phase.RUNNING)
    return replace(item, rollout=rollout, policy=replace(item.policy, consent=False))


def _built(catalogue: Catalogue, software: Iterable[Software], *, consent: bool) -> Catalogue:
    return Catalogue.of(software, consent=consent, application=catalogue.application, limits=catalogue.limits)
