"""The shapes of answers, for the OpenAPI document only; those of requests are the bodies themselves.

Rules:
- A test holds these and what is really answered together.

Layer: api.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import HistoryKind, TokenState
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.software import Strategy

# FastAPI's own type for what it copies into the document.
Extra: TypeAlias = dict[str, Any]
Responses: TypeAlias = dict[int | str, dict[str, Any]]

_SCHEMA = "#/components/schemas/"


class Shape(BaseModel):
    """The shape of one answer; shapes that only one module's routes answer stand in that module."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", populate_by_name=False)


class Problem(Shape):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; made for programs.")
    message: str = Field(description="The same as `detail`.")


class Freeze(Shape):
    """Whether new offers are stopped, and since when, by whom and why."""

    frozen: bool
    since: datetime | None
    by: str | None
    reason: str | None
    everywhere: bool = Field(description="Whether it is the freeze of all applications.")


class SharedLimits(Shape):
    """How fast offers are made; null is no limit."""

    per_minute: int | None
    in_progress: int | None


class Application(Shape):
    """A product line."""

    name: str
    app_versions: list[str]
    registration: Literal["open", "closed"]
    profile: Literal["kaa", "rfc7"]
    push: Literal["retained", "live"]
    consent: Literal["none", "required"]
    operator_keys: list[str]
    limits: SharedLimits | None = Field(description="Over all its software together.")
    description: str | None
    created_at: datetime
    frozen: Freeze | None


class FilterUse(Shape):
    """A filter that a software lists."""

    filter_id: str
    rollout_date: datetime | None


class Software(Shape):
    """A software definition."""

    version: str
    upgradable_from: list[str]
    rollout_strategy: Strategy
    filters: list[FilterUse]
    rollout: dict[str, JsonValue] | None
    specification: JsonValue
    metadata: dict[str, JsonValue]
    recalled_at: datetime | None
    offered_at: datetime | None = Field(description="From then on the specification is frozen.")
    created_at: datetime
    updated_at: datetime


class Recalled(Software):
    """A software that was recalled."""

    withdrawn: int = Field(description="How many open offers of it end.")


class RolloutStage(Shape):
    """One stage of a rollout, with the numbers of its own attempts."""

    percent: float | None
    count: int | None = None
    filter: str | None = None
    state: Literal["waiting", "running", "passed", "failed"]
    endpoints: int | None = Field(description="That it admits, beside those of earlier stages; null: not measured.")
    offered: int
    installing: int
    soaking: int
    confirmed: int
    failed: int
    reverted: int
    expired: int
    withdrawn: int
    unhealthy: int
    waiting: int | None = Field(description="Those that nothing was offered yet.")
    offline: int = Field(description="Of the offered ones, those that were not heard since.")
    settled: int
    needed: int | None
    failure_rate: float | None
    bounds: list[float] | None = Field(description="Between which the true rate lies (Wilson, 95 %).")
    max_failure_rate: float
    approval: Literal["manual", "automatic"]
    reason: str | None


class RolloutFailure(Shape):
    """Endpoints whose latest attempt failed, or that say of the version that they are not well, for one reason."""

    reason: str
    endpoints: int
    unhealthy: Literal[True] | None = Field(None, description="They run it, and say that they are not well.")


class Rollout(Shape):
    """How far a rollout is."""

    version: str
    state: Literal["running", "paused", "waiting-approval", "finished", "aborted", "suspended", "recalled"]
    stage: int = Field(description="The present one, from 0.")
    since: datetime
    by: str | None
    reason: str | None
    summary: str
    stages: list[RolloutStage]
    failures: list[RolloutFailure]


class MovedRollout(Rollout):
    """What has become of a rollout."""

    withdrawn: int = Field(description="Unstarted offers that end by it.")


class Filter(Shape):
    """A named group of endpoints."""

    filter_id: str
    expression: str
    description: str | None


class Offer(Shape):
    """What an endpoint is asked to install."""

    version: str
    sequence: int
    state: AttemptState
    offered_at: datetime
    attempt: int
    percent: int | None


class Endpoint(Shape):
    """An endpoint: what operators say of it, and what it reports."""

    endpoint_id: str
    token: str
    token_state: TokenState
    app_version: str
    attributes: dict[str, JsonValue]
    running_version: str | None
    running_asserted: bool = Field(description="Whether an import said what it runs, and it has not yet itself.")
    running_since: datetime | None
    last_seen_at: datetime | None
    registered_at: datetime
    observe: bool
    pinned: str | None
    offer: Offer | None
    consent_asked: str | None = Field(description="The version for which its consent is asked now.")


class Rule(Shape):
    """One rule with the values that it compared."""

    rule: str
    passed: bool
    detail: str


class Verdict(Shape):
    """What the rules say of one software for the endpoint."""

    version: str
    eligible: bool
    open: bool
    reachable: bool
    rules: list[Rule]


class Explanation(Shape):
    """Why an endpoint is offered what it is offered, or nothing."""

    endpoint_id: str
    running_version: str | None
    outcome: Outcome
    hop: str | None
    goal: str | None
    path: list[str]
    waits_until: datetime | None
    summary: str
    software: list[Verdict]


class History(Shape):
    """One line of an endpoint's history."""

    at: datetime
    kind: HistoryKind
    version: str | None
    status_code: int | None
    reason: str | None


class Node(Shape):
    """One version of the upgrade graph."""

    version: str
    endpoints: int
    strategy: Strategy | None
    recalled: bool
    defined: bool
    reachable: bool
    dead_end: bool


class Edge(Shape):
    """`to` may be installed over `from`; null is an unknown version."""

    from_: str | None = Field(alias="from")
    to: str
    offered: int = Field(description="Attempts that are open now.")
    failed: int = Field(description="Attempts that failed, were reverted or expired, ever.")


class Graph(Shape):
    """The upgrade graph."""

    versions: list[Node]
    edges: list[Edge]


class Failure(Shape):
    """Endpoints whose latest attempt failed for one reason."""

    version: str | None
    reason: str
    endpoints: int


class Summary(Shape):
    """An application's numbers."""

    endpoints: int
    by_version: dict[str, int]
    unknown_version: int
    unseen: int | None
    frozen: Freeze | None
    by_state: dict[AttemptState, int]
    failures: list[Failure]


PROBLEMS: Responses = {
    "default": {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": f"{_SCHEMA}{Problem.__name__}"}}},
    }
}


def resource(shape: type[BaseModel]) -> Responses:
    """The answers to a GET of one resource."""
    return {200: {"model": shape}, **PROBLEMS}


def drawn(shape: type[BaseModel], *media_types: str) -> Responses:
    """The answers to a GET of a document that may be had as a drawing, too."""
    drawings = {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in media_types}
    return {200: {"model": shape, "content": drawings}, **PROBLEMS}


def written(shape: type[BaseModel]) -> Responses:
    """The answers to a PUT."""
    return {201: {"model": shape, "description": "Created"}, **resource(shape)}


def array(shape: type[BaseModel]) -> Responses:
    """The answers to a GET of a bare array."""
    schema = {"type": "array", "items": {"$ref": f"{_SCHEMA}{shape.__name__}"}}
    return {200: {"content": {"application/json": {"schema": schema}}}, **PROBLEMS}


def listing(shape: type[BaseModel]) -> Responses:
    """The answers to a GET of a list in parts."""
    items = {"type": "array", "items": {"$ref": f"{_SCHEMA}{shape.__name__}"}}
    schema = {
        "type": "object",
        "properties": {"items": items, "next": {"type": ["string", "null"]}},
        "required": ["items", "next"],
    }
    return {200: {"content": {"application/json": {"schema": schema}}}, **PROBLEMS}


def body(kind: type[BaseModel], *, required: bool = True, media_type: str = "application/json") -> Extra:
    """What a request carries."""
    content = {media_type: {"schema": {"$ref": f"{_SCHEMA}{kind.__name__}"}}}
    return {"requestBody": {"required": required, "content": content}}


def patch() -> Extra:
    """A merge patch (RFC 7396) of the resource."""
    schema = {"type": "object", "description": "A JSON merge patch of the resource."}
    content = {media_type: {"schema": schema} for media_type in ("application/merge-patch+json", "application/json")}
    return {"requestBody": {"required": True, "content": content}}
