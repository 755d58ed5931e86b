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
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from orchestrator.domain.attempts import AttemptState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.application.records import Draft
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.versions import Version

FAILED = frozenset({AttemptState.FAILED, AttemptState.REVERTED, AttemptState.EXPIRED})
MAX_REASON = 120
"""Characters of a failure's reason that tell it apart in the numbers; the whole one is in the history."""


_Face: TypeAlias = "tuple[Version | None, Version | None, Version | None, AttemptState | None, str]"
"""What of an endpoint is counted: what it runs; of its latest attempt version, origin, state, reason of failure."""


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
    # Most endpoints of a batch do the same: the steps are counted first, and each kind of step is told once.
    steps: Counter[tuple[int, _Face | None, _Face]] = Counter()
    for draft in drafts:
        before = draft.before
        steps[before.application, _face(before.endpoint) if before.key else None, _face(draft.after)] += 1
        for attempt in draft.superseded:
            total[CounterKey(before.application, "attempts", attempt.version, attempt.origin, attempt.state.value)] += 1
    for (application, old, new), amount in steps.items():
        if old is not None:
            _add(total, application, old, -amount)
        _add(total, application, new, amount)
    return Counter({key: amount for key, amount in total.items() if amount})


def add(total: Counter[CounterKey], application: int, endpoint: Endpoint, amount: int) -> None:
    """Count one endpoint with its latest attempt in (+1) or out (-1)."""
    _add(total, application, _face(endpoint), amount)


def _face(endpoint: Endpoint) -> _Face:
    attempt = endpoint.attempt
    if attempt is None:
        return endpoint.running, None, None, None, ""
    state = attempt.state
    reason = (attempt.reason or state.value)[:MAX_REASON] if state in FAILED else ""
    return endpoint.running, attempt.version, attempt.origin, state, reason


def _add(total: Counter[CounterKey], application: int, face: _Face, amount: int) -> None:
    running, version, origin, state, reason = face
    total[CounterKey(application, "running", running)] += amount
    if state is None:
        return
    total[CounterKey(application, "attempts", version, origin, state.value)] += amount
    total[CounterKey(application, "latest", version, None, state.value)] += amount
    if state in FAILED:
        total[CounterKey(application, "failures", version, None, reason)] += amount
