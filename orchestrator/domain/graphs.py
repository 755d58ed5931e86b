"""The upgrade graph as operators see it, and whom a change of software concerns.

Rules:
- The versions of a graph are the defined ones and those that endpoints run.
- A change concerns an endpoint when a changed software is what it runs, or can be reached from there by edges of
  any software, before or after; to be concerned is not yet to be changed.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.routes import reachable, reaching

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One version of the graph."""

    version: Version
    software: Software | None
    """Its definition; None when it is only run."""
    reachable: bool
    """Whether an endpoint runs it or may come with it, or software that is served leads to it from there.

    What upgrades from nothing is what endpoints come with.
    """
    dead_end: bool
    """Whether a higher version is defined, but no path of software that is served leads from here to any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` may be installed over `source`; None is an unknown version."""

    source: Version | None
    target: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The upgrade graph of one application."""

    nodes: tuple[Node, ...]
    """By ascending version."""
    edges: tuple[Edge, ...]
    """By ascending source, unknown first, then by ascending target."""


def of(catalogue: Catalogue, run: Iterable[Version | None], now: datetime) -> Graph:
    """Return the graph of the defined versions and of those that endpoints run; None in `run` is an unknown one.

    Software is served that is servable, and whose rollout has not ended.
    Edges from the unknown version are there only when some endpoint's is.
    """
    running = frozenset(run)
    known = {item.version for item in catalogue.software}
    versions = sorted(known | {version for version in running if version is not None})
    sources: list[Version | None] = [None, *versions] if None in running else list(versions)
    starts = running | {item.version for item in catalogue.software if not item.upgradable_from}
    first = 0
    for version in starts:
        first |= catalogue.successors(version)
    served = catalogue.servable & ~catalogue.ended(now)
    reached = reachable(catalogue, first, served)
    return Graph(
        nodes=tuple(_node(version, catalogue, starts, reached, served) for version in versions),
        edges=tuple(
            Edge(source=source, target=item.version) for source in sources for item in catalogue.edges_from(source)
        ),
    )


def _node(
    version: Version, catalogue: Catalogue, starts: AbstractSet[Version | None], reached: int, served: int
) -> Node:
    number = catalogue.index.get(version)
    onward = reachable(catalogue, catalogue.successors(version), served)
    place = catalogue.place(version) + (number is not None)
    return Node(
        version=version,
        software=catalogue.get(version),
        reachable=version in starts or (number is not None and bool(reached >> number & 1)),
        dead_end=place < len(catalogue.software) and not onward >> place,
    )


def concerned(before: Catalogue, after: Catalogue, versions: Iterable[Version]) -> set[Version | None]:
    """Return those of `versions`, and None for the unknown one, whose decisions may differ between two catalogues."""
    changed = {
        version for version in before.index.keys() | after.index.keys() if before.get(version) != after.get(version)
    }
    candidates = list(versions)
    return concerned_by(before, changed, candidates) | concerned_by(after, changed, candidates)


def concerned_by(
    catalogue: Catalogue, changed: AbstractSet[Version], versions: Iterable[Version]
) -> set[Version | None]:
    """Return those of `versions`, and None for the unknown one, that run a changed version or are connected to one.

    With `Catalogue.opening_between` as `changed`, this is whom a rollout date concerns.
    """
    everything = ~0
    goals = 0
    for version in changed:
        number = catalogue.index.get(version)
        goals |= 0 if number is None else 1 << number
    leading = reaching(catalogue, goals, everything)
    return {
        version
        for version in (None, *versions)
        if (version is not None and version in changed) or catalogue.successors(version) & leading
    }
