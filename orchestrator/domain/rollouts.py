"""How far a software's rollout has come: its phase, its stage, whom its stages admit.

Rules:
- Nothing changes a phase but `pause`, `resume`, `approve`, `advance`, `finish`, `reopen` and `abort`, by one table of
  legal moves.
- A stage is entered once; stages are known by their position.
- Whom a stage takes in is kept by name: a newcomer is in no stage because of where it stands among those.

Spec: docs/explanation/rollouts.md.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.domain.versions import Version


class Phase(Enum):
    """What a rollout does; what it is called besides (suspended, recalled) is its software's doing."""

    RUNNING = "running"
    PAUSED = "paused"
    WAITING_APPROVAL = "waiting-approval"
    FINISHED = "finished"
    ABORTED = "aborted"


LEGAL: Mapping[Phase, frozenset[Phase]] = {
    Phase.RUNNING: frozenset({Phase.PAUSED, Phase.WAITING_APPROVAL, Phase.FINISHED, Phase.ABORTED}),
    Phase.PAUSED: frozenset({Phase.RUNNING, Phase.ABORTED}),
    Phase.WAITING_APPROVAL: frozenset({Phase.RUNNING, Phase.PAUSED, Phase.FINISHED, Phase.ABORTED}),
    Phase.FINISHED: frozenset({Phase.RUNNING, Phase.PAUSED, Phase.ABORTED}),
    Phase.ABORTED: frozenset(),
}


_BECOMING: Mapping[Phase, str] = {
    Phase.RUNNING: "be resumed",
    Phase.PAUSED: "be paused",
    Phase.WAITING_APPROVAL: "wait for approval",
    Phase.FINISHED: "finish",
    Phase.ABORTED: "be aborted",
}
_WAYS_OUT: Mapping[Phase, str] = {
    Phase.RUNNING: "it goes on by itself",
    Phase.PAUSED: "resume it first",
    Phase.WAITING_APPROVAL: "it is not paused, approve it to go on",
    Phase.FINISHED: "it is not paused, and serves newcomers as it is",
    Phase.ABORTED: "that is final, so publish a new version",
}
"""What to do instead."""


class IllegalRolloutMove(DomainError):
    """A rollout was to do what its phase does not allow."""

    code = "rollout-state"

    def __init__(self, phase: Phase, after: Phase | None) -> None:
        what = "be approved" if after is None else _BECOMING[after]
        super().__init__(f"a rollout that is {phase.value} cannot {what}: {_WAYS_OUT[phase]}")
        self.phase = phase
        self.after = after
        """None: its stage was to be left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """As far as the decision looks at it."""

    phase: Phase = Phase.RUNNING
    stage: int = 0
    """The present one, from 0."""
    members: tuple[frozenset[int], ...] = ()
    """Per stage that was entered, the keys of the endpoints that it takes in beside those of its percentage or filter:
    all of a number, the one of a percentage that nobody falls into."""

    def members_of(self, stage: int) -> frozenset[int]:
        """The keys of the endpoints that a stage takes in."""
        return self.members[stage] if stage < len(self.members) else NOBODY

    @property
    def held(self) -> bool:
        """Whether nobody is offered the software just now."""
        return self.phase is Phase.PAUSED

    @property
    def aborted(self) -> bool:
        """Whether nobody is offered the software any more."""
        return self.phase is Phase.ABORTED


NOBODY: frozenset[int] = frozenset()
STARTED = Rollout()


def move(rollout: Rollout, phase: Phase) -> Rollout:
    """Return the rollout in another phase; in the same one, the rollout itself.

    Raises:
        IllegalRolloutMove: `LEGAL` has no such move.
    """
    if rollout.phase is phase:
        return rollout
    if phase not in LEGAL[rollout.phase]:
        raise IllegalRolloutMove(rollout.phase, phase)
    return replace(rollout, phase=phase)


def resume(rollout: Rollout) -> Rollout:
    """Return a paused rollout running; one that runs, itself.

    Raises:
        IllegalRolloutMove: there is nothing to be resumed.
    """
    if rollout.phase in {Phase.WAITING_APPROVAL, Phase.FINISHED}:
        raise IllegalRolloutMove(rollout.phase, Phase.RUNNING)
    return move(rollout, Phase.RUNNING)


def advance(rollout: Rollout, stages: int) -> Rollout:
    """Return the rollout in its next stage, or finished when `stages` has no more.

    Raises:
        IllegalRolloutMove: it is paused, or aborted.
    """
    if rollout.phase in {Phase.PAUSED, Phase.ABORTED}:
        raise IllegalRolloutMove(rollout.phase, None)
    if rollout.stage + 1 >= stages:
        return move(rollout, Phase.FINISHED)
    return replace(move(rollout, Phase.RUNNING), stage=rollout.stage + 1)


def take_in(rollout: Rollout, members: frozenset[int]) -> Rollout:
    """Return the rollout with its present stage taking in the endpoints of these keys, and no others any more."""
    if rollout.members_of(rollout.stage) == members:
        return rollout
    known = [*rollout.members, *(NOBODY for _ in range(rollout.stage + 1 - len(rollout.members)))]
    known[rollout.stage] = members
    return replace(rollout, members=tuple(known))


@lru_cache(maxsize=4096)
def shift(application: str, version: Version) -> int:
    """By how much a version turns the order of endpoints, so that canaries differ; made as `cohorts.cohort` is."""
    digest = sha256(f"{application}\0{version.text}".encode()).digest()
    return int.from_bytes(digest[:8]) % COHORTS


def rank(cohort: int, turned: int) -> int:
    """Where an endpoint of a cohort stands in a rollout that is turned by so much; `range(COHORTS)`."""
    return (cohort + turned) % COHORTS
