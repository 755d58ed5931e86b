"""What would become of a fleet under a catalogue that is not in force yet.

Rules:
- An endpoint's way is its kind's journey (`journeys`), taken through `decide`: a plan and the fleet that obeys agree (a
  property test applies the candidate for real and holds them together).
- A stage holds who would come to the version once that stage admits it, everything else as it is.
- Unreachable is who would not come to the target, although it runs something lower, something recalled, or has not
  said what.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from orchestrator.domain import obstacles, stagings
from orchestrator.domain.journeys import Edge, Traveller

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.journeys import Journey
    from orchestrator.domain.kinds import Kind
    from orchestrator.domain.versions import Version

_T = TypeVar("_T")


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
    first: Counter[Edge] = field(default_factory=Counter)
    """How many endpoints would be offered something at once that they are not offered yet, with room for all."""
    asks: Counter[Version] = field(default_factory=Counter)
    """The same, of those that would be asked for their consent."""
    stages: dict[Version, list[int]] = field(default_factory=dict)
    """Of software whose stages are counted: how many endpoints each one holds itself, and last those that none does."""


class Planner:
    """Takes in a fleet kind by kind, and adds its journeys up."""

    def __init__(
        self, catalogue: Catalogue, target: Version | None, now: datetime, *, about: Collection[Version] = ()
    ) -> None:
        """Plan for a catalogue.

        `target` is what endpoints should come to, None when there is nothing; the stages of `about` are counted.
        """
        self.catalogue = catalogue
        self.target = catalogue.get(target)
        self.stagings = tuple(stagings.of(catalogue, about))
        """Those that a census has to tell apart."""
        self._counted = tuple(staging for staging in self.stagings if staging.counted)
        empty = {staging.version: [0] * (len(staging.steps) + 1) for staging in self._counted}
        self.forecast = Forecast(stages=empty)
        self._traveller = Traveller(catalogue, now)

    def add(self, kind: Kind, endpoints: int, staged: Sequence[Sequence[int]] = ()) -> None:
        """Take in so many endpoints of a kind; `staged` are those of each stage, of each staging that is counted."""
        forecast = self.forecast
        kind = self._told_apart(kind)
        journey = self._traveller.journey(kind)
        forecast.running[kind.running] += endpoints
        forecast.resting[journey.end.running] += endpoints
        _count(forecast.matches, kind.filters, endpoints)
        _count(forecast.moves, journey.hops, endpoints)
        _count(forecast.waits, journey.waits, endpoints)
        if journey.first is not None:
            forecast.first[Edge(kind.running, journey.first)] += endpoints
        if journey.asks is not None:
            forecast.asks[journey.asks] += endpoints
        if self._should_move(kind.running) and self._should_move(journey.end.running):
            forecast.unreachable[self._reason(journey)] += endpoints
        if staged:
            self._stage(kind, endpoints, staged)

    def comes(self, kind: Kind, version: Version) -> bool:
        """Whether an endpoint of a kind would come to a version as one of its stages, once one admits it."""
        kind = self._told_apart(kind)
        admitted = replace(kind, later=kind.later - {version}, never=kind.never - {version})
        return version in self._traveller.journey(admitted).staged

    def belongs(self, kind: Kind, version: Version) -> bool:
        """Whether an endpoint of a kind would come to a version so, or runs it already."""
        return kind.running == version or self.comes(kind, version)

    def _stage(self, kind: Kind, endpoints: int, staged: Sequence[Sequence[int]]) -> None:
        for staging, amounts in zip(self._counted, staged, strict=True):
            if self.comes(kind, staging.version):
                present = self.forecast.stages[staging.version]
                added = zip(present, [*amounts, endpoints - sum(amounts)], strict=True)
                self.forecast.stages[staging.version] = list(map(sum, added))

    def _told_apart(self, kind: Kind) -> Kind:
        """The kind without what cannot matter here, so that a fleet has few."""
        known = self.catalogue.index
        return replace(
            kind,
            filters=kind.filters & self.catalogue.filters_in_use,
            exhausted=kind.exhausted.intersection(known),
            backing_off=kind.backing_off.intersection(known),
            consented=kind.consented.intersection(known),
            refused=kind.refused.intersection(known),
        )

    def _should_move(self, running: Version | None) -> bool:
        if self.target is None:
            return False
        item = self.catalogue.get(running)
        return running is None or running < self.target.version or (item is not None and item.recalled)

    def _reason(self, journey: Journey) -> str:
        if self.target is None:
            raise AssertionError(journey)
        return obstacles.name(journey.end, self._traveller.in_time, self.target, journey.end_at)


def _count(counter: Counter[_T], items: Iterable[_T], amount: int) -> None:
    for item in items:
        counter[item] += amount
