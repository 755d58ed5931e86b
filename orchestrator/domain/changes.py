"""The engine's step for one endpoint: what a fact does to it, and how its offer follows a decision.

Rules:
- Only reports move what an endpoint runs; neither delivery, time nor an operator does. What an import asserts counts
  only until the first report.
- One offer per endpoint, its sequence number only grows; it is never for what the endpoint runs, nor for what is
  exhausted there, and moves along an edge.
- Only reached attempts expire, or count returns: reached is heard from after the push got to the broker, or naming
  the offered version.
- Consent to a version is used up when the endpoint reports that it runs it.
- A failure counts against the version, whatever becomes of it later: a success does not clear it, an operator does.

Spec: Kaa 7/CMP, "Applied configuration", for the meaning of status codes.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias, assert_never

from orchestrator.domain.attempts import OPEN, Attempt, AttemptState, confirm, move
from orchestrator.domain.endpoints import Consent, HistoryEntry, HistoryKind, Setback
from orchestrator.domain.facts import (
    Asserted,
    Consented,
    DeadlinePassed,
    Heard,
    ObserveAsked,
    Progressed,
    Reported,
    Retried,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.decisions import Decision
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.facts import Fact
    from orchestrator.domain.policies import RolloutPolicy
    from orchestrator.domain.versions import Version

    PolicyOf: TypeAlias = Callable[[Version], RolloutPolicy]

RETURN_SPACING = timedelta(minutes=1)
"""Returns that are closer together count as one: a boot may report more than once."""
DID_NOT_TAKE = "did not take"
NO_VERDICT = "no verdict by the deadline"
_SUCCEEDED = frozenset({AttemptState.SOAKING, AttemptState.CONFIRMED})
_CONFIRMABLE = OPEN | {AttemptState.WITHDRAWN}
"""A device that was installing when its offer was withdrawn may still report the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An endpoint after a step, and what its history gains, oldest first."""

    endpoint: Endpoint
    entries: tuple[HistoryEntry, ...] = ()


def apply(endpoint: Endpoint, fact: Fact, policy_of: PolicyOf, *, acknowledged: bool) -> Change:
    """Return what a fact makes of the endpoint; its offer is then to be made to agree by `replan`.

    `acknowledged` says whether the broker has taken the push of the present offer: then any message of the endpoint
    makes the attempt reached.
    """
    match fact:
        case Reported():
            return _report(endpoint, fact, policy_of, acknowledged=acknowledged)
        case Heard():
            return Change(endpoint=_hear(endpoint, fact.at, None, acknowledged=acknowledged))
        case ObserveAsked():
            heard = _hear(endpoint, fact.at, None, acknowledged=acknowledged)
            return Change(endpoint=replace(heard, observe=fact.observe))
        case Progressed():
            return _progress(_hear(endpoint, fact.at, fact.version, acknowledged=acknowledged), fact)
        case DeadlinePassed():
            return _expire(endpoint, fact, policy_of)
        case Retried() | Consented() | Asserted():
            return _obey(endpoint, fact)
        case _:
            assert_never(fact)


def agrees(endpoint: Endpoint, decision: Decision) -> bool:
    """Whether the offer is the decision's already: then `replan` has nothing to do, nor is it needed."""
    offer = endpoint.offer
    if offer is None:
        return decision.hop is None
    return offer.version == decision.hop and offer.version != endpoint.running


def replan(endpoint: Endpoint, decision: Decision, catalogue: Catalogue, at: datetime) -> Change:
    """Return the endpoint with its offer made to agree with the decision: kept, withdrawn, or made anew."""
    offer = endpoint.offer
    if offer is not None and stays(offer, endpoint, decision, catalogue):
        return Change(endpoint=endpoint)
    entries: list[HistoryEntry] = []
    if offer is not None:
        reason = _why_withdrawn(offer, decision, catalogue)
        withdrawn = move(offer, AttemptState.WITHDRAWN, at, reason=reason)
        endpoint = replace(endpoint, attempt=withdrawn)
        entries.append(HistoryEntry(at=at, kind=HistoryKind.WITHDRAWN, version=offer.version, reason=reason))
    hop = decision.hop
    if hop is not None and hop != endpoint.running:
        endpoint = _offer(endpoint, hop, at)
        entries.append(HistoryEntry(at=at, kind=HistoryKind.OFFERED, version=hop))
    return Change(endpoint=endpoint, entries=tuple(entries))


def due_at(endpoint: Endpoint, policy_of: PolicyOf, now: datetime) -> datetime | None:
    """Return when the endpoint next needs its timer: the deadline of a reached open attempt, or a back-off's end.

    A deadline that has passed is returned as long as the attempt is open; a back-off that is over is not.
    """
    offer = endpoint.offer
    deadline = None
    if offer is not None and offer.reached_at is not None:
        deadline = offer.reached_at + policy_of(offer.version).installing
    if not endpoint.setbacks:
        return deadline
    moments = [
        setback.retry_at
        for setback in endpoint.setbacks.values()
        if setback.retry_at is not None and setback.retry_at > now
    ]
    return min(moments if deadline is None else [deadline, *moments], default=None)


def _hear(endpoint: Endpoint, at: datetime, named: Version | None, *, acknowledged: bool) -> Endpoint:
    attempt = _reach(endpoint.attempt, at, named, acknowledged=acknowledged)
    return endpoint.heard(at, attempt=attempt)


def _reach(attempt: Attempt | None, at: datetime, named: Version | None, *, acknowledged: bool) -> Attempt | None:
    if attempt is None or attempt.reached_at is not None:
        return attempt
    by_name = named == attempt.version and attempt.state in _CONFIRMABLE
    return replace(attempt, reached_at=at) if by_name or (acknowledged and attempt.state in OPEN) else attempt


def _progress(endpoint: Endpoint, fact: Progressed) -> Change:
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


def _report(endpoint: Endpoint, fact: Reported, policy_of: PolicyOf, *, acknowledged: bool) -> Change:
    if not fact.succeeded:
        heard = _hear(endpoint, fact.at, fact.version, acknowledged=acknowledged)
        return _fail(heard, fact, policy_of)
    if endpoint.consents:
        endpoint = _without_consent(endpoint, fact.version)
    attempt = endpoint.attempt
    if attempt is not None and attempt.state in _CONFIRMABLE and attempt.version == fact.version:
        return _confirm(endpoint, attempt, fact)
    return _succeed(endpoint, fact, policy_of, acknowledged=acknowledged)


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
    """Whether a failure still counts: the attempt is open, or was withdrawn and its deadline has not passed."""
    if attempt.state is not AttemptState.WITHDRAWN:
        return attempt.state in OPEN
    moments = [moment for moment in (attempt.reached_at, attempt.settled_at) if moment is not None]
    return not moments or at <= min(moments) + policy_of(attempt.version).installing


def _expire(endpoint: Endpoint, fact: DeadlinePassed, policy_of: PolicyOf) -> Change:
    change = Change(endpoint=endpoint)
    offer = endpoint.offer
    if offer is None or offer.reached_at is None:
        return change
    if fact.at < offer.reached_at + policy_of(offer.version).installing:
        return change
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


def _obey(endpoint: Endpoint, fact: Retried | Consented | Asserted) -> Change:
    """What an operator's word does."""
    match fact:
        case Retried():
            return _retry(endpoint, fact)
        case Consented():
            return _consent(endpoint, fact)
        case Asserted():
            return _assert(endpoint, fact)
        case _:
            assert_never(fact)


def _retry(endpoint: Endpoint, fact: Retried) -> Change:
    kept = {
        version: setback
        for version, setback in endpoint.setbacks.items()
        if fact.version is not None and version != fact.version
    }
    entry = HistoryEntry(at=fact.at, kind=HistoryKind.RETRIED, version=fact.version)
    return Change(endpoint=replace(endpoint, setbacks=kept), entries=(entry,))


def _assert(endpoint: Endpoint, fact: Asserted) -> Change:
    if endpoint.reported or endpoint.running == fact.version:
        return Change(endpoint=endpoint)
    entry = HistoryEntry(at=fact.at, kind=HistoryKind.ASSERTED, version=fact.version)
    return Change(endpoint=replace(endpoint, running=fact.version), entries=(entry,))


def _consent(endpoint: Endpoint, fact: Consented) -> Change:
    """A second word replaces the first; said again, it changes nothing."""
    present = endpoint.consents.get(fact.version)
    if present is not None and (present.granted, present.reason) == (fact.granted, fact.reason):
        return Change(endpoint=endpoint)
    given = Consent(granted=fact.granted, at=fact.at, reason=fact.reason)
    kind = HistoryKind.CONSENTED if fact.granted else HistoryKind.REFUSED
    entry = HistoryEntry(at=fact.at, kind=kind, version=fact.version, reason=fact.reason)
    return Change(endpoint=replace(endpoint, consents={**endpoint.consents, fact.version: given}), entries=(entry,))


def _without_consent(endpoint: Endpoint, version: Version) -> Endpoint:
    """The endpoint with the consent to what it has come to run used up: to come to it again needs another."""
    kept = {other: consent for other, consent in endpoint.consents.items() if other != version}
    return replace(endpoint, consents=kept) if len(kept) < len(endpoint.consents) else endpoint


def stays(offer: Attempt, endpoint: Endpoint, decision: Decision, catalogue: Catalogue) -> bool:
    """Whether the present offer is the decision's, or a started install that nothing forbids."""
    if offer.version == endpoint.running:
        return False
    if offer.version == decision.hop:
        return True
    item = catalogue.get(offer.version)
    if offer.state is not AttemptState.INSTALLING or item is None or item.recalled or not item.has_specification:
        return False
    # What it runs has changed under the install: the hop must still be along an edge.
    return endpoint.running == offer.origin or item in catalogue.edges_from(endpoint.running)


def _why_withdrawn(offer: Attempt, decision: Decision, catalogue: Catalogue) -> str:
    item = catalogue.get(offer.version)
    if item is None:
        return "its software was deleted"
    if item.recalled:
        return "its software was recalled"
    if catalogue.freeze is not None:
        return "frozen"
    return decision.outcome.value if decision.hop is None else f"{decision.hop} is offered instead"


def _offer(endpoint: Endpoint, version: Version, at: datetime) -> Endpoint:
    setback = endpoint.setbacks.get(version)
    sequence = endpoint.sequence + 1
    attempt = Attempt(
        version=version,
        number=1 if setback is None else setback.failures + 1,
        sequence=sequence,
        origin=endpoint.running,
        offered_at=at,
    )
    return replace(endpoint, sequence=sequence, attempt=attempt)


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
