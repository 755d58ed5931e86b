"""How long a rollout takes at least, by its own knobs: rates, soaks and windows.

Rules:
- It is a lower bound: every offer is taken at once, every install succeeds, nobody is offline, operators approve at
  once. Slots (`inProgress`) and deadlines do not count.
- A stage is over when as many as it needs have been offered the software and have soaked; those that are left over
  are offered it meanwhile, at the same rate.
- A rate that grows on successes grows as if each offer succeeded at once.
- Offers are made while the window is open, and soaks go on meanwhile. A window in the endpoints' own time zones does
  not count.

Spec: docs/explanation/rollouts.md, "Limits".
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain import pacing, windows
from orchestrator.domain.pacing import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.domain.policies import Limits, RolloutPolicy, Window

_NONE = timedelta()
_MINUTE = timedelta(minutes=1)
_SECONDS = 60
_CHANGES = 1000
"""After so many openings and closings, a window is taken to stay open."""
_MANY = 2**62


def shortest(
    policy: RolloutPolicy, shared: Limits, sizes: Sequence[int], *, present: int, done: int, start: datetime
) -> timedelta | None:
    """Return how long from `start` on it takes at least until the last endpoint has confirmed.

    Args:
        policy: The knobs of the rollout.
        shared: The limits of its application.
        sizes: How many endpoints each stage still has to offer it to.
        present: The stage in which it begins.
        done: How many had been offered it before.
        start: When the first offers may be made.

    Returns:
        None where there is no rate, soak or window that would take time, or nobody to offer it to.
    """
    stages, total = policy.staging, sum(sizes)
    window = None if policy.window is None or policy.window.time_zone is None else policy.window
    timed = window is not None or policy.limits.exponential is not None
    timed = timed or policy.limits.per_minute is not None or shared.per_minute is not None
    if total == 0 or not (timed or any(stage.soak for stage in stages)):
        return None
    begun, before = start, 0
    for number, stage in enumerate(stages[:-1]):
        before += sizes[number]
        if number >= present and sizes[number]:
            needed = min(stage.sample, sizes[number])
            begun = _open(window, begun, _offering(policy.limits, shared, done + before - needed, needed)) + stage.soak
    last = _open(window, begun, _offering(policy.limits, shared, done + before, sizes[-1])) if sizes[-1] else begun
    everybody = _open(window, start, _offering(policy.limits, shared, done, total))
    soak = stages[-1].soak if sizes[-1] else _NONE
    return max(last + soak, everybody + soak) - start


def moving(shared: Limits, offers: int) -> timedelta | None:
    """Return how long so many offers of any software take at least, under the limits of an application."""
    return None if shared.per_minute is None or offers == 0 else _offering(shared, shared, 0, offers)


def _offering(own: Limits, shared: Limits, done: int, offers: int) -> timedelta:
    """How long so many offers take at the rates, when `done` were made before."""
    spent, at = _NONE, done
    while at < done + offers:
        progress = Progress(notified=at, succeeded=at)
        rates = [rate for rate in (pacing.rate(own, progress), pacing.rate(shared, progress)) if rate is not None]
        if not rates:
            return _NONE
        rate = min(rates)
        part = min(done + offers - at, _until_growth(own, at))
        # What a rate has saved up may come at once.
        saved = max(1.0, rate / _SECONDS) if at == done else 0.0
        spent += max(0.0, part - saved) / rate * _MINUTE
        at += part
    return spent


def _until_growth(limits: Limits, at: int) -> int:
    """How many more offers are made before the rate grows."""
    growth = limits.exponential
    step = None if growth is None else growth.notified or growth.succeeded
    if step is None or at // step >= pacing.MOST_STEPS:
        return _MANY
    return step - at % step


def _open(window: Window | None, at: datetime, needed: timedelta) -> datetime:
    """The first instant by which a window has been open so long since `at`, and is open."""
    if window is None:
        return at + needed
    for _ in range(_CHANGES):
        opening = windows.state(window, at, None)
        if opening.until is None:
            break
        if opening.open:
            if needed < opening.until - at:
                break
            needed -= opening.until - at
        at = opening.until
    return at + needed
