"""The life of one offer at one endpoint: the states, the table of legal moves, the one function that moves.

Rules:
- Nothing changes the state of an attempt but `move`, `soak`, and `confirm`, which makes two moves at once.
- Every state but `offered`, `installing` and `soaking` is a settled one.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.domain.errors import DomainError
from protocol.values import quick

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from orchestrator.domain.versions import Version


class AttemptState(Enum):
    """Where an attempt is."""

    # States compare by identity; Enum's own hash is Python code, and every report looks a dozen states up.
    __hash__ = object.__hash__

    OFFERED = "offered"
    INSTALLING = "installing"
    """The endpoint has said by `progress` that it started."""
    SOAKING = "soaking"
    """It reported the version, and has yet to stay on it."""
    CONFIRMED = "confirmed"
    FAILED = "failed"
    REVERTED = "reverted"
    """It reported the version, and an older one later."""
    EXPIRED = "expired"
    """Reached, and no verdict by the deadline."""
    WITHDRAWN = "withdrawn"


OPEN = frozenset({AttemptState.OFFERED, AttemptState.INSTALLING})
"""The states in which the attempt is the endpoint's current offer."""

SETTLED = frozenset(AttemptState) - OPEN - {AttemptState.SOAKING}

LEGAL: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.OFFERED: frozenset(
        {
            AttemptState.INSTALLING,
            AttemptState.SOAKING,  # a report may come without any progress
            AttemptState.FAILED,
            AttemptState.EXPIRED,
            AttemptState.WITHDRAWN,
        }
    ),
    AttemptState.INSTALLING: frozenset(
        {
            AttemptState.SOAKING,
            AttemptState.FAILED,
            AttemptState.EXPIRED,
            AttemptState.WITHDRAWN,
        }
    ),
    AttemptState.SOAKING: frozenset(
        {
            AttemptState.CONFIRMED,
            AttemptState.REVERTED,
            AttemptState.FAILED,  # it says itself that the version does not do
            AttemptState.EXPIRED,  # further reports are asked for, and none comes
            AttemptState.WITHDRAWN,  # it left for a version that says nothing of this one, or was rescued
        }
    ),
    AttemptState.CONFIRMED: frozenset({AttemptState.REVERTED}),  # a late revert
    AttemptState.FAILED: frozenset(),
    AttemptState.REVERTED: frozenset(),
    AttemptState.EXPIRED: frozenset(),
    # A device that was installing when the offer was withdrawn still has its verdict counted.
    AttemptState.WITHDRAWN: frozenset({AttemptState.SOAKING, AttemptState.FAILED, AttemptState.REVERTED}),
}


class IllegalMove(DomainError):
    """An attempt was to be moved to a state that its present one does not lead to."""

    code = "illegal-move"

    def __init__(self, before: AttemptState, after: AttemptState) -> None:
        super().__init__(f"an attempt does not move from {before.value} to {after.value}")
        self.before = before
        self.after = after


@quick(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One offer's life at one endpoint; `move` changes its state."""

    version: Version
    number: int
    """The how-manieth try of this version here since the last retry by an operator, from 1."""
    sequence: int
    origin: Version | None
    """What the endpoint ran when it was offered."""
    state: AttemptState = AttemptState.OFFERED
    offered_at: datetime
    reached_at: datetime | None = None
    """When the endpoint was first heard after the offer had got to the broker; deadlines count from here."""
    settled_at: datetime | None = None
    percent: int | None = None
    progress: str | None = None
    """What the endpoint last said of its progress."""
    returns: int = 0
    """Reports of the old version while the offer is open, a minute apart."""
    returned_at: datetime | None = None
    """When the last counted return was."""
    reason: str | None = None
    """Why it failed, was reverted, expired or was withdrawn; of one that runs the version, why it is not well."""
    stage: int | None = None
    """The stage of the rollout in which it was offered; None: outside stages, to a pinned or a rescued endpoint."""
    soaking_at: datetime | None = None
    """When it was reported, and the soak began; None without a soak."""
    soak_reports: int = 0
    """Reports of the version since."""
    healthy: bool | None = None
    """What the endpoint said last of its health on this version; None: nothing."""
    lapsed: bool = False
    """Whether it was not reached in time and has given its slot back."""

    @property
    def holds_slot(self) -> bool:
        """Whether it counts among those in progress."""
        return self.state in OPEN and not (self.lapsed and self.reached_at is None)


def move(attempt: Attempt, state: AttemptState, at: datetime, *, reason: str | None = None) -> Attempt:
    """Return the attempt in `state`; a settled one has `settled_at` set to `at` and says why in `reason`.

    Raises:
        IllegalMove: `LEGAL` has no such move.
    """
    _check(attempt.state, state)
    settled_at = at if state in SETTLED else None
    if state is AttemptState.CONFIRMED:
        # That the soak is over does not make it well.
        reason = reason or attempt.reason
    return _moved(attempt, state, settled_at, reached_at=attempt.reached_at, reason=reason)


def soak(attempt: Attempt, at: datetime) -> Attempt:
    """Return the attempt moved to soaking, from `at` on; the report makes it reached, if nothing had before.

    A soak begins anew: what was said of its health before it was withdrawn does not count in it.

    Raises:
        IllegalMove: `LEGAL` has no such move.
    """
    _check(attempt.state, AttemptState.SOAKING)
    reached_at = attempt.reached_at or at
    moved = _moved(attempt, AttemptState.SOAKING, None, reached_at=reached_at, reason=None)
    return replace(moved, soaking_at=at, soak_reports=0, healthy=None)


def confirm(attempt: Attempt, at: datetime) -> Attempt:
    """Return the attempt moved to soaking and on to confirmed, settled at `at`: without a soak the report confirms.

    Such a report names the version, so it makes the attempt reached, if nothing had before.

    Raises:
        IllegalMove: `LEGAL` has no such move to soaking.
    """
    _check(attempt.state, AttemptState.SOAKING)
    _check(AttemptState.SOAKING, AttemptState.CONFIRMED)
    moved = _moved(attempt, AttemptState.CONFIRMED, at, reached_at=attempt.reached_at or at, reason=None)
    return moved if moved.healthy is None else replace(moved, healthy=None)


def _check(before: AttemptState, after: AttemptState) -> None:
    if after not in LEGAL[before]:
        raise IllegalMove(before, after)


def _moved(
    attempt: Attempt,
    state: AttemptState,
    settled_at: datetime | None,
    *,
    reached_at: datetime | None,
    reason: str | None,
) -> Attempt:
    # Written out: `dataclasses.replace` takes twice as long. A test sees to it that no field is forgotten.
    return Attempt(
        version=attempt.version,
        number=attempt.number,
        sequence=attempt.sequence,
        origin=attempt.origin,
        state=state,
        offered_at=attempt.offered_at,
        reached_at=reached_at,
        settled_at=settled_at,
        percent=attempt.percent,
        progress=attempt.progress,
        returns=attempt.returns,
        returned_at=attempt.returned_at,
        reason=reason,
        stage=attempt.stage,
        soaking_at=attempt.soaking_at,
        soak_reports=attempt.soak_reports,
        healthy=attempt.healthy,
        lapsed=attempt.lapsed,
    )
