"""What a change of one endpoint does to the stored numbers.

Rules:
- A counter moves in the transaction that moves what it counts, by a difference; none is ever counted anew
  (invariant 8: it can be, and a test does).
- `running`: endpoints by running version. `latest`: endpoints by version and state of their latest attempt.
  `attempts`: all attempts ever made, by version, version they started from, and state. `failures`: endpoints whose
  latest attempt failed, by version and reason.

Layer: application; pure.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.attempts import AttemptState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.application.records import Draft
    from orchestrator.domain.endpoints import Attempt, Endpoint
    from orchestrator.domain.versions import Version

FAILED = frozenset({AttemptState.FAILED, AttemptState.REVERTED, AttemptState.EXPIRED})
MAX_REASON = 120
"""Characters of a failure's reason that tell it apart in the numbers; the whole one is in the history."""


class CounterKey(NamedTuple):
    """What is counted."""

    application: int
    name: str
    version: Version | None = None
    origin: Version | None = None
    label: str = ""


def deltas(drafts: Iterable[Draft]) -> Counter[CounterKey]:
    """The sum of what the given changes do to the numbers; differences of zero are left out."""
    total: Counter[CounterKey] = Counter()
    for draft in drafts:
        application = draft.before.application
        if draft.before.key:
            add(total, application, draft.before.endpoint, -1)
        add(total, application, draft.after, +1)
        for attempt in draft.superseded:
            total[_attempt(application, attempt)] += 1
    return Counter({key: amount for key, amount in total.items() if amount})


def add(total: Counter[CounterKey], application: int, endpoint: Endpoint, amount: int) -> None:
    """Count one endpoint with its latest attempt in (+1) or out (-1)."""
    total[CounterKey(application, "running", endpoint.running)] += amount
    attempt = endpoint.attempt
    if attempt is None:
        return
    total[_attempt(application, attempt)] += amount
    total[CounterKey(application, "latest", attempt.version, None, attempt.state.value)] += amount
    if attempt.state in FAILED:
        label = (attempt.reason or attempt.state.value)[:MAX_REASON]
        total[CounterKey(application, "failures", attempt.version, None, label)] += amount


def _attempt(application: int, attempt: Attempt) -> CounterKey:
    return CounterKey(application, "attempts", attempt.version, attempt.origin, attempt.state.value)
