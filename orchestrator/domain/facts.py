"""What may have happened to one endpoint, in the past tense.

Rules:
- `Heard`, `Reported`, `Progressed`, `HealthReported` and `ObserveAsked` are accepted messages of the endpoint itself;
  `Consented` may be, or an operator's word.
- A fact carries its instant; nothing here reads a clock.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from protocol.values import quick

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.versions import Version

SUCCESS = range(200, 300)
"""Status codes of success; every other one, 1xx and 3xx too, is a failure."""


@quick(frozen=True, slots=True, kw_only=True)
class Heard:
    """An accepted message came that says nothing about software."""

    at: datetime


@quick(frozen=True, slots=True, kw_only=True)
class Reported:
    """The endpoint said what it runs, or that installing a version failed."""

    version: Version
    status_code: int = 200
    reason: str | None = None
    at: datetime

    @property
    def succeeded(self) -> bool:
        """Whether the endpoint runs `version`."""
        return self.status_code in SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """The endpoint said how far installing a version has got."""

    version: Version
    state: str
    percent: int | None = None
    """0-100."""
    message: str | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReported:
    """The endpoint said whether it is well."""

    healthy: bool
    version: Version | None = None
    """What it is about; None: what it runs."""
    reason: str | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveAsked:
    """The endpoint asked for pushes, or for none."""

    observe: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed:
    """The engine's clock came to an instant that `due_at` had named."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """An operator had the failures of one version forgotten, or of all when it is None."""

    at: datetime
    version: Version | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consented:
    """Consent to one version was given, or refused, or taken back."""

    at: datetime
    version: Version
    granted: bool = True
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asserted:
    """An import said what the endpoint runs; it counts until the endpoint says so itself."""

    at: datetime
    version: Version


Fact: TypeAlias = (
    Heard | Reported | Progressed | HealthReported | ObserveAsked | DeadlinePassed | Retried | Consented | Asserted
)
