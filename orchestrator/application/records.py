"""What is stored, as values: definitions that people edit, and endpoints as the engine loads and saves them.

Rules:
- A record is never changed in place; storing answers a new one.
- JSON that belongs to the user (specification, metadata) is kept as its own text, never re-encoded.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.domain import changes
from orchestrator.domain.policies import UNLIMITED
from protocol.values import quick

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.memberships import Subject
    from orchestrator.domain.attempts import AttemptState
    from orchestrator.domain.attentions import Trouble
    from orchestrator.domain.changes import Room
    from orchestrator.domain.endpoints import Attempt, Endpoint, HistoryEntry, TokenState
    from orchestrator.domain.filters import Filter
    from orchestrator.domain.freezes import Freeze
    from orchestrator.domain.policies import Limits
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version
    from protocol.configurations import Profile


class PushMode(Enum):
    """How an application's offers are pushed: kept by the broker, or sent only when the endpoint is heard."""

    RETAINED = "retained"
    LIVE = "live"


REQUIRED = "required"
"""Of `Application.consent`: an endpoint is offered only what was consented to for it."""


class Registration(Enum):
    """What an unknown token may do: create its endpoint, or nothing."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One product line and its settings."""

    key: int
    name: str
    app_versions: tuple[str, ...]
    profile: Profile
    push: PushMode
    registration: Registration
    consent: str
    operator_keys: tuple[str, ...]
    description: str | None
    revision: int
    created_at: datetime
    limits: Limits = UNLIMITED
    """Over all its software together."""
    frozen: Freeze | None = None
    """Its own freeze, or that of all applications."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMark:
    """What is kept of one stage beside its attempts."""

    acknowledged: int = 0
    """Failures that were seen when the rollout was resumed: they stop it no more."""
    acknowledged_unhealthy: int = 0
    """The same for endpoints that were unwell."""
    passed_at: datetime | None = None
    """None: it has not passed, or runs anew since."""
    endpoints: int | None = None
    """How many it had when it was passed."""
    failures: int | None = 0
    """How many there were when the rollout finished: what comes later opens it again. None: that was not noted."""
    reverted: int = 0
    """Of them, those that went back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """What is kept of a rollout beside what the decision looks at."""

    since: datetime | None = None
    """Since when it is in its present phase and stage; None: since it was defined."""
    by: str | None = None
    """Who brought it there; None: nobody has changed it yet."""
    reason: str | None = None
    marks: tuple[StageMark, ...] = ()
    """By stage; those that are missing have nothing to keep."""

    def mark(self, stage: int) -> StageMark:
        """What is kept of a stage."""
        return self.marks[stage] if stage < len(self.marks) else StageMark()

    def marked(self, stage: int, mark: StageMark) -> RolloutStatus:
        """The same with another mark of one stage."""
        marks = [self.mark(number) for number in range(max(len(self.marks), stage + 1))]
        marks[stage] = mark
        return replace(self, marks=tuple(marks))


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareRecord:
    """One software as stored: what `decide` needs, and what is handed on as given."""

    software: Software
    specification: str | None = field(repr=False)
    """JSON text, or None when the definition has none; never logged."""
    metadata: str
    """JSON text of an object."""
    rollout: str | None
    """JSON text of the rollout member as given, or None."""
    upgradable_from: tuple[str, ...]
    offered_at: datetime | None
    """When it was first offered to anyone; from then on the specification is frozen."""
    revision: int
    created_at: datetime
    updated_at: datetime
    status: RolloutStatus = field(default_factory=RolloutStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRecord:
    """One filter as stored."""

    filter: Filter
    description: str | None
    revision: int


@quick(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """One endpoint as the engine loads it: its state, and the keys under which it is stored and published."""

    key: int
    application: int
    endpoint_id: str
    app_version: str
    token: str
    endpoint: Endpoint
    push_revision: int = 0
    """Revision of the last change of what its push topic shall retain; 0 when there was none."""
    last_history: int = 0
    """Identifier of its newest history entry; entries are chained from there."""
    due_at: datetime | None = None
    """When its timer is set to go off."""
    subject: Subject | None = field(default=None, compare=False)
    """What filters looked at when it was loaded; None: nobody wanted to know."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """One endpoint inside one batch: what was loaded, what it has become, and what has to be written for that."""

    before: EndpointRecord
    after: Endpoint
    app_version: str
    entries: list[HistoryEntry] = field(default_factory=list)
    """New history entries, oldest first."""
    superseded: list[Attempt] = field(default_factory=list)
    """Settled attempts that a newer offer has replaced, oldest first."""
    push: bool = False
    """Whether what its push topic shall hold has changed."""
    repeat: bool = False
    """Whether its offer is to be sent again, live, although nothing has changed; a `push` does that, too."""
    cleared_topics: list[str] = field(default_factory=list)
    """Topics that it has left and that must not retain anything of it."""
    new_attributes: str | None = None
    """JSON text of its attributes, when they have changed."""
    room: Room = changes.unlimited
    """Asked before it is offered something."""
    held: Version | None = None
    """What it would be offered now, but for want of room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDocument:
    """One endpoint as operators see and edit it, with its state."""

    endpoint_id: str
    attributes: str
    """JSON text of an object."""
    revision: int
    """Grows with every edit by an operator; what an endpoint reports, its own attributes too, leaves it alone."""
    record: EndpointRecord
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """An endpoint that is about to be created."""

    application: int
    endpoint_id: str
    token: str
    app_version: str
    attributes: str
    registered_at: datetime
    token_state: TokenState
    pinned: Version | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHistory:
    """One history entry as stored."""

    number: int
    """Grows with time within one endpoint; what a cursor names."""
    entry: HistoryEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointQuery:
    """Which endpoints to list."""

    after: int = 0
    """Key after which to go on."""
    limit: int = 100
    running: tuple[Version, ...] | None = None
    """Versions that compare equal to the one asked for; None: any."""
    unknown: bool = False
    """Only those that have reported nothing."""
    state: AttemptState | None = None
    """Of the latest attempt."""
    token: str | None = None
    token_state: TokenState | None = None
    silent_since: datetime | None = None
    """Only those that were not heard since; those that never were: not registered since."""
    filter: Filter | None = None
    """Only those that are in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionPlace:
    """Where the list of endpoints that need attention goes on."""

    severity: int
    place: int
    """What the storage orders endpoints of one severity by, before their key."""
    key: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrouble:
    """An endpoint that needs attention, as found."""

    place: AttentionPlace
    token: str
    trouble: Trouble


class AppVersionTakenError(Exception):
    """An application version already belongs to another application."""

    code = "app-version-taken"

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(f"the application version {name} belongs to another application")
        self.name = name
