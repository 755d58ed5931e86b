"""The knobs of a rollout, as operators set them: stages, limits, deadlines, attempts, window, consent.

Rules:
- A policy is immutable; every knob may be changed while the rollout runs, by a new policy.
- Without stages, and without a word on what a failure shall do, a rollout is not judged: it is one stage of 100 %,
  and `attempts` alone says how often an endpoint tries.
- Percentages grow from stage to stage; a stage admits whom the earlier ones admit as well.

Spec: docs/explanation/rollouts.md.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from math import ceil
from typing import TYPE_CHECKING

from orchestrator.domain.cohorts import COHORTS

if TYPE_CHECKING:
    from datetime import datetime

RULE_OF_THREE = 3
"""With no failure among `3 / p` attempts, a failure rate above `p` is unlikely (95 %)."""


class OnFailure(Enum):
    """What happens to a rollout when a stage fails."""

    PAUSE = "pause"
    ABORT = "abort"
    REVERT = "revert"
    """The software is recalled, too: endpoints move back along authored edges."""


class OnClose(Enum):
    """What becomes of an offer that was not started when its window closes."""

    KEEP = "keep"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How often one endpoint tries one software."""

    max: int = 3
    """Failures after which the version is exhausted at the endpoint; at least 1."""
    backoff: timedelta = timedelta(minutes=10)
    """How long after a failure the version is not offered again."""
    returns: int = 20
    """Reports of the old version, a minute apart, after which an open attempt did not take; at least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: whom it admits beside the earlier ones, and when it is passed. One of the first three is given."""

    percent: float | None = None
    """Of all ranks, above 0, at most 100."""
    count: int | None = None
    """So many endpoints, those of the lowest ranks when they are taken in; at least 1."""
    filter_id: str | None = None
    """The endpoints that this filter matches."""
    soak: timedelta = timedelta()
    """How long an endpoint must stay on the version to confirm it."""
    soak_reports: int = 0
    """How many further reports of the version it must send meanwhile, or later."""
    max_failure_rate: float = 0.05
    """Between 0 and 1."""
    min_attempted: int | None = None
    """Verdicts that are needed; None: by the rule of three."""
    max_unhealthy_rate: float | None = None
    """Of the endpoints that run the version, those that say they are unhealthy; None: nobody asks."""
    approval: bool = False
    """Whether an operator has to approve before the next stage begins."""

    @property
    def sample(self) -> int:
        """The verdicts that are needed, where the stage has as many endpoints."""
        if self.min_attempted is not None:
            return self.min_attempted
        return ceil(RULE_OF_THREE / self.max_failure_rate)

    @property
    def rank_limit(self) -> int:
        """The ranks below it are admitted by a percentage; 0 where the stage has none."""
        return 0 if self.percent is None else ceil(round(self.percent * COHORTS / 100, 6))


WHOLE = Stage(percent=100)
"""The one stage of a rollout that names none."""

STANDARD: tuple[Stage, ...] = (
    Stage(percent=0.5, soak=timedelta(hours=9), min_attempted=100),
    Stage(percent=5, soak=timedelta(hours=6)),
    Stage(percent=25, soak=timedelta(hours=3)),
    Stage(percent=100, soak=timedelta(hours=1)),
)
"""The stages of those who ask for no particular ones: `stages: standard`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """A rate that grows with what has been done; as AWS IoT Jobs has it."""

    base: int
    """Offers a minute at first; at least 1."""
    factor: float
    """By which the rate grows each time; above 1."""
    notified: int | None = None
    """It grows each time so many endpoints have been offered the software; this or `succeeded` is given."""
    succeeded: int | None = None
    """It grows each time so many endpoints have confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How fast offers may be made."""

    per_minute: int | None = None
    """New offers a minute, evenly spread; None: no limit."""
    in_progress: int | None = None
    """Endpoints that may hold a slot at the same time: offered or installing; None: no limit."""
    claim: timedelta = timedelta(minutes=10)
    """How long an endpoint that is not reached may hold its slot."""
    exponential: Exponential | None = None

    @property
    def paced(self) -> bool:
        """Whether offers are limited at all."""
        return self.per_minute is not None or self.in_progress is not None or self.exponential is not None


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When offers may be made: from each instant of a cron expression on, for a while."""

    cron: str
    """Five fields, in local time."""
    duration: timedelta
    time_zone: str | None = "UTC"
    """An IANA name; None: the endpoint's own attribute `timeZone`, UTC where it has none."""
    on_close: OnClose = OnClose.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPolicy:
    """All knobs of one rollout; the defaults are those of a software without a `rollout`."""

    stages: tuple[Stage, ...] = ()
    limits: Limits = UNLIMITED
    attempts: Attempts = field(default_factory=Attempts)
    installing: timedelta = timedelta(days=1)
    """How long a reached attempt may stay without a verdict."""
    window: Window | None = None
    consent: bool | None = None
    """Whether an endpoint gets it only where it was consented to; None: as its application has it."""
    on_failure: OnFailure | None = None
    """None: `pause`, where it is judged."""
    end: datetime | None = None
    """From when on nobody is offered it any more."""

    @property
    def judged(self) -> bool:
        """Whether failures stop the rollout."""
        return bool(self.stages) or self.on_failure is not None

    @property
    def staging(self) -> tuple[Stage, ...]:
        """The stages, at least one."""
        return self.stages or (WHOLE,)

    def stage(self, number: int) -> Stage:
        """The stage of this number, from 0; the last one where there are fewer now."""
        staging = self.staging
        return staging[min(number, len(staging) - 1)]


DEFAULT_POLICY = RolloutPolicy()
