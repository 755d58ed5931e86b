"""The member `rollout` of a software: how it spreads.

Rules:
- What contradicts itself is refused at the member that has to change, with a sentence that says how.
- Members that are left out, and null where it may stand, mean the defaults of the domain.

Spec: docs/reference/rest-api.md, "How a software spreads".
Layer: application; pure.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from orchestrator.application.documents import durations, instants
from orchestrator.application.documents.bodies import Body, Instant, Refusal, Span
from orchestrator.application.documents.stages import AMOUNT, PRESET, WITHIN, Stages
from orchestrator.application.documents.wordings import beyond
from orchestrator.domain import windows
from orchestrator.domain.policies import (
    DEFAULT_POLICY,
    STANDARD,
    UNLIMITED,
    Attempts,
    Exponential,
    Limits,
    OnClose,
    OnFailure,
    RolloutPolicy,
    Stage,
    Window,
)
from orchestrator.domain.windows import WindowError

MOST_ATTEMPTS = 1000
LARGEST_FACTOR = 100
CRON_CHARACTERS = 200
ZONE_CHARACTERS = 64
Limit = Annotated[int, AMOUNT, beyond(f"{WITHIN}: leave it out for no limit; pause or freeze to offer nothing")]
Step = Annotated[int, AMOUNT, beyond(f"{WITHIN} endpoints")]
Tries = Annotated[int, Field(ge=1, le=MOST_ATTEMPTS), beyond(f"must be 1 to {MOST_ATTEMPTS:,}")]
ENDPOINT = "endpoint"
"""Of `timeZone`: each endpoint's own."""


class ExponentialBody(Body):
    """A rate that grows; `notified` or `succeeded` says on what."""

    base: Annotated[int, AMOUNT, beyond(f"{WITHIN} offers a minute")]
    """Offers a minute at first."""
    factor: Annotated[
        float,
        Field(gt=1, le=LARGEST_FACTOR),
        beyond(f"must be above 1 and at most {LARGEST_FACTOR}: 2 doubles the rate"),
    ]
    """By which it grows each time."""
    notified: Step | None = None
    """Each time so many endpoints have been offered it."""
    succeeded: Step | None = None
    """Each time so many endpoints have confirmed it."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.notified is None and self.succeeded is None:
            raise Refusal("must say on what the rate grows: add one of notified and succeeded")
        if self.notified is not None and self.succeeded is not None:
            raise Refusal("stands beside notified: the rate grows on one of the two", "succeeded")
        return self


class SharedLimitsBody(Body):
    """How fast offers may be made, over all software of an application."""

    own: ClassVar[frozenset[str]] = frozenset({"claim", "exponential"})
    """Limits that only a rollout has."""

    per_minute: Limit | None = None
    """New offers a minute, evenly spread; null: no limit."""
    in_progress: Limit | None = None
    """Endpoints that may be offered something or be installing at the same time; null: no limit."""

    @model_validator(mode="before")
    @classmethod
    def _check_place(cls, members: object) -> object:
        misplaced = cls.own & members.keys() if isinstance(members, dict) else ()
        for name in sorted(misplaced):
            reason = f"belongs to a rollout, not to an application: put it into rollout.limits.{name} of its software"
            raise Refusal(reason, name, code="member-unknown")
        return members

    @property
    def limits(self) -> Limits:
        """As the domain knows them."""
        return Limits(per_minute=self.per_minute, in_progress=self.in_progress)


class LimitsBody(SharedLimitsBody):
    """How fast offers of one software may be made."""

    own: ClassVar[frozenset[str]] = frozenset()
    claim: Span = UNLIMITED.claim
    """How long an endpoint that is not reached may count as in progress."""
    exponential: ExponentialBody | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        most, growth = self.per_minute, self.exponential
        if most is not None and growth is not None and growth.base > most:
            reason = f"{growth.base} a minute is more than perMinute, {most}: begin lower, or raise perMinute"
            raise Refusal(reason, "exponential", "base")
        return self

    @property
    def limits(self) -> Limits:
        """As the domain knows them."""
        growth = self.exponential
        return Limits(
            per_minute=self.per_minute,
            in_progress=self.in_progress,
            claim=self.claim,
            exponential=None if growth is None else Exponential(**growth.model_dump()),
        )


class DeadlineBody(Body):
    """How long an attempt may stay without a verdict."""

    installing: Span = DEFAULT_POLICY.installing
    """From the moment at which it was reached."""


class AttemptsBody(Body):
    """How often one endpoint tries."""

    max: Tries = DEFAULT_POLICY.attempts.max
    backoff: Span = DEFAULT_POLICY.attempts.backoff
    """How long after a failure it is not tried again."""
    returns: Tries = DEFAULT_POLICY.attempts.returns
    """Reports of the old version after which an attempt did not take."""


class WindowBody(Body):
    """When offers may be made."""

    cron: Annotated[str, Field(max_length=CRON_CHARACTERS)]
    """When it opens: minute, hour, day of the month, month, day of the week."""
    duration: Span
    """How long it stays open."""
    time_zone: Annotated[str, Field(max_length=ZONE_CHARACTERS)] = "UTC"
    """An IANA name, or `endpoint`: the attribute `timeZone` of each endpoint, UTC where it has none."""
    on_close: Annotated[OnClose, Field(strict=False)] = OnClose.KEEP
    """What becomes of offers that nobody has begun when it closes."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            windows.check(self.window)
        except WindowError as error:
            raise Refusal(str(error), error.field, code=error.code) from error
        return self

    @property
    def window(self) -> Window:
        """As the domain knows it."""
        return Window(
            cron=self.cron,
            duration=self.duration,
            time_zone=None if self.time_zone == ENDPOINT else self.time_zone,
            on_close=self.on_close,
        )


class RolloutBody(Body):
    """How a software spreads."""

    start: Instant | None = None
    """When the whole rollout starts; null: at once."""
    end: Instant | None = None
    """From when on nobody is offered it any more; null: never."""
    stages: Stages | None = None
    """With stages, or `onFailure`, failures stop the rollout; null: all endpoints, and nothing stops it."""
    limits: LimitsBody = Field(default_factory=LimitsBody)
    deadline: DeadlineBody = Field(default_factory=DeadlineBody)
    attempts: AttemptsBody = Field(default_factory=AttemptsBody)
    window: WindowBody | None = None
    """null: at any time."""
    consent: Literal["none", "required"] | None = None
    """Whether endpoints get it only where it was consented to; null: as the application has it."""
    on_failure: Annotated[OnFailure, Field(strict=False)] | None = None
    """What happens when a stage fails; null: `pause`, where there are stages."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise Refusal(f"must lie after start, {instants.build(self.start)}: nobody would be offered it", "end")
        self._check_window()
        self._check_soaks()
        return self

    def _check_window(self) -> None:
        """Refuse a window that stays closed all the time from start to end."""
        if self.window is None or self.start is None or self.end is None:
            return
        if not windows.opens_between(self.window.window, self.start, self.end):
            times = f"from start, {instants.build(self.start)}, to end, {instants.build(self.end)}"
            reason = f"does not open {times}: nobody would be offered it; put end later, or change cron"
            raise Refusal(reason, "window")

    def _check_soaks(self) -> None:
        """Refuse a deadline that no soak keeps to, of the stages that have one: then one of them is a mistake."""
        deadline = self.deadline.installing
        soaks = [(stage.soak, place) for place, stage in enumerate(self._staging) if stage.soak]
        if not soaks or min(soaks)[0] <= deadline:
            return
        shortest, place = min(soaks)
        soak, most = durations.build(shortest), durations.build(deadline)
        if self.stages == PRESET:
            reason = f"{most} is shorter than every soak of '{PRESET}', the shortest is {soak}: lengthen it"
            raise Refusal(reason, "deadline", "installing")
        longer = f"{soak} is longer than deadline.installing, {most}, and no stage soaks for less"
        reason = f"{longer}: shorten it, or lengthen the deadline"
        raise Refusal(reason, "stages", place, "soak")

    @property
    def _staging(self) -> tuple[Stage, ...]:
        if self.stages is None:
            return ()
        return STANDARD if self.stages == PRESET else tuple(stage.stage for stage in self.stages)

    @property
    def policy(self) -> RolloutPolicy:
        """As the decision knows it."""
        return RolloutPolicy(
            stages=self._staging,
            limits=self.limits.limits,
            attempts=Attempts(**self.attempts.model_dump()),
            installing=self.deadline.installing,
            window=None if self.window is None else self.window.window,
            consent=None if self.consent is None else self.consent == "required",
            on_failure=self.on_failure,
            end=self.end,
        )
