"""Why an endpoint does not come to a version, in one clause that many endpoints share.

Rules:
- The clause names the version and the cause, never the endpoint: endpoints are counted by it.
- What stands nearest is named: the token, the pin, the missing edge, then the target itself, then the highest software
  on the way that it may not get.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain import rules
from orchestrator.domain.bitsets import highest
from orchestrator.domain.routes import reachable, reaching
from orchestrator.domain.software import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.software import Software
    from orchestrator.domain.standings import Standing
    from orchestrator.domain.versions import Version

_EVERYTHING = ~0


def name(standing: Standing, catalogue: Catalogue, target: Software, at: datetime) -> str:
    """Return why an endpoint of this standing, which nothing is offered from `at` on, does not come to `target`."""
    if not standing.active:
        return "the token is suspended, revoked or retired"
    pinned = standing.pinned
    if pinned is not None and pinned != target.version:
        return f"pinned to {pinned}"
    missing = _missing_edge(standing.running, catalogue, target)
    if missing is not None:
        return missing
    bars = {item.version: _bar(item, standing, at) or _closed(item, standing, catalogue) for item in catalogue.software}
    own = bars[target.version]
    if own is not None:
        return f"{target.version} {own}"
    barrier = _barrier(standing, catalogue, target, bars)
    if barrier is None:
        return f"no way leads from {_place(standing.running)} to {target.version}"
    return f"edges pass through {barrier.version}, which {bars[barrier.version]}"


def _missing_edge(running: Version | None, catalogue: Catalogue, target: Software) -> str | None:
    """The clause for want of edges; None when edges, through whatever software, lead to the target."""
    connected = reachable(catalogue, catalogue.successors(running), ~rules.numbers((running,), catalogue))
    if connected & rules.numbers((target.version,), catalogue):
        return None
    if running is None:
        return "no version reported"
    above = connected >> (catalogue.place(running) + (running in catalogue.index))
    return f"no edges lead from {running} to {target.version}" if above else f"no edge leads on from {running}"


def _barrier(
    standing: Standing, catalogue: Catalogue, target: Software, bars: Mapping[Version, str | None]
) -> Software | None:
    """The highest software that bars the way: a direct successor of what can be had, itself not to be had."""
    allowed = rules.numbers((version for version, bar in bars.items() if bar is None), catalogue)
    allowed &= ~rules.numbers((standing.running,), catalogue)
    first = catalogue.successors(standing.running)
    near = first
    for item in catalogue.among(reachable(catalogue, first, allowed)):
        near |= catalogue.successors(item.version)
    leading = reaching(catalogue, rules.numbers((target.version,), catalogue), _EVERYTHING)
    barred = near & ~allowed & leading & ~rules.numbers((standing.running,), catalogue)
    number = highest(barred)
    return None if number is None else catalogue.software[number]


def _bar(item: Software, standing: Standing, at: datetime) -> str | None:
    """The clause for what keeps a software itself from endpoints of a standing; None: nothing does."""
    if item.recalled:
        return "is recalled"
    if item.strategy is Strategy.SUSPENDED:
        return "is suspended"
    if item.rollout.aborted:
        return "is aborted"
    if not item.has_specification:
        return "has no specification"
    if item.version in standing.exhausted:
        return f"is exhausted there: {item.policy.attempts.max} attempts failed"
    if standing.pinned is not None:
        return None
    if item.policy.end is not None and item.over(at):
        return f"ends at {rules.instant(item.policy.end)}"
    return _unmatched(item, standing) if item.strategy is Strategy.TARGETED else None


def _closed(item: Software, standing: Standing, catalogue: Catalogue) -> str | None:
    if standing.pinned is not None or not standing.held >> catalogue.index[item.version] & 1:
        return None
    return "has no stage that admits it"


def _unmatched(item: Software, standing: Standing) -> str | None:
    listed = [use.filter_id for use in item.filters]
    if not listed:
        return "is targeted and lists no filter"
    if standing.filters.isdisjoint(listed):
        return f"is targeted, and no filter that it lists matches: {', '.join(listed)}"
    return None


def _place(running: Version | None) -> str:
    return "an unknown version" if running is None else running.text
