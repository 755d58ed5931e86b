"""What a change of one endpoint does to the stored numbers.

Rules:
- A counter moves in the transaction that moves what it counts, by a difference; none is ever counted anew
  (invariant 8: it can be, and a test does).
- `running`: endpoints by running version. `latest`: endpoints by version and state of their latest attempt.
  `attempts`: all attempts ever made, by version, version they started from, and state. `failures`: endpoints whose
  latest attempt failed, by version and reason. `unwell`: endpoints that run the version of their latest attempt and
  have said last that they are not well, by version and reason; those that said so before reasons were kept are not
  among them. `stages`: all attempts ever made in a stage, by version and what the
  gates look at. `slots`: attempts that hold a slot, by version and version they started from.

Layer: application; pure.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from orchestrator.application.gradings import Grade
from orchestrator.domain.attempts import AttemptState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.application.records import Draft
    from orchestrator.domain.endpoints import Attempt, Endpoint
    from orchestrator.domain.versions import Version

    _Face: TypeAlias = tuple[Version | None, Version | None, Version | None, AttemptState | None, str, str, bool]
    """What of an endpoint is counted: what it runs; of its latest attempt the version, the origin, the state, the
    reason of a failure or of being unwell, what the gates look at as a label (empty outside stages), and whether it
    holds a slot. No named tuple: two are made for each message."""

RUNS = frozenset({AttemptState.SOAKING, AttemptState.CONFIRMED})
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
    # Most endpoints of a batch do the same: the steps are counted first, and each kind of step is told once.
    steps: Counter[tuple[int, _Face | None, _Face]] = Counter()
    for draft in drafts:
        before = draft.before
        steps[before.application, _face(before.endpoint) if before.key else None, _face(draft.after)] += 1
        for attempt in draft.superseded:
            leave_behind(total, before.application, attempt, 1)
    for (application, old, new), amount in steps.items():
        if old is not None:
            _add(total, application, old, -amount)
        _add(total, application, new, amount)
    return Counter({key: amount for key, amount in total.items() if amount})


def step(
    total: Counter[CounterKey], application: int, before: Endpoint, after: Endpoint, left: Attempt | None, amount: int
) -> None:
    """Add what it does to the numbers that `amount` endpoints go from `before` to `after`, and leave an attempt."""
    _add(total, application, _face(before), -amount)
    _add(total, application, _face(after), amount)
    if left is not None:
        leave_behind(total, application, left, amount)


def add(total: Counter[CounterKey], application: int, endpoint: Endpoint, amount: int) -> None:
    """Count one endpoint with its latest attempt in (+1) or out (-1)."""
    _add(total, application, _face(endpoint), amount)


def leave_behind(total: Counter[CounterKey], application: int, attempt: Attempt, amount: int) -> None:
    """Count an attempt that a newer one has replaced; such hold no slot."""
    total[CounterKey(application, "attempts", attempt.version, attempt.origin, attempt.state.value)] += amount
    if attempt.stage is not None:
        total[CounterKey(application, "stages", attempt.version, None, _graded(attempt))] += amount


def _face(endpoint: Endpoint) -> _Face:
    attempt = endpoint.attempt
    if attempt is None:
        return endpoint.running, None, None, None, "", "", False
    grade, reason = _graded(attempt), _reason(endpoint, attempt)
    return endpoint.running, attempt.version, attempt.origin, attempt.state, reason, grade, attempt.holds_slot


def _reason(endpoint: Endpoint, attempt: Attempt) -> str:
    if attempt.state in FAILED:
        return (attempt.reason or attempt.state.value)[:MAX_REASON]
    unwell = attempt.healthy is False and attempt.state in RUNS and endpoint.running == attempt.version
    return (attempt.reason or "")[:MAX_REASON] if unwell else ""


def _graded(attempt: Attempt) -> str:
    return "" if attempt.stage is None else Grade.of(attempt).label


def _add(total: Counter[CounterKey], application: int, face: _Face, amount: int) -> None:
    running, version, origin, state, reason, grade, slot = face
    total[CounterKey(application, "running", running)] += amount
    if state is None:
        return
    total[CounterKey(application, "attempts", version, origin, state.value)] += amount
    total[CounterKey(application, "latest", version, None, state.value)] += amount
    if reason:
        name = "failures" if state in FAILED else "unwell"
        total[CounterKey(application, name, version, None, reason)] += amount
    if grade:
        total[CounterKey(application, "stages", version, None, grade)] += amount
    if slot:
        total[CounterKey(application, "slots", version, origin)] += amount
