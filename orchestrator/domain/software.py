"""Software definitions, as far as the decision looks at them.

Rules:
- A definition is immutable here; a change is a new value in a new catalogue.
- The specification itself never enters the domain: only whether there is one.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.policies import DEFAULT_POLICY
from orchestrator.domain.rollouts import NOBODY, STARTED, Phase, move

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.policies import RolloutPolicy, Stage
    from orchestrator.domain.rollouts import Rollout
    from orchestrator.domain.versions import Constraint, Version


class Strategy(Enum):
    """To whom a software is offered."""

    SUSPENDED = "suspended"
    """Nobody."""
    TARGETED = "targeted"
    """Endpoints that at least one listed filter matches."""
    GENERAL = "general"
    """Every endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterUse:
    """A filter that a targeted software lists."""

    filter_id: str
    rollout_date: datetime | None = None
    """From when on the filter counts; None is always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whom a rollout admits."""

    limit: int
    """Ranks below it are in."""
    filters: frozenset[str]
    """So are the endpoints that one of these matches."""
    members: frozenset[int] = frozenset()
    """So are the endpoints of these keys."""

    @property
    def everybody(self) -> bool:
        """Whether nobody is left out."""
        return self.limit >= COHORTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """One software definition of one application."""

    version: Version
    upgradable_from: tuple[Constraint, ...] = ()
    strategy: Strategy
    filters: tuple[FilterUse, ...] = ()
    has_specification: bool = True
    """False when the specification is absent or null: such software is an edge's end, never an offer."""
    policy: RolloutPolicy = DEFAULT_POLICY
    recalled_at: datetime | None = None
    rollout_date: datetime | None = None
    """The start of the whole rollout, whatever its strategy; None is at once."""
    rollout: Rollout = STARTED
    """How far it has come."""

    @property
    def recalled(self) -> bool:
        """Whether it must not be run any more."""
        return self.recalled_at is not None

    @property
    def stopped(self) -> bool:
        """Whether it is offered to nobody, pinned endpoints included: recalled, suspended or aborted."""
        return self.recalled or self.strategy is Strategy.SUSPENDED or self.rollout.aborted

    @property
    def admission(self) -> Admission:
        """Whom its stages admit up to now."""
        staging = self.policy.staging
        present = min(self.rollout.stage, len(staging) - 1)
        limit = max(stage.rank_limit for stage in staging[: present + 1])
        members = NOBODY.union(*self.rollout.members[: present + 1])
        filters = [stage.filter_id for stage in staging[: present + 1] if stage.filter_id is not None]
        return Admission(limit=limit, filters=frozenset(filters), members=members)

    def stage_for(self, *, pinned: bool, rescue: bool) -> int | None:
        """Return the stage that an offer made now belongs to."""
        return None if pinned or rescue else min(self.rollout.stage, len(self.policy.staging) - 1)

    @property
    def servable(self) -> bool:
        """Whether it could be offered at all: not stopped, and there is a specification to send."""
        return self.has_specification and not self.stopped

    def over(self, at: datetime) -> bool:
        """Whether the end of its rollout has come."""
        return self.policy.end is not None and self.policy.end <= at

    def visible(self, *, started: bool) -> bool:
        """Whether an open offer may be seen; a started install outlives all stops but a recall."""
        if self.recalled or not self.has_specification:
            return False
        return started or not (self.stopped or self.rollout.held)

    @property
    def filter_ids(self) -> frozenset[str]:
        """All filters that it names: those that it lists, whatever its strategy, and those of its stages."""
        staged = (stage.filter_id for stage in self.policy.stages)
        return frozenset({*(use.filter_id for use in self.filters), *(name for name in staged if name is not None)})

    def opens_at(self, filters: frozenset[str] | None) -> datetime | None:
        """Return the instant from which an endpoint in these filters may get it; None is always.

        `filters` are those that match the endpoint; None stands for "filters aside". The answer means
        nothing for an endpoint that no listed filter matches.
        """
        dates: list[datetime | None] = [self.rollout_date]
        if self.strategy is Strategy.TARGETED and filters is not None:
            matching = [use.rollout_date for use in self.filters if use.filter_id in filters]
            dates.append(None if None in matching else min((date for date in matching if date), default=None))
        return max((date for date in dates if date is not None), default=None)


def revised(software: Software, policy: RolloutPolicy) -> Rollout:
    """Return how far the rollout of a software is when its policy becomes `policy`.

    Stages are known by their position; where one is another one now, whom it takes in is worked out anew, but for a
    number that grows. A rollout that is finished goes on when there are stages that it has not come to.
    """
    rollout, before, after = software.rollout, software.policy.staging, policy.staging
    pairs = enumerate(zip(before, after, strict=False))
    same = next((number for number, (old, new) in pairs if not _goes_on(old, new)), min(len(before), len(after)))
    stage = min(rollout.stage, len(after) - 1)
    if rollout.phase is Phase.FINISHED and stage + 1 < len(after):
        rollout = move(rollout, Phase.RUNNING)
    return replace(rollout, stage=stage, members=rollout.members[:same])


def _goes_on(old: Stage, new: Stage) -> bool:
    """Whether whom one stage has taken in is right for the other as well."""
    grows = old.count is not None and new.count is not None and old.count <= new.count
    return grows or _share(old) == _share(new)


def _share(stage: Stage) -> tuple[float | None, int | None, str | None]:
    return stage.percent, stage.count, stage.filter_id
