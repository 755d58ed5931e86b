"""Whom each stage of a rollout admits first, worked out for all endpoints alike.

Rules:
- A stage admits an endpoint by its rank or by a filter, and whom an earlier one admits; the first that does is the
  endpoint's stage.
- A percent stage admits one endpoint at least that no earlier stage admits, a count stage those of the lowest ranks.
  Which these are depends on the fleet, so that they are only known when the stage's gap is `filled`.

Spec: docs/explanation/rollouts.md, "Stages".
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.rollouts import NOBODY, rank, shift

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.policies import Stage
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

MOST_STAGES = 1000
"""So many stages are counted together, those of the highest versions."""
_NO_FILTERS: frozenset[str] = frozenset()


class Place(NamedTuple):
    """Where an endpoint stands."""

    rank: int
    key: int


class Step(NamedTuple):
    """Whom one stage admits by itself."""

    limit: int
    """Ranks below it; 0 is nobody."""
    filter_id: str | None = None
    least: int = 0
    """So many endpoints at least, which are not known yet: of a number all of them, of a percentage one."""
    own: bool = False
    """Whether these are endpoints that no earlier stage admits: those of a percentage."""
    members: frozenset[int] = NOBODY
    """And the endpoints of these keys."""


class Gap(NamedTuple):
    """Endpoints that have to be known before it can be said whom a stage admits."""

    low: int
    """From this rank on."""
    wanted: int
    """So many, of the lowest ranks."""
    without: frozenset[str]
    """That none of these filters matches."""
    taken: frozenset[int] = NOBODY
    """Of other keys than these."""


class Reach(NamedTuple):
    """Whom a stage admits together with those before it."""

    limit: int
    filters: frozenset[str]
    members: frozenset[int] = NOBODY

    @property
    def everybody(self) -> bool:
        """Whether nobody is left out."""
        return self.limit >= COHORTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """The stages of one software."""

    version: Version
    turned: int
    """By how much it turns the order of endpoints."""
    present: int
    """The stage in which it is, from 0."""
    steps: tuple[Step, ...]
    """One for each stage; at least one."""
    counted: bool = False
    """Whether it matters which stage admits an endpoint, and not only whether the present one or the last does."""

    @property
    def last(self) -> int:
        """The number of the last stage."""
        return len(self.steps) - 1

    def reach(self, stage: int) -> Reach:
        """Return whom the stages up to this one admit."""
        steps = self.steps[: stage + 1]
        named = frozenset(step.filter_id for step in steps if step.filter_id is not None)
        limit = max(step.limit for step in steps)
        return Reach(limit, named, NOBODY.union(*(step.members for step in steps)))

    def first(self, endpoint: Endpoint) -> int:
        """Return the first stage that admits an endpoint; the number of stages where none does."""
        place, filters = rank(endpoint.cohort, self.turned), endpoint.filters
        admitting = (
            number
            for number, step in enumerate(self.steps)
            if place < step.limit or endpoint.key in step.members or step.filter_id in filters
        )
        return next(admitting, len(self.steps))

    @property
    def gap(self) -> Gap | None:
        """What has to be known for the first stage of which it is not; None when it is of all."""
        number = self._unknown
        if number is None:
            return None
        step, members = self.steps[number], self.reach(number).members
        if not step.own:
            # Of a number it does not matter whom earlier stages admit, but those that were taken in count.
            return Gap(0, max(0, step.least - len(members)), _NO_FILTERS, members)
        earlier = self.reach(number - 1) if number else Reach(0, _NO_FILTERS)
        return Gap(earlier.limit, step.least, earlier.filters, members)

    def filled(self, places: Sequence[Place]) -> Staging:
        """Return the staging for a fleet in which the gap's endpoints are these, ascending; fewer are all there are.

        They could come to the version, or run it.
        """
        number, gap = self._unknown, self.gap
        if number is None or gap is None:
            return self
        step = self.steps[number]
        found = frozenset(place.key for place in places[: gap.wanted] if place.rank >= step.limit)
        members = found if step.own else found | gap.taken
        known = Step(limit=step.limit, filter_id=step.filter_id, members=members)
        return replace(self, steps=(*self.steps[:number], known, *self.steps[number + 1 :]))

    @property
    def _unknown(self) -> int | None:
        return next((number for number, step in enumerate(self.steps) if step.least), None)


def of(catalogue: Catalogue, counted: Collection[Version]) -> list[Staging]:
    """Return the stagings that matter, ascending: of staged software that is counted, or that does not admit all."""
    found, stages = [], 0
    for item in reversed(catalogue.software):
        stages += len(item.policy.stages) if item.version in counted else 0
        if item.version in counted and item.policy.stages and stages <= MOST_STAGES:
            found.append(_staging(item, catalogue.application, counted=True))
        elif item.servable and not item.admission.everybody:
            found.append(_staging(item, catalogue.application, counted=False))
    return found[::-1]


def _staging(item: Software, application: str, *, counted: bool) -> Staging:
    stages = item.policy.staging
    present = min(item.rollout.stage, len(stages) - 1)
    # Whom a stage that was entered has taken in is kept, even where another fleet would have others.
    whole = any(stage.rank_limit >= COHORTS for stage in stages)
    steps = []
    for number, stage in enumerate(stages):
        members, limit = item.rollout.members_of(number), stage.rank_limit
        matters = counted or number <= present or not whole
        least = _least(stage, members, passed=number < present) if matters else 0
        steps.append(Step(limit, stage.filter_id, least, own=least > 0 and stage.count is None, members=members))
    return Staging(
        version=item.version,
        turned=shift(application, item.version),
        present=present,
        steps=tuple(steps),
        counted=counted,
    )


def _least(stage: Stage, members: frozenset[int], *, passed: bool) -> int:
    """How many endpoints a stage is to have, where it is not known whom."""
    if stage.count is not None:
        return 0 if passed or len(members) >= stage.count else stage.count
    return 0 if stage.filter_id is not None or members or stage.rank_limit >= COHORTS else 1
