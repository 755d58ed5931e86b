"""The documents of a whole application: its upgrade graph and its numbers.

Rules:
- An open offer of software that is stopped is counted as withdrawn, from the commit of the stop on (invariant 7).
- Zeros are left out.
- Reasons are the devices' own words, and as many as they like: the most frequent are listed, the others added up.

Layer: application; pure.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.application.counters import FAILED
from orchestrator.application.documents import freezes
from orchestrator.application.drawings.charts import Chart, Place, Way
from orchestrator.domain import graphs
from orchestrator.domain.attempts import OPEN, AttemptState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.documents.texts import Document
    from orchestrator.domain.graphs import Node
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

    _Edges: TypeAlias = Counter[tuple[Version | None, Version]]


MOST_REASONS = 50
"""Reasons that a list of failures tells apart."""
OTHER = "other"
"""The reason of those that it does not."""


def running(numbers: Counter[CounterKey]) -> Counter[Version | None]:
    """How many endpoints run each version; None: unknown."""
    return Counter({key.version: amount for key, amount in numbers.items() if key.name == "running" and amount > 0})


def ending(numbers: Counter[CounterKey], entry: Entry, version: Version, after: Software | None) -> int:
    """How many endpoints hold an offer that may be seen and that ends when a version's software becomes `after`.

    `entry` is the application before that; None: the software is deleted. What an earlier stop has ended is not counted
    again, and neither is what goes on because it was started.
    """
    states = {state for state in OPEN if after is None or not after.visible(started=state is AttemptState.INSTALLING)}
    return sum(
        amount
        for key, amount in numbers.items()
        if key.name == "latest" and key.version == version and _shown(key, entry) in states
    )


def unstarted_offers(numbers: Counter[CounterKey], entry: Entry) -> int:
    """How many endpoints hold an offer that may be seen and that they have not started."""
    return sum(
        amount for key, amount in numbers.items() if key.name == "latest" and _shown(key, entry) is AttemptState.OFFERED
    )


def build_summary(numbers: Counter[CounterKey], entry: Entry, unseen: int | None) -> Document:
    """How many endpoints run what, and how their latest attempts stand; None `unseen`: they were not counted."""
    by_version = running(numbers)
    failures = [(key, amount) for key, amount in numbers.items() if key.name == "failures" and amount > 0]
    failures.sort(key=lambda item: (-item[1], str(item[0].version), item[0].label))
    return {
        "endpoints": by_version.total(),
        "byVersion": {version.text: by_version[version] for version in sorted(filter(None, by_version), reverse=True)},
        "unknownVersion": by_version[None],
        "unseen": unseen,
        "frozen": freezes.build_optional(entry.application.frozen),
        "byState": _by_state(numbers, entry),
        "failures": [
            *(_failure(key.version, key.label, amount) for key, amount in failures[:MOST_REASONS]),
            *_others([amount for _, amount in failures[MOST_REASONS:]]),
        ],
    }


def _failure(version: Version | None, reason: str, endpoints: int) -> Document:
    return {"version": None if version is None else version.text, "reason": reason, "endpoints": endpoints}


def _others(amounts: Sequence[int]) -> Iterator[Document]:
    if amounts:
        yield _failure(None, OTHER, sum(amounts))


def _by_state(numbers: Counter[CounterKey], entry: Entry) -> dict[str, int]:
    found: Counter[str] = Counter()
    for key, amount in numbers.items():
        if key.name == "latest":
            found[_shown(key, entry).value] += amount
    return {state.value: found[state.value] for state in AttemptState if found[state.value]}


def _shown(key: CounterKey, entry: Entry) -> AttemptState:
    state = AttemptState(key.label)
    if state not in OPEN or key.version is None:
        return state
    started = state is AttemptState.INSTALLING
    return state if entry.offerable(key.version, started=started) else AttemptState.WITHDRAWN


def chart(numbers: Counter[CounterKey], entry: Entry, now: datetime) -> Chart:
    """The upgrade graph, with how many endpoints run each version, and how attempts along each edge stand."""
    by_version = running(numbers)
    graph = graphs.of(entry.catalogue, by_version, now)
    offered, failed = _along_edges(numbers, entry)
    return Chart(
        places=tuple(Place(node=node, endpoints=by_version[node.version]) for node in graph.nodes),
        ways=tuple(
            Way(
                source=edge.source,
                target=edge.target,
                offered=offered[edge.source, edge.target],
                failed=failed[edge.source, edge.target],
            )
            for edge in graph.edges
        ),
        unknown=by_version[None],
    )


def build_graph(graph: Chart) -> Document:
    """The document of an upgrade graph."""
    return {
        "versions": [_build_node(place.node, place.endpoints) for place in graph.places],
        "edges": [
            {
                "from": None if way.source is None else way.source.text,
                "to": way.target.text,
                "offered": way.offered,
                "failed": way.failed,
            }
            for way in graph.ways
        ],
    }


def _along_edges(numbers: Counter[CounterKey], entry: Entry) -> tuple[_Edges, _Edges]:
    """How many attempts along each edge are open now, and how many have failed, ever."""
    offered: _Edges = Counter()
    failed: _Edges = Counter()
    for key, amount in numbers.items():
        if key.name == "attempts" and key.version is not None:
            state = _shown(key, entry)
            offered[key.origin, key.version] += amount if state in OPEN else 0
            failed[key.origin, key.version] += amount if state in FAILED else 0
    return offered, failed


def _build_node(node: Node, endpoints: int) -> Document:
    software = node.software
    return {
        "version": node.version.text,
        "endpoints": endpoints,
        "strategy": None if software is None else software.strategy.value,
        "recalled": software is not None and software.recalled,
        "defined": software is not None,
        "reachable": node.reachable,
        "deadEnd": node.dead_end,
    }
