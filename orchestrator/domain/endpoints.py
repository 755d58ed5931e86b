"""What is known of one endpoint: what it runs, what it is offered, what failed there.

Rules:
- One offer per endpoint; its sequence number only grows.
- `attempt` is the latest one, open or settled; `offer` is the same while it is open.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.domain.attempts import OPEN, Attempt, AttemptState
from protocol.values import quick

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from orchestrator.domain.versions import Version


__all__ = ["Attempt", "Consent", "Endpoint", "HistoryEntry", "HistoryKind", "Setback", "TokenState"]


class TokenState(Enum):
    """Whether an endpoint's token is good."""

    # As `AttemptState`: compared by identity, and looked up for every endpoint that is stored.
    __hash__ = object.__hash__

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    RETIRED = "retired"
    """It is good, but its endpoint was not heard for long: offered nothing until it speaks."""


class HistoryKind(Enum):
    """What an entry of an endpoint's history says; storage keeps the position: append, never reorder."""

    # As `AttemptState`: compared by identity, and looked up for every entry that is stored.
    __hash__ = object.__hash__

    REPORTED = "reported"
    OFFERED = "offered"
    INSTALLING = "installing"
    """The first progress of an attempt; later ones are not history."""
    CONFIRMED = "confirmed"
    FAILED = "failed"
    REVERTED = "reverted"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    RETURNED = "returned"
    """The old version was reported while an offer was open; only counted returns are history."""
    RETRIED = "retried"
    """An operator had failures forgotten: of `version`, or of all when it is None."""
    CONSENTED = "consented"
    REFUSED = "refused"
    """Consent to `version` was refused, or taken back."""
    ASSERTED = "asserted"
    """An import said that it runs `version`; its first report replaces that."""
    SOAKING = "soaking"
    """It reported the offered version, and has to stay on it for a while."""
    UNHEALTHY = "unhealthy"
    """It said that it is not well on the version."""
    RECOVERED = "recovered"
    """It said that it is well again."""
    ASKED = "asked"
    """It was asked for consent to `version`."""
    RETIRED = "retired"
    """It was not heard for so long that it is offered nothing until it is."""


@quick(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One line of an endpoint's history."""

    at: datetime
    kind: HistoryKind
    version: Version | None = None
    status_code: int | None = None
    """As reported; None for what is no report."""
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """What the failures of one version at one endpoint amount to, until an operator retries it."""

    failures: int
    """At least 1."""
    retry_at: datetime | None = None
    """When the back-off after the last failure is over; None when exhausted."""
    exhausted: bool = False
    """Whether the version is not offered here again."""
    reason: str | None = None
    """Of the last failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What was said at one endpoint of one version, until the endpoint reports that it runs it."""

    granted: bool
    """False: it was refused, or taken back."""
    at: datetime
    reason: str | None = None


@quick(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint, as the decision and the engine's steps see it."""

    running: Version | None = None
    """As reported last; until the first report None, or what an import asserted."""
    running_since: datetime | None = None
    """None until the first report."""
    last_seen_at: datetime | None = None
    registered_at: datetime
    observe: bool = True
    """Whether it wants pushes."""
    token_state: TokenState = TokenState.ACTIVE
    pinned: Version | None = None
    sequence: int = 0
    """Of the latest offer; 0 before the first."""
    attempt: Attempt | None = None
    setbacks: Mapping[Version, Setback] = field(default_factory=dict)
    filters: frozenset[str] = frozenset()
    """The application's filters whose expression matches its attributes."""
    consents: Mapping[Version, Consent] = field(default_factory=dict)
    asked: Version | None = None
    """The version for which its consent is asked now."""
    consulted: bool = False
    """Whether it was ever asked: then its topic of consent is kept up to date."""
    cohort: int = 0
    """Where it stands in the order in which rollouts reach the fleet, before a version turns that."""
    zone: str | None = None
    """Its own time zone, where software looks at that."""
    key: int = field(default=0, compare=False)
    """Its number in the storage, by which stages know whom they take in; 0 as long as it has none."""

    @property
    def offer(self) -> Attempt | None:
        """The latest attempt while it is offered or installing."""
        attempt = self.attempt
        return attempt if attempt is not None and attempt.state in OPEN else None

    @property
    def reported(self) -> bool:
        """Whether it has ever said itself what it runs, or that an install there failed."""
        failed = self.attempt is not None and self.attempt.state is AttemptState.FAILED
        return self.running_since is not None or failed or bool(self.setbacks)

    def heard(self, at: datetime, *, attempt: Attempt | None, running: Version | None = None) -> Endpoint:
        """Return the endpoint as an accepted message at `at` leaves it.

        `running` is what the message reports, None if it says nothing of that. `running_since` becomes `at` when it is
        another version by precedence than before, or the first that is reported.
        """
        since = self.running_since
        if running is None:
            running = self.running
        elif since is None or running != self.running:
            since = at
        # Written out: `dataclasses.replace` takes twice as long. A test sees to it that no field is forgotten.
        return Endpoint(
            running=running,
            running_since=since,
            last_seen_at=at,
            registered_at=self.registered_at,
            observe=self.observe,
            token_state=self.token_state,
            pinned=self.pinned,
            sequence=self.sequence,
            attempt=attempt,
            setbacks=self.setbacks,
            filters=self.filters,
            consents=self.consents,
            asked=self.asked,
            consulted=self.consulted,
            cohort=self.cohort,
            zone=self.zone,
            key=self.key,
        )
