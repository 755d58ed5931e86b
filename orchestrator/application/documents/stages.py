"""The stages of a rollout: a list, or the name of a preset.

Rules:
- Each stage admits more endpoints than those before it; what cannot be so is refused at the stage that has to change.
- A threshold has a sample: a number of verdicts that is needed.

Spec: docs/reference/rest-api.md, "Stages".
Layer: application; pure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, GetPydanticSchema, WithJsonSchema, WrapValidator, model_validator

from orchestrator.application.documents.bodies import Body, Refusal, SpanOrZero
from orchestrator.application.documents.filters import FILTER_ID, FILTER_ID_MEANS
from orchestrator.application.documents.wordings import beyond
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.policies import RULE_OF_THREE, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidatorFunctionWrapHandler

MOST_STAGES = 100
MOST_REPORTS = 1000
MOST_ENDPOINTS = 1_000_000_000
MOST_TAKEN = 10_000
"""Endpoints that one stage takes in by name."""
PRESET: Literal["standard"] = "standard"

_PERCENT = 100


def _rate(rate: float) -> float:
    if 1 < rate <= _PERCENT:
        raise ValueError(f"must be between 0 and 1: {rate:.10g} % is {rate / _PERCENT:.10g}")
    if not 0 <= rate <= 1:
        raise ValueError("must be between 0 and 1: 5 % is 0.05")
    return rate


Rate = Annotated[float, AfterValidator(_rate), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
AMOUNT = Field(ge=1, le=MOST_ENDPOINTS)
WITHIN = f"must be 1 to {MOST_ENDPOINTS:,}"
"""What is said of an amount that is not."""
_MOST_TAKEN = f"must be 1 to {MOST_TAKEN:,}: of more endpoints give a percent, and leave out a stage that admits nobody"


class StageBody(Body):
    """One stage: whom it admits beside the earlier ones, and when it is passed. One of the first three is given."""

    percent: Annotated[float, Field(gt=0, le=_PERCENT), beyond("must be above 0 and at most 100: 5 % is 5")] | None = (
        None
    )
    """Of the fleet; more than that of earlier stages."""
    count: Annotated[int, Field(ge=1, le=MOST_TAKEN), beyond(_MOST_TAKEN)] | None = None
    """So many endpoints; more than that of earlier stages."""
    filter: Annotated[str, Field(pattern=FILTER_ID), beyond(FILTER_ID_MEANS)] | None = None
    """The endpoints that it matches."""
    soak: SpanOrZero = timedelta()
    """How long an endpoint must stay on the version to confirm it."""
    soak_reports: Annotated[int, Field(ge=0, le=MOST_REPORTS), beyond(f"must be 0 to {MOST_REPORTS:,}: 0 is none")] = 0
    """How many further reports of the version it must send to confirm it."""
    max_failure_rate: Rate = Stage().max_failure_rate
    min_attempted: Annotated[int, AMOUNT, beyond(f"{WITHIN}: leave it out for 3 / maxFailureRate")] | None = None
    """Verdicts that are needed; null: 3 / maxFailureRate, rounded up."""
    max_unhealthy_rate: Rate | None = None
    """Of those that run the version, who may say that they are unhealthy; null: nobody is asked."""
    approval: Literal["manual", "automatic"] = "automatic"
    """Whether an operator approves before the next stage begins."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds = {"percent": self.percent, "count": self.count, "filter": self.filter}
        chosen = [kind for kind, value in kinds.items() if value is not None]
        if not chosen:
            raise Refusal("must say whom it admits: add one of percent, count and filter")
        if len(chosen) > 1:
            raise Refusal(f"stands beside {chosen[0]}: a stage has one of the two, so make it two stages", chosen[1])
        if self.min_attempted is None:
            self._check_sample()
        if self.max_unhealthy_rate is not None and not self.soak and not self.soak_reports:
            reason = "endpoints say how they are while they soak, and this stage has no soak: add one, or soakReports"
            raise Refusal(reason, "maxUnhealthyRate")
        return self

    def _check_sample(self) -> None:
        rates = {"maxFailureRate": self.max_failure_rate, "maxUnhealthyRate": self.max_unhealthy_rate}
        for name, rate in rates.items():
            if rate is not None and rate * MOST_ENDPOINTS < RULE_OF_THREE:
                raise Refusal(f"no number of verdicts tells {rate:.10g} from more: add minAttempted, such as 50", name)

    @property
    def stage(self) -> Stage:
        """As the domain knows it."""
        return Stage(
            percent=self.percent,
            count=self.count,
            filter_id=self.filter,
            soak=self.soak,
            soak_reports=self.soak_reports,
            max_failure_rate=self.max_failure_rate,
            min_attempted=self.min_attempted,
            max_unhealthy_rate=self.max_unhealthy_rate,
            approval=self.approval == "manual",
        )


def _read_stages(value: object, read: ValidatorFunctionWrapHandler) -> object:
    if value == PRESET:
        return value
    if not isinstance(value, list):
        code = "member-invalid" if isinstance(value, str) else "member-type"
        raise Refusal(f"must be '{PRESET}', or a list of stages", code=code)
    if not value:
        raise Refusal("must have a stage; leave it out to offer the software to all endpoints at once")
    stages: list[StageBody] = read(value)
    _check_growth([stage.stage for stage in stages])
    return stages


def _check_growth(stages: Sequence[Stage]) -> None:
    for place, stage in enumerate(stages):
        for number, earlier in enumerate(stages[:place], start=1):
            found = _needless(stage, earlier, f"stage {number}")
            if found is not None:
                member, reason = found
                raise Refusal(reason, place, member)


def _needless(stage: Stage, earlier: Stage, name: str) -> tuple[str, str] | None:
    """Why a stage admits nobody whom an earlier one does not admit, and the member that says so."""
    if stage.percent is not None and earlier.percent is not None and stage.rank_limit <= earlier.rank_limit:
        return "percent", f"must be above the {earlier.percent:.10g} of {name}, by 0.0001 at least: stages grow"
    if stage.count is not None and earlier.count is not None and stage.count <= earlier.count:
        return "count", f"must be above the {earlier.count} of {name}: stages grow"
    if stage.filter_id is not None and stage.filter_id == earlier.filter_id:
        return "filter", f"{name} admits its endpoints already: remove one of the two stages"
    if earlier.rank_limit == COHORTS:
        member = "filter" if stage.count is None else "count"
        return member, f"{name} admits all endpoints already: remove this stage, or put it before that one"
    return None


_Listed = Annotated[list[StageBody], Field(min_length=1, max_length=MOST_STAGES), WrapValidator(_read_stages)]
# A plain union would put its alternatives into the paths of errors, and say what is wrong with each.
Stages = Annotated[
    list[StageBody] | Literal["standard"],
    GetPydanticSchema(
        lambda _, schema_of: schema_of(_Listed),
        lambda schema, drawn: {"anyOf": [{"type": "string", "const": PRESET}, drawn(schema)]},
    ),
]
