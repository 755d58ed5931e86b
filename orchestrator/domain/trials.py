"""What an endpoint's own words, and its silence, do to its attempt.

Rules:
- Only reports move what an endpoint runs.
- Only reached attempts expire, or count returns: reached is heard from after the push got to the broker, or naming
  the offered version.
- A report of the offered version confirms it, or begins its soak where the stage asks for one; only staying on it for
  the soak, and saying so as often as is asked, confirms then.
- Consent to a version is used up when the endpoint reports that it runs it.
- A failure counts against the version, whatever becomes of it later: a success does not clear it, an operator does.

Spec: Kaa 7/CMP, "Applied configuration", for the meaning of status codes.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from orchestrator.domain.attempts import OPEN, SETTLED, Attempt, AttemptState, confirm, move, soak
from orchestrator.domain.endpoints import Endpoint, HistoryEntry, HistoryKind, Setback
from orchestrator.domain.policies import WHOLE
from protocol.values import quick

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.domain.facts import DeadlinePassed, HealthReported, Progressed, Reported
    from orchestrator.domain.policies import RolloutPolicy, Stage
    from orchestrator.domain.versions import Version

    PolicyOf: TypeAlias = Callable[[Version], RolloutPolicy]

RETURN_SPACING = timedelta(minutes=1)
"""Returns that are closer together count as one: a boot may report more than once."""
DID_NOT_TAKE = "did not take"
NO_VERDICT = "no verdict by the deadline"
FELL_SILENT = "fell silent in its soak"
_SUCCEEDED = frozenset({AttemptState.SOAKING, AttemptState.CONFIRMED})
_CONFIRMABLE = OPEN | {AttemptState.WITHDRAWN}
"""A device that was installing when its offer was withdrawn may still report the version."""


@quick(frozen=True, slots=True, kw_only=True)
class Change:
    """An endpoint after a step, and what its history gains, oldest first."""

    endpoint: Endpoint
    entries: tuple[HistoryEntry, ...] = ()
    held: Version | None = None
    """What it would be offered, but for want of room."""


class Term(NamedTuple):
    """A span at whose end the clock decides about an attempt."""

    since: datetime
    until: datetime


def hear(endpoint: Endpoint, at: datetime, named: Version | None, *, acknowledged: bool) -> Endpoint:
    """Return the endpoint as an accepted message leaves it; `named` is the version that the message names.

    `acknowledged` says whether the broker has taken the push of the present offer.
    """
    attempt = _reach(endpoint.attempt, at, named, acknowledged=acknowledged)
    return endpoint.heard(at, attempt=attempt)


def _reach(attempt: Attempt | None, at: datetime, named: Version | None, *, acknowledged: bool) -> Attempt | None:
    if attempt is None or attempt.reached_at is not None:
        return attempt
    by_name = named == attempt.version and attempt.state in _CONFIRMABLE
    return replace(attempt, reached_at=at) if by_name or (acknowledged and attempt.state in OPEN) else attempt


def progress(endpoint: Endpoint, fact: Progressed) -> Change:
    """Return what the word on how far it is makes of an endpoint that was heard."""
    attempt = endpoint.attempt
    if attempt is None or attempt.version != fact.version:
        return Change(endpoint=endpoint)
    entries: tuple[HistoryEntry, ...] = ()
    if attempt.state is AttemptState.OFFERED:
        attempt = move(attempt, AttemptState.INSTALLING, fact.at)
        entries = (HistoryEntry(at=fact.at, kind=HistoryKind.INSTALLING, version=attempt.version),)
    if attempt.state is AttemptState.INSTALLING or attempt.state is AttemptState.WITHDRAWN:
        attempt = replace(attempt, percent=fact.percent, progress=fact.state)
    return Change(endpoint=replace(endpoint, attempt=attempt), entries=entries)


def report(endpoint: Endpoint, fact: Reported, policy_of: PolicyOf, *, acknowledged: bool) -> Change:
    """Return what a report makes of the endpoint."""
    if not fact.succeeded:
        heard = hear(endpoint, fact.at, fact.version, acknowledged=acknowledged)
        return _fail(heard, fact, policy_of)
    if endpoint.consents:
        endpoint = _without_consent(endpoint, fact.version)
    attempt = endpoint.attempt
    if attempt is not None and attempt.version == fact.version:
        if attempt.state in _CONFIRMABLE:
            return _arrive(endpoint, attempt, fact, policy_of)
        if attempt.state is AttemptState.SOAKING:
            return _repeat(endpoint, attempt, fact, policy_of)
    return _succeed(endpoint, fact, policy_of, acknowledged=acknowledged)


def _without_consent(endpoint: Endpoint, version: Version) -> Endpoint:
    """The endpoint with the consent to what it has come to run used up: to come to it again needs another."""
    kept = {other: consent for other, consent in endpoint.consents.items() if other != version}
    return replace(endpoint, consents=kept) if len(kept) < len(endpoint.consents) else endpoint


def _arrive(endpoint: Endpoint, attempt: Attempt, fact: Reported, policy_of: PolicyOf) -> Change:
    """The offered version is reported for the first time."""
    stage = _stage_of(attempt, policy_of)
    if not stage.soak and not stage.soak_reports:
        return _confirm(endpoint, attempt, fact)
    soaking = HistoryEntry(at=fact.at, kind=HistoryKind.SOAKING, version=attempt.version)
    return Change(
        endpoint=endpoint.heard(fact.at, running=fact.version, attempt=soak(attempt, fact.at)),
        entries=(_reported(fact), soaking),
    )


def _repeat(endpoint: Endpoint, attempt: Attempt, fact: Reported, policy_of: PolicyOf) -> Change:
    """The version is reported again in its soak."""
    attempt = replace(attempt, soak_reports=attempt.soak_reports + 1)
    change = Change(endpoint=endpoint.heard(fact.at, running=fact.version, attempt=attempt), entries=(_reported(fact),))
    return _conclude(change, attempt, fact.at, policy_of)


def _conclude(change: Change, attempt: Attempt, at: datetime, policy_of: PolicyOf) -> Change:
    """Confirm an attempt whose soak is over, and which was reported as often as is asked."""
    stage = _stage_of(attempt, policy_of)
    if attempt.soaking_at is None or at < attempt.soaking_at + stage.soak or attempt.soak_reports < stage.soak_reports:
        return change
    entry = HistoryEntry(at=at, kind=HistoryKind.CONFIRMED, version=attempt.version)
    return _with(change, move(attempt, AttemptState.CONFIRMED, at), entry)


def _stage_of(attempt: Attempt, policy_of: PolicyOf) -> Stage:
    """The stage that says how an attempt soaks: none for pinned and rescued endpoints, which stages do not hold."""
    return WHOLE if attempt.stage is None else policy_of(attempt.version).stage(attempt.stage)


def well(endpoint: Endpoint, fact: HealthReported) -> Change:
    """Return what the word on its health makes of an endpoint that was heard: it counts while it runs the version.

    Who says again that it is not well, and why this time, is not well for that reason; who does not say why keeps the
    reason that it gave.
    """
    attempt = endpoint.attempt
    if attempt is None or attempt.state not in _SUCCEEDED or attempt.version != endpoint.running:
        return Change(endpoint=endpoint)
    reason = None if fact.healthy else _ill(attempt, fact)
    if fact.version not in {None, attempt.version} or (attempt.healthy, attempt.reason) == (fact.healthy, reason):
        return Change(endpoint=endpoint)
    entries: tuple[HistoryEntry, ...] = ()
    if not fact.healthy or attempt.healthy is False:
        kind = HistoryKind.RECOVERED if fact.healthy else HistoryKind.UNHEALTHY
        entries = (HistoryEntry(at=fact.at, kind=kind, version=attempt.version, reason=fact.reason),)
    return Change(
        endpoint=replace(endpoint, attempt=replace(attempt, healthy=fact.healthy, reason=reason)), entries=entries
    )


def _ill(attempt: Attempt, fact: HealthReported) -> str:
    """Why an endpoint is not well."""
    given = attempt.reason if attempt.healthy is False else None
    return fact.reason or given or HistoryKind.UNHEALTHY.value


def _confirm(endpoint: Endpoint, attempt: Attempt, fact: Reported) -> Change:
    confirmed = HistoryEntry(at=fact.at, kind=HistoryKind.CONFIRMED, version=attempt.version)
    return Change(
        endpoint=endpoint.heard(fact.at, running=fact.version, attempt=confirm(attempt, fact.at)),
        entries=(_reported(fact), confirmed),
    )


def _succeed(endpoint: Endpoint, fact: Reported, policy_of: PolicyOf, *, acknowledged: bool) -> Change:
    """What a report of success does that does not confirm the attempt."""
    before = endpoint.running
    attempt = _reach(endpoint.attempt, fact.at, fact.version, acknowledged=acknowledged)
    heard = endpoint.heard(fact.at, running=fact.version, attempt=attempt)
    change = Change(endpoint=heard, entries=(_reported(fact),))
    if attempt is None or attempt.version == fact.version:
        return change
    if attempt.state in _SUCCEEDED and fact.version < attempt.version:
        reason = f"went back to {fact.version}"
        return _set_back(change, AttemptState.REVERTED, HistoryKind.REVERTED, fact.at, reason, policy_of)
    if attempt.state is AttemptState.SOAKING:
        return _leave(change, attempt, fact)
    returned = attempt.state in OPEN and attempt.reached_at is not None and fact.version in (attempt.origin, before)
    # The first report comes back from nowhere: that an asserted version is wrong says nothing of the attempt.
    returned = returned and endpoint.reported
    return _count_return(change, attempt, fact.at, policy_of) if returned else change


def _count_return(change: Change, attempt: Attempt, at: datetime, policy_of: PolicyOf) -> Change:
    if attempt.returned_at is not None and at - attempt.returned_at < RETURN_SPACING:
        return change
    attempt = replace(attempt, returns=attempt.returns + 1, returned_at=at)
    change = _with(change, attempt, HistoryEntry(at=at, kind=HistoryKind.RETURNED, version=attempt.version))
    if attempt.returns < policy_of(attempt.version).attempts.returns:
        return change
    return _set_back(change, AttemptState.FAILED, HistoryKind.FAILED, at, DID_NOT_TAKE, policy_of)


def _fail(endpoint: Endpoint, fact: Reported, policy_of: PolicyOf) -> Change:
    change = Change(endpoint=endpoint, entries=(_reported(fact),))
    attempt = endpoint.attempt
    if attempt is None or attempt.version != fact.version or not _judged(attempt, fact.at, policy_of):
        return change
    reason = fact.reason or f"status code {fact.status_code}"
    return _set_back(change, AttemptState.FAILED, HistoryKind.FAILED, fact.at, reason, policy_of)


def _judged(attempt: Attempt, at: datetime, policy_of: PolicyOf) -> bool:
    """Whether a failure still counts: no verdict yet, or withdrawn and its deadline has not passed."""
    if attempt.state is not AttemptState.WITHDRAWN:
        return attempt.state not in SETTLED
    moments = [moment for moment in (attempt.reached_at, attempt.settled_at) if moment is not None]
    return not moments or at <= min(moments) + policy_of(attempt.version).installing


def _leave(change: Change, attempt: Attempt, fact: Reported) -> Change:
    """In its soak the endpoint has gone on to a version that it was not offered: no verdict on this one."""
    reason = f"went on to {fact.version}"
    entry = HistoryEntry(at=fact.at, kind=HistoryKind.WITHDRAWN, version=attempt.version, reason=reason)
    return _with(change, move(attempt, AttemptState.WITHDRAWN, fact.at, reason=reason), entry)


def term(attempt: Attempt | None, policy_of: PolicyOf) -> Term | None:
    """Return what the clock decides about an attempt next; None: nothing."""
    if attempt is None or (attempt.state not in OPEN and attempt.state is not AttemptState.SOAKING):
        return None
    policy = policy_of(attempt.version)
    if attempt.soaking_at is not None and attempt.state is AttemptState.SOAKING:
        stage = _stage_of(attempt, policy_of)
        silent = attempt.soak_reports < stage.soak_reports
        return Term(
            attempt.soaking_at, attempt.soaking_at + stage.soak + (policy.installing if silent else timedelta())
        )
    if attempt.reached_at is not None:
        return Term(attempt.reached_at, attempt.reached_at + policy.installing)
    if policy.limits.in_progress is None or attempt.lapsed:
        return None
    return Term(attempt.offered_at, attempt.offered_at + policy.limits.claim)


def elapse(endpoint: Endpoint, fact: DeadlinePassed, policy_of: PolicyOf) -> Change:
    """Return what the end of a term makes of the endpoint; nothing when it is not over."""
    change = Change(endpoint=endpoint)
    attempt, due = endpoint.attempt, term(endpoint.attempt, policy_of)
    if attempt is None or due is None or fact.at < due.until:
        return change
    if attempt.state is AttemptState.SOAKING:
        stage = _stage_of(attempt, policy_of)
        if attempt.soak_reports >= stage.soak_reports:
            return _conclude(change, attempt, fact.at, policy_of)
        return _set_back(change, AttemptState.EXPIRED, HistoryKind.EXPIRED, fact.at, FELL_SILENT, policy_of)
    if attempt.reached_at is None:
        return Change(endpoint=replace(endpoint, attempt=replace(attempt, lapsed=True)))
    return _set_back(change, AttemptState.EXPIRED, HistoryKind.EXPIRED, fact.at, NO_VERDICT, policy_of)


def _set_back(
    change: Change, state: AttemptState, kind: HistoryKind, at: datetime, reason: str, policy_of: PolicyOf
) -> Change:
    """Settle the attempt as failed in one of the three ways, and count that against its version."""
    endpoint = change.endpoint
    if endpoint.attempt is None:
        return change
    attempt = move(endpoint.attempt, state, at, reason=reason)
    limits = policy_of(attempt.version).attempts
    earlier = endpoint.setbacks.get(attempt.version)
    failures = 1 if earlier is None else earlier.failures + 1
    exhausted = failures >= limits.max
    setback = Setback(
        failures=failures, retry_at=None if exhausted else at + limits.backoff, exhausted=exhausted, reason=reason
    )
    endpoint = replace(endpoint, setbacks={**endpoint.setbacks, attempt.version: setback})
    entry = HistoryEntry(at=at, kind=kind, version=attempt.version, reason=reason)
    return _with(replace(change, endpoint=endpoint), attempt, entry)


def _reported(fact: Reported) -> HistoryEntry:
    return HistoryEntry(
        at=fact.at,
        kind=HistoryKind.REPORTED,
        version=fact.version,
        status_code=fact.status_code,
        reason=fact.reason,
    )


def _with(change: Change, attempt: Attempt, entry: HistoryEntry) -> Change:
    return Change(endpoint=replace(change.endpoint, attempt=attempt), entries=(*change.entries, entry))
