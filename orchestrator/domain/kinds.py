"""What a plan looks at in an endpoint, and how it asks how many of each kind there are.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.endpoints import TokenState

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.filters import Filter
    from orchestrator.domain.stagings import Staging
    from orchestrator.domain.versions import Version

_NO_VERSIONS: frozenset[Version] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Endpoints that differ in nothing that a plan looks at."""

    running: Version | None
    filters: frozenset[str] = frozenset()
    """Those of the candidate that match."""
    token_state: TokenState = TokenState.ACTIVE
    pinned: Version | None = None
    exhausted: frozenset[Version] = _NO_VERSIONS
    backing_off: frozenset[Version] = _NO_VERSIONS
    """Versions that failed lately and are not offered just now."""
    offered: Version | None = None
    """What it is offered already, and has not begun."""
    installing: Version | None = None
    """What it has begun to install: that goes on."""
    origin: Version | None = None
    """What it ran when that was offered; meaningless without `installing`."""
    soaking: Version | None = None
    """What it runs on trial."""
    consented: frozenset[Version] = _NO_VERSIONS
    refused: frozenset[Version] = _NO_VERSIONS
    asked: Version | None = None
    """For what its consent is asked already."""
    later: frozenset[Version] = _NO_VERSIONS
    """Software that its stages do not admit it to yet."""
    never: frozenset[Version] = _NO_VERSIONS
    """Software that none of its stages admits it to."""
    zone: str | None = None
    """Its own time zone, where some window is in that."""


class Crowd(NamedTuple):
    """How many endpoints of one kind there are."""

    endpoints: int
    staged: tuple[tuple[int, ...], ...] = ()
    """Of each staging that is counted, how many each stage admits first."""

    def joined(self, other: Crowd) -> Crowd:
        """Return both together."""
        pairs = zip(self.staged, other.staged, strict=True)
        staged = tuple(tuple(map(sum, zip(mine, theirs, strict=True))) for mine, theirs in pairs)
        return Crowd(self.endpoints + other.endpoints, staged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What a plan wants to know of a fleet."""

    at: datetime
    """Back-offs that are over then are none."""
    filters: tuple[Filter, ...] = ()
    stagings: tuple[Staging, ...] = ()
    zoned: bool = False
    """Whether the endpoints' own time zones matter."""
    consents: bool = False
    """Whether it matters what they were asked, and answered."""
