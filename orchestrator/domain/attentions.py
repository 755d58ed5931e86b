"""What is wrong with an endpoint that needs somebody's attention: how bad, in words, and what to do.

Rules:
- An endpoint has one problem at a time, its worst.
- A sentence names the version and the value; advice names the command.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.domain.rules import instant

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.policies import RolloutPolicy
    from orchestrator.domain.versions import Version

UNSEEN_AFTER = timedelta(days=7)
"""How long an endpoint with an open offer may be silent."""
STALLED_AFTER = timedelta(hours=1)
"""How long an endpoint that is heard may leave an offer without a verdict, or half its deadline if that is shorter."""


class TroubleKind(Enum):
    """What is wrong; the worst first."""

    EXHAUSTED = "exhausted"
    """It failed as often as it may, and is offered nothing else."""
    RECALLED = "recalled-version"
    """It runs recalled software, and is offered nothing."""
    REFUSED = "push-refused"
    """The broker does not let us write its topic."""
    LOOP = "loop"
    """It comes back to the old version again and again."""
    REVERTED = "reverted"
    EXPIRED = "expired"
    UNHEALTHY = "unhealthy"
    """It came to the version, and its last word on its health is that it is not well."""
    FAILED = "failed"
    STALLED = "install-stalled"
    """It said that it installs, and nothing since."""
    NOT_TAKEN = "offer-not-taken"
    """It is heard and does not take its offer."""
    UNKNOWN = "version-unknown"
    """It has never said what it runs."""
    UNSEEN = "unseen"
    """It has an offer, and has long not been heard."""


_SEVERITIES = {
    TroubleKind.EXHAUSTED: 90,
    TroubleKind.RECALLED: 85,
    TroubleKind.REFUSED: 80,
    TroubleKind.LOOP: 70,
    TroubleKind.REVERTED: 65,
    TroubleKind.EXPIRED: 60,
    TroubleKind.UNHEALTHY: 55,
    TroubleKind.FAILED: 50,
    TroubleKind.STALLED: 45,
    TroubleKind.NOT_TAKEN: 40,
    TroubleKind.UNKNOWN: 20,
    TroubleKind.UNSEEN: 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One endpoint's problem, with the values that its sentences name."""

    problem: TroubleKind
    endpoint_id: str
    running: Version | None = None
    version: Version | None = None
    """What it is, or was last, offered."""
    since: datetime
    seen_at: datetime | None = None
    times: int = 0
    """Failures, returns, or the reason code of the broker, as the problem has it."""
    cause: str | None = None
    """What the endpoint said of its failure, or the topic that is refused."""


def severity(problem: TroubleKind) -> int:
    """Return how bad it is, 1 to 100; no two problems are equally bad."""
    return _SEVERITIES[problem]


def stalled_after(policy: RolloutPolicy) -> timedelta:
    """Return how long a reached attempt of a software may stay without a verdict before somebody should look."""
    return min(STALLED_AFTER, policy.installing / 2)


def reason(trouble: Trouble) -> str:
    """Return what is wrong, in one sentence."""
    return _told(_REASONS[trouble.problem], trouble)


def advice(trouble: Trouble) -> str:
    """Return what to do about it, in one sentence."""
    return _told(_ADVICE[trouble.problem], trouble)


_REASONS = {
    TroubleKind.EXHAUSTED: "{version} failed here {times} and is not offered any more{last}",
    TroubleKind.RECALLED: "it runs {running}, which is recalled, and is offered nothing that leads off it",
    TroubleKind.REFUSED: "the broker refuses its push topic {cause} (reason code {code})",
    TroubleKind.LOOP: "it has come back to {running} {times} since {version} was offered",
    TroubleKind.REVERTED: "it went back from {version}, which failed here {times}{last}",
    TroubleKind.EXPIRED: "{version} had no verdict by its deadline and failed here {times}",
    TroubleKind.UNHEALTHY: "it runs {running} since {since} and has said that it is not well",
    TroubleKind.FAILED: "{version} failed here {times}{last}",
    TroubleKind.STALLED: "it is installing {version}, and has had no verdict since {since}",
    TroubleKind.NOT_TAKEN: "it runs {running} and is heard, but has not taken {version} since {since}",
    TroubleKind.UNKNOWN: "it has not said what it runs; it was {seen}",
    TroubleKind.UNSEEN: "{version} is offered to it since {since}; it was {seen}",
}
_BACK_OFF = "it is offered again when the back-off is over; `otao history {endpoint_id}` says what happened"
_ADVICE = {
    TroubleKind.EXHAUSTED: "remove the cause, then `otao endpoint retry {endpoint_id}`",
    TroubleKind.RECALLED: "publish software that is upgradable from {running}; see `otao explain {endpoint_id}`",
    TroubleKind.REFUSED: "let Otao's user write the topic in the broker's access rules; `otao doctor` checks them",
    TroubleKind.LOOP: "see whether the image of {version} reports {version}; its version constant may not be bumped",
    TroubleKind.REVERTED: _BACK_OFF,
    TroubleKind.EXPIRED: _BACK_OFF,
    TroubleKind.UNHEALTHY: "`otao history {endpoint_id}` has what it said; if others say so too, pause {version}",
    TroubleKind.FAILED: _BACK_OFF,
    TroubleKind.STALLED: "see whether it is up; the attempt fails at its deadline; `otao history {endpoint_id}`",
    TroubleKind.NOT_TAKEN: "see whether it subscribes to its push topic, or asks; `otao explain {endpoint_id}`",
    TroubleKind.UNKNOWN: "have it report its version, or define software that is upgradable from '*'",
    TroubleKind.UNSEEN: "see whether it is in service; if not, `otao endpoint delete {endpoint_id}`",
}


def _told(template: str, trouble: Trouble) -> str:
    return template.format(
        endpoint_id=trouble.endpoint_id,
        running="an unknown version" if trouble.running is None else trouble.running.text,
        version="nothing" if trouble.version is None else trouble.version.text,
        since=instant(trouble.since),
        seen="never heard" if trouble.seen_at is None else f"last heard at {instant(trouble.seen_at)}",
        times="once" if trouble.times == 1 else f"{trouble.times} times",
        code=f"0x{trouble.times:02x}",
        cause=trouble.cause or "",
        last="" if trouble.cause is None else f", last: {trouble.cause}",
    )
