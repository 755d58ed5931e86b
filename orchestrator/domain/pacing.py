"""How many offers may be made now, under the limits of a rollout or an application.

Rules:
- A rate is spread evenly: of what has not been used, one offer and a second's worth are kept, so that who asks every
  second gets all of it but a second's worth; and any minute has at most as many offers as the limit says.
- Who asks less often, in virtual time, has as much kept as comes in between; then a minute may have more, and no longer
  stretch does.
- A slot is held by an attempt that is open, until it has settled, soaks, or was not reached in time.
- A rate that grows does so with what has been done, so that a restart changes nothing.

Spec: docs/explanation/rollouts.md, "Limits"; AWS IoT Jobs, "Job rollout rate", for the exponential rate.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.policies import Exponential, Limits

_MINUTE = 60.0
_LITTLE = 1e-9
MOST_STEPS = 64
"""Growing beyond this is growing without bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the limits look at."""

    in_progress: int = 0
    """Slots that are held."""
    notified: int = 0
    """Attempts that were ever made."""
    succeeded: int = 0
    """Attempts that were confirmed."""


@dataclass(slots=True, kw_only=True)
class Bucket:
    """What is left of a rate; `available` fills it up to the moment, `take` takes from it."""

    amount: float
    filled_at: datetime
    seconds: float = 1.0
    """How far apart those are who ask."""

    def available(self, per_minute: float, now: datetime) -> int:
        """Return how many offers the rate allows at `now`, which never goes back."""
        depth = _depth(per_minute, self.seconds)
        # Less than a whole offer more than the limit: what may come at once does not make a minute exceed it.
        refill = floor(per_minute) + 1 - _depth(per_minute, 1.0)
        seconds = max(0.0, (now - self.filled_at).total_seconds())
        self.amount = min(depth, self.amount + seconds * refill / _MINUTE)
        self.filled_at = max(now, self.filled_at)
        # Sums of fractions fall short of whole numbers by a little.
        return max(0, int(self.amount + _LITTLE))

    def take(self, offers: int) -> None:
        """Take what `available` has said there is."""
        self.amount -= offers


def full(per_minute: float, now: datetime, seconds: float = 1.0) -> Bucket:
    """Return the bucket of a rate that was not used lately, for those who ask so many seconds apart."""
    return Bucket(amount=_depth(per_minute, 1.0), filled_at=now, seconds=seconds)


def _depth(per_minute: float, seconds: float) -> float:
    """How many offers may come at once."""
    return 1.0 + per_minute * seconds / _MINUTE


def rate(limits: Limits, progress: Progress) -> float | None:
    """Return the offers a minute that are allowed now; None: any number."""
    grown = None if limits.exponential is None else _grown(limits.exponential, progress)
    rates = [value for value in (limits.per_minute, grown) if value is not None]
    return min(rates, default=None)


def slots(limits: Limits, progress: Progress) -> int | None:
    """Return the slots that are free; None: any number."""
    return None if limits.in_progress is None else max(0, limits.in_progress - progress.in_progress)


def _grown(exponential: Exponential, progress: Progress) -> float:
    if exponential.notified is not None:
        steps = progress.notified // exponential.notified
    else:
        steps = progress.succeeded // (exponential.succeeded or 1)
    return exponential.base * exponential.factor ** min(steps, MOST_STEPS)
