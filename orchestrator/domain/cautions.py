"""What is worth a second look in a plan, one sentence each.

Rules:
- A caution is about software that the plan would define or change, or about endpoints that would come to rest badly.
- Software that leads nowhere from and is never offered (an edge's end, such as what a fleet was built with) is none.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain import graphs, hindrances
from orchestrator.domain.rules import instant
from orchestrator.domain.software import Strategy
from orchestrator.domain.stagings import MOST_STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.graphs import Graph
    from orchestrator.domain.plans import Planner
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

_NAMED = 5
"""How many of a kind are named."""


def of(planner: Planner, about: Iterable[Version], now: datetime) -> list[str]:
    """Return the cautions about these versions, ascending, then those about the fleet."""
    catalogue, forecast = planner.catalogue, planner.forecast
    versions = set(about)
    chosen = [item for item in catalogue.software if item.version in versions]
    # Newcomers have not reported anything yet.
    graph = graphs.of(catalogue, [None, *forecast.running, *forecast.resting], now)
    reachable = {node.version for node in graph.nodes if node.reachable}
    found: list[str] = []
    for item in chosen:
        found += _about(item, planner, now, reachable=item.version in reachable)
    passed = {edge.target for edge in forecast.moves} - versions
    found += [text for item in catalogue.software if item.version in passed for text in hindrances.held(item)]
    found += _uncounted(chosen, planner)
    found += _unmatched(chosen, planner)
    found += _dead_ends(graph, planner)
    found += _lower(planner)
    found += _waits(planner)
    return found


def _about(item: Software, planner: Planner, now: datetime, *, reachable: bool) -> Iterator[str]:
    if _is_origin(item, planner.catalogue):
        return
    bar = _bar(item)
    if bar is not None:
        yield f"{item.version} {bar}"
        return
    yield from _dates(item, now)
    yield from hindrances.of(item, planner, now)
    if not item.upgradable_from:
        yield f"{item.version} is never reached: it has no upgradableFrom"
    elif not reachable and not item.over(now):
        yield f"{item.version} is never reached: nothing that is run, nor anything servable from there, leads to it"


def _is_origin(item: Software, catalogue: Catalogue) -> bool:
    """Whether it is what endpoints come with: nothing leads there, and it is not to be offered or is the lowest."""
    if item.upgradable_from or item.recalled:
        return False
    return not item.servable or catalogue.software[0] is item


def _bar(item: Software) -> str | None:
    if item.recalled:
        return "is recalled, which is final: it is offered to nobody"
    if item.strategy is Strategy.SUSPENDED:
        return "is suspended: it is offered to nobody"
    if item.rollout.aborted:
        return "is aborted, which is final: it is offered to nobody"
    if not item.has_specification:
        return "has no specification: it is offered to nobody"
    if item.strategy is Strategy.TARGETED and not item.filters:
        return "is targeted and lists no filter: it is offered to nobody"
    return None


def _dates(item: Software, now: datetime) -> Iterator[str]:
    uses = item.filters if item.strategy is Strategy.TARGETED else ()
    given = [("its rollout", item.rollout_date), *((f"its filter {use.filter_id}", use.rollout_date) for use in uses)]
    for what, date in given:
        if date is not None:
            when = "has begun already: it is offered at once" if date <= now else "begins in the future"
            yield f"{item.version}: {what} of {instant(date)} {when}"


def _uncounted(chosen: Iterable[Software], planner: Planner) -> Iterator[str]:
    left = sum(bool(item.policy.stages) and item.version not in planner.forecast.stages for item in chosen)
    if left:
        yield f"the stages of {left} lower versions are not counted: they are more than {MOST_STAGES}"


def _unmatched(chosen: Iterable[Software], planner: Planner) -> Iterator[str]:
    """Filters that match nobody; without endpoints that says nothing."""
    forecast = planner.forecast
    if not forecast.running:
        return
    named = {name for item in chosen for name in item.filter_ids} & planner.catalogue.filters_in_use
    for filter_id in sorted(named):
        if not forecast.matches[filter_id]:
            yield f"the filter {filter_id} matches no endpoint"


def _dead_ends(graph: Graph, planner: Planner) -> Iterator[str]:
    """Versions on which endpoints would come to rest although higher ones are defined and none can be had."""
    resting = planner.forecast.resting
    ends = [node for node in graph.nodes if node.dead_end and resting[node.version]]
    for node in ends[:_NAMED]:
        amount = _endpoints(resting[node.version])
        yield f"{node.version} is a dead end for {amount}: nothing servable leads on from it to a higher version"
    if len(ends) > _NAMED:
        yield f"{len(ends) - _NAMED} more versions are dead ends"


def _lower(planner: Planner) -> Iterator[str]:
    target, running = planner.target, planner.forecast.running
    if target is None or not target.servable:
        return
    above = sum(amount for version, amount in running.items() if version is not None and version > target.version)
    if 2 * above > running.total():
        yield f"{above} of {running.total()} endpoints run something higher than {target.version}"


def _waits(planner: Planner) -> Iterator[str]:
    """For what endpoints wait, and until when: each instant, or of many the first and the last."""
    awaited: dict[Version, list[tuple[datetime, int]]] = {}
    for (version, at), amount in sorted(planner.forecast.waits.items()):
        awaited.setdefault(version, []).append((at, amount))
    for version, moments in awaited.items():
        if len(moments) <= _NAMED:
            yield from (f"{_endpoints(amount)} would wait for {version} until {instant(at)}" for at, amount in moments)
            continue
        first, last = instant(moments[0][0]), instant(moments[-1][0])
        together = _endpoints(sum(amount for _, amount in moments))
        yield f"{together} would wait for {version}, the first until {first}, the last until {last}"


def _endpoints(amount: int) -> str:
    return "1 endpoint" if amount == 1 else f"{amount} endpoints"
