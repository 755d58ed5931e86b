"""The decision: which software an endpoint should run next, and why.

Rules:
- `decide` is pure and total: the same standing, catalogue and instant give the same decision, and none raises.
- The goal is the highest version that edges through eligible software reach; it is higher than what runs, unless
  that is recalled (then the best that is reached) or the endpoint is pinned (then the pin).
- The hop is an open direct successor on a route to the goal, with the fewest hops left, ties to the higher.
  Later hops need not be open.
- While the catalogue is frozen no hop is open.
- No cycles, ever: see `routes`.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.domain import rules, summaries
from orchestrator.domain.bitsets import highest, members
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.routes import Routes, reachable
from orchestrator.domain.rules import Rule, SoftwareVerdict
from orchestrator.domain.standings import Standing, plain, standing

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.endpoints import Endpoint
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
    waits_until: datetime | None = None
    """The earliest instant at which a hop opens that is not open now; None when none is known."""
    standing: Standing
    catalogue: Catalogue = field(compare=False, repr=False)
    now: datetime = field(compare=False)

    @property
    def software(self) -> tuple[SoftwareVerdict, ...]:
        """Every rule for every software, the highest version first."""
        return rules.verdicts(self.standing, self.catalogue, self.now)

    @property
    def summary(self) -> str:
        """The decision and its reason in one sentence."""
        return summaries.of(self)


def decide(standing: Standing, catalogue: Catalogue, now: datetime) -> Decision:
    """Return the decision for every endpoint of this standing."""
    if not standing.active:
        return Decision(outcome=Outcome.SUSPENDED, standing=standing, catalogue=catalogue, now=now)
    allowed = rules.eligible(standing, catalogue)
    goal = _goal(standing, catalogue, allowed)
    if goal is None:
        outcome = _without_goal(standing, catalogue)
        return Decision(outcome=outcome, standing=standing, catalogue=catalogue, now=now)
    routes = Routes.of(catalogue, rules.start(standing, catalogue), goal, allowed)
    opened, waits_until = _openness(routes.hops, standing, catalogue, now)
    hop = routes.choose(opened)
    ahead = routes.choose(routes.hops) if hop is None else hop
    software = catalogue.software
    return Decision(
        outcome=Outcome.WAITING if hop is None else Outcome.OFFER,
        hop=None if hop is None else software[hop].version,
        goal=software[goal].version,
        path=() if ahead is None else tuple(software[number].version for number in routes.path(ahead)),
        waits_until=waits_until,
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
        key = endpoint.running if plain(endpoint) else standing(endpoint, self.catalogue, now)
        decision = self._known.get(key)
        if decision is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            decision = decide(standing(endpoint, self.catalogue, now), self.catalogue, now)
            self._known[key] = decision
        return decision


def _goal(standing: Standing, catalogue: Catalogue, allowed: int) -> int | None:
    reached = reachable(catalogue, catalogue.successors(standing.running), allowed)
    if standing.pinned is not None:
        return highest(reached & rules.numbers((standing.pinned,), catalogue))
    best = highest(reached)
    if best is None or standing.running is None or rules.rescued(standing, catalogue):
        return best
    return best if catalogue.software[best].version > standing.running else None


def _without_goal(standing: Standing, catalogue: Catalogue) -> Outcome:
    if standing.running is None and not catalogue.successors(None):
        return Outcome.UNKNOWN_VERSION
    if standing.exhausted:
        forgiving = rules.eligible(standing, catalogue, exhaustion=False)
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


def _openness(hops: int, standing: Standing, catalogue: Catalogue, now: datetime) -> tuple[int, datetime | None]:
    """Return the hops that are open, and the first instant at which another one opens."""
    if catalogue.freeze is not None or (standing.soaking is not None and not rules.rescued(standing, catalogue)):
        return 0, None
    opened = 0
    moments: list[datetime] = []
    for number in members(rules.consented(hops, standing, catalogue)):
        moment = rules.opens_at(catalogue.software[number], standing)
        if moment is None or moment <= now:
            opened |= 1 << number
        else:
            moments.append(moment)
    return opened, min(moments, default=None)
