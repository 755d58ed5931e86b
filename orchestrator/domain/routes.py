"""The ways from what an endpoint runs to its goal, one hop at a time.

Rules:
- A hop is *forward* when it comes nearer to the goal's precedence without passing it.
- A hop is on a route when it is forward, or when it is one of the fewest hops that cannot be forward
  (a way down before the way up, say). Both bring (hops that are not forward, distance in precedence) strictly
  down. So no choice among the routes' hops, whichever are open when, ever comes back to a version: no cycles.
- Where all edges lead upwards, every path to the goal is a route.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.bitsets import highest, members, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.catalogues import Catalogue


def reachable(catalogue: Catalogue, first: int, allowed: int) -> int:
    """Return the software that paths through `allowed` reach when their first hop is one of `first`."""
    seen = frontier = first & allowed
    onward = catalogue.onward
    while frontier:
        found = 0
        for number in members(frontier):
            found |= onward[number]
        frontier = found & allowed & ~seen
        seen |= frontier
    return seen


def reaching(catalogue: Catalogue, goals: int, allowed: int) -> int:
    """Return the software of `allowed` from which paths through `allowed` reach one of `goals`, goals included."""
    seen = frontier = goals & allowed
    sources = catalogue.sources
    while frontier:
        found = 0
        for number in members(frontier):
            found |= sources[number]
        frontier = found & allowed & ~seen
        seen |= frontier
    return seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where an endpoint stands."""

    successors: int
    """The software that may be installed over what it runs."""
    place: int | None
    """How many defined versions are lower than what it runs; None when that is unknown."""
    defined: bool
    """Whether what it runs is defined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """All routes from one start to one goal; make it with `Routes.of`."""

    catalogue: Catalogue
    goal: int
    tiers: Sequence[int]
    """Per number of hops that are not forward, the software that needs so many to the goal."""
    layers: Sequence[int]
    """Per number of hops left, the software from which the goal is so many away."""
    hops: int
    """The direct successors of the start that lie on a route."""

    @staticmethod
    def of(catalogue: Catalogue, start: Start, goal: int, allowed: int) -> Routes:
        """Find the routes through `allowed`, which holds the goal and not the start."""
        tiers, hops = _tiers(catalogue, start, goal, allowed)
        return Routes(
            catalogue=catalogue, goal=goal, tiers=tiers, layers=_layers(catalogue, goal, tiers, hops), hops=hops
        )

    def choose(self, candidates: int) -> int | None:
        """Return the hop of `candidates` with the fewest hops left, of several the highest; None without any."""
        usable = candidates & self.hops
        for layer in self.layers:
            if usable & layer:
                return highest(usable & layer)
        return None

    def path(self, hop: int) -> list[int]:
        """Return the shortest route from a hop of `hops` to the goal, both included; ties go to the higher."""
        path = [hop]
        left = next(distance for distance, layer in enumerate(self.layers) if layer >> hop & 1)
        for distance in range(left - 1, -1, -1):
            following = highest(self._onward(path[-1]) & self.layers[distance])
            if following is None:
                break
            path.append(following)
        return path

    def _onward(self, number: int) -> int:
        onward = self.catalogue.onward[number]
        tier = next(tier for tier, found in enumerate(self.tiers) if found >> number & 1)
        usable = onward & self.tiers[tier] & forward_from(number, self.goal, defined=True)
        return usable | (onward & self.tiers[tier - 1] if tier else 0)


def forward_from(place: int, goal: int, *, defined: bool) -> int:
    """Return the software to which a hop is forward from a version at this place, the goal included."""
    if place > goal:
        return span(goal, place)
    return span(place + defined, goal + 1)


def _forward_to(number: int, goal: int, size: int) -> int:
    """Return the software from which a hop to `number` is forward."""
    if number < goal:
        return span(0, number)
    if number > goal:
        return span(number + 1, size)
    return span(0, size)


def _tiers(catalogue: Catalogue, start: Start, goal: int, allowed: int) -> tuple[list[int], int]:
    size = len(catalogue.software)
    forward = span(0, size) if start.place is None else forward_from(start.place, goal, defined=start.defined)
    tiers: list[int] = []
    known, hops, entry = 0, 0, 1 << goal
    while entry:
        tier = frontier = entry
        found = 0
        while frontier:
            nearer = 0
            for number in members(frontier):
                found |= catalogue.sources[number]
                nearer |= catalogue.sources[number] & _forward_to(number, goal, size)
            frontier = nearer & allowed & ~known & ~tier
            tier |= frontier
        tiers.append(tier)
        known |= tier
        hops = start.successors & (tier & forward | (tiers[-2] if len(tiers) > 1 else 0))
        if hops and start.place is not None:
            return tiers, hops
        entry = found & allowed & ~known
    # Nothing leads back to an unknown version: every way is a route. Else only the last tier is left to step into.
    return tiers, start.successors & (known if start.place is None else tiers[-1])


def _layers(catalogue: Catalogue, goal: int, tiers: Sequence[int], hops: int) -> list[int]:
    size = len(catalogue.software)
    level = {number: tier for tier, found in enumerate(tiers) for number in members(found)}
    layers = [1 << goal]
    seen = 1 << goal
    while hops & ~seen:
        found = 0
        for number in members(layers[-1]):
            tier, sources = level[number], catalogue.sources[number]
            found |= sources & tiers[tier] & _forward_to(number, goal, size)
            if tier + 1 < len(tiers):
                found |= sources & tiers[tier + 1]
        layers.append(found & ~seen)
        seen |= found
        if not layers[-1]:
            break
    return layers
