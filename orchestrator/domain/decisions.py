"""The decision: which software an endpoint should run next, and why.

Rules:
- `decide` is pure and total: the same standing, catalogue and instant give the same decision, and none raises.
- The goal is the highest version that edges through eligible software reach; it is higher than what runs, unless
  that is recalled (then the best that is reached) or the endpoint is pinned (then the pin).
- The hop is an open direct successor on a route to the goal, with the fewest hops left, ties to the higher.
  Later hops need not be open.
- Which hops are open, `openings` says; where only consent is wanting, the endpoint is to be asked.
- Time takes from what is eligible, when rollouts end: what an endpoint waits for may open because the goal falls.
- No cycles, ever: see `routes`.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import openings, rules, summaries
from orchestrator.domain.bitsets import highest
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.routes import Routes, reachable
from orchestrator.domain.rules import Rule, SoftwareVerdict
from orchestrator.domain.standings import Standing, plain, standing

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.openings import Openness
    from orchestrator.domain.versions import Version

__all__ = ["Decider", "Decision", "Outcome", "Rule", "SoftwareVerdict", "Standing", "decide", "standing"]

_REMEMBERED = 8192
"""How many standings a decider keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one standing should run next; its reasons are worked out when they are read."""

    outcome: Outcome
    hop: Version | None = None
    """What to offer now; only with `offer`."""
    goal: Version | None = None
    """Only with `offer` and `waiting`."""
    path: tuple[Version, ...] = ()
    """From the hop, or from the one that is waited for, to the goal, both included; empty without a goal."""
    asks: Version | None = None
    """The hop for which only consent is wanting: the endpoint is to be asked."""
    kept: frozenset[Version] = frozenset()
    """Hops that only their window closes, and leaves offered where they are."""
    standing: Standing
    catalogue: Catalogue = field(compare=False, repr=False)
    now: datetime = field(compare=False)

    @property
    def software(self) -> tuple[SoftwareVerdict, ...]:
        """Every rule for every software, the highest version first."""
        return rules.verdicts(self.standing, self.catalogue, self.now)

    @property
    def waits_until(self) -> datetime | None:
        """The earliest instant at which a hop opens that is not open now; None when none is known."""
        return _opens_at(self)

    @property
    def summary(self) -> str:
        """The decision and its reason in one sentence."""
        return summaries.of(self)


def decide(standing: Standing, catalogue: Catalogue, now: datetime) -> Decision:
    """Return the decision for every endpoint of this standing."""
    if not standing.active:
        return Decision(outcome=Outcome.SUSPENDED, standing=standing, catalogue=catalogue, now=now)
    outlook = _outlook(standing, catalogue, now)
    if outlook is None:
        outcome = _without_goal(standing, catalogue, now)
        return Decision(outcome=outcome, standing=standing, catalogue=catalogue, now=now)
    routes, found = outlook.routes, outlook.found
    hop = routes.choose(found.open)
    asked = routes.choose(found.asking) if hop is None else None
    ahead = next((number for number in (hop, asked) if number is not None), routes.choose(routes.hops))
    software = catalogue.software
    return Decision(
        outcome=_with_goal(hop, routes.hops, found),
        hop=None if hop is None else software[hop].version,
        goal=software[routes.goal].version,
        path=() if ahead is None else tuple(software[number].version for number in routes.path(ahead)),
        asks=None if asked is None else software[asked].version,
        kept=frozenset(item.version for item in catalogue.among(found.kept)),
        standing=standing,
        catalogue=catalogue,
        now=now,
    )


class Decider:
    """Remembers the decisions over one catalogue, standing by standing, until its next rollout date."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Start with nothing remembered."""
        self.catalogue = catalogue
        # A plain endpoint's decision is found by what it runs, without its standing being made.
        self._known: dict[Standing | Version | None, Decision] = {}
        self._since: datetime | None = None
        self._until: datetime | None = None

    def decide(self, endpoint: Endpoint, now: datetime) -> Decision:
        """Return what `decide` returns for the endpoint; its `now` may lie earlier, after the last rollout date."""
        if self._since is None or now < self._since or (self._until is not None and now >= self._until):
            self._known.clear()
            self._since, self._until = now, self.catalogue.next_date_after(now)
        simple = not self.catalogue.particular and plain(endpoint)
        key = endpoint.running if simple else standing(endpoint, self.catalogue, now)
        decision = self._known.get(key)
        if decision is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            decision = decide(standing(endpoint, self.catalogue, now), self.catalogue, now)
            self._known[key] = decision
        return decision


class _Outlook(NamedTuple):
    allowed: int
    """The software that is eligible."""
    routes: Routes
    found: Openness
    """Of the routes' hops."""


def _outlook(standing: Standing, catalogue: Catalogue, now: datetime) -> _Outlook | None:
    """What lies before an endpoint; None without a goal."""
    allowed = rules.eligible(standing, catalogue, now)
    goal = _goal(standing, catalogue, allowed)
    if goal is None:
        return None
    routes = Routes.of(catalogue, rules.start(standing, catalogue), goal, allowed)
    return _Outlook(allowed, routes, openings.of(routes.hops, standing, catalogue, now))


def _opens_at(decision: Decision) -> datetime | None:
    """When a hop opens: of the present goal, or of the one that is left when a rollout has ended before that."""
    standing, catalogue, at = decision.standing, decision.catalogue, decision.now
    while standing.active and (outlook := _outlook(standing, catalogue, at)) is not None:
        if at > decision.now and outlook.routes.choose(outlook.found.open) is not None:
            return at
        until = outlook.found.until
        end = None if decision.hop is not None else catalogue.next_end_after(at, outlook.allowed)
        if end is None or (until is not None and until < end):
            return until
        at = end
    return None


def _goal(standing: Standing, catalogue: Catalogue, allowed: int) -> int | None:
    reached = reachable(catalogue, catalogue.successors(standing.running), allowed)
    if standing.pinned is not None:
        return highest(reached & rules.numbers((standing.pinned,), catalogue))
    best = highest(reached)
    if best is None or standing.running is None or rules.rescued(standing, catalogue):
        return best
    return best if catalogue.software[best].version > standing.running else None


def _with_goal(hop: int | None, hops: int, found: Openness) -> Outcome:
    if hop is not None:
        return Outcome.OFFER
    return Outcome.REFUSED if found.refused and found.refused == hops else Outcome.WAITING


def _without_goal(standing: Standing, catalogue: Catalogue, now: datetime) -> Outcome:
    if standing.running is None and not catalogue.successors(None):
        return Outcome.UNKNOWN_VERSION
    if standing.exhausted:
        forgiving = rules.eligible(standing, catalogue, now, exhaustion=False)
        if _goal(standing, catalogue, forgiving) is not None:
            return Outcome.EXHAUSTED
    return Outcome.BLOCKED if _wanting(standing, catalogue) else Outcome.UP_TO_DATE


def _wanting(standing: Standing, catalogue: Catalogue) -> bool:
    """Whether the endpoint should move, or a higher version is connected to it by edges of any software."""
    running = standing.running
    if running is None or rules.rescued(standing, catalogue):
        return True
    if standing.pinned is not None and standing.pinned != running:
        return True
    everything = ~rules.numbers((running,), catalogue)
    connected = highest(reachable(catalogue, catalogue.successors(running), everything))
    return connected is not None and catalogue.software[connected].version > running
