"""The engine's step for one endpoint: what a fact does to it, and how its offer follows a decision.

Rules:
- Neither delivery, time nor an operator moves what an endpoint runs; reports do (`trials`). What an import asserts
  counts only until the first report.
- One offer per endpoint, its sequence number only grows; it is never for what the endpoint runs, nor for what is
  exhausted there, and moves along an edge.
- An offer that the decision asks for is made when there is room for it; it belongs to the stage of that moment.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, assert_never

from orchestrator.domain import rules, trials
from orchestrator.domain.attempts import Attempt, AttemptState, move
from orchestrator.domain.endpoints import Consent, HistoryEntry, HistoryKind
from orchestrator.domain.facts import (
    Asserted,
    Consented,
    DeadlinePassed,
    HealthReported,
    Heard,
    ObserveAsked,
    Progressed,
    Reported,
    Retried,
)
from orchestrator.domain.trials import Change

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.decisions import Decision
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.facts import Fact
    from orchestrator.domain.trials import PolicyOf
    from orchestrator.domain.versions import Version

    Room: TypeAlias = Callable[[Endpoint, Version], bool]
    """Asked whether an endpoint may be offered a version just now; a yes takes the place."""

__all__ = ["Change", "agrees", "apply", "due_at", "replan", "stays", "unlimited"]


def unlimited(_endpoint: Endpoint, _version: Version) -> bool:
    """Return that there is room for every offer."""
    return True


def apply(endpoint: Endpoint, fact: Fact, policy_of: PolicyOf, *, acknowledged: bool) -> Change:
    """Return what a fact makes of the endpoint; its offer is then to be made to agree by `replan`.

    `acknowledged` says whether the broker has taken the push of the present offer: then any message of the endpoint
    makes the attempt reached.
    """
    match fact:
        case Reported():
            return trials.report(endpoint, fact, policy_of, acknowledged=acknowledged)
        case Heard() | ObserveAsked() | Progressed() | HealthReported():
            named = fact.version if isinstance(fact, Progressed | HealthReported) else None
            return _listen(trials.hear(endpoint, fact.at, named, acknowledged=acknowledged), fact)
        case DeadlinePassed():
            return trials.elapse(endpoint, fact, policy_of)
        case Retried() | Consented() | Asserted():
            return _obey(endpoint, fact)
        case _:
            assert_never(fact)


def _listen(heard: Endpoint, fact: Heard | ObserveAsked | Progressed | HealthReported) -> Change:
    match fact:
        case Heard():
            return Change(endpoint=heard)
        case ObserveAsked():
            return Change(endpoint=replace(heard, observe=fact.observe))
        case Progressed():
            return trials.progress(heard, fact)
        case HealthReported():
            return trials.well(heard, fact)
        case _:
            assert_never(fact)


def agrees(endpoint: Endpoint, decision: Decision) -> bool:
    """Whether the offer is the decision's already: then `replan` has nothing to do, nor is it needed."""
    offer = endpoint.offer
    if endpoint.asked != decision.asks:
        return False
    if offer is None:
        return decision.hop is None
    return offer.version == decision.hop and offer.version != endpoint.running


def replan(
    endpoint: Endpoint, decision: Decision, catalogue: Catalogue, at: datetime, room: Room = unlimited
) -> Change:
    """Return the endpoint with its offer made to agree with the decision: kept, withdrawn, or made anew.

    `room` is asked whether there is room for a new offer; without, the change says what is `held`.
    """
    offer = endpoint.offer
    if offer is not None and stays(offer, endpoint, decision, catalogue):
        return Change(endpoint=endpoint if endpoint.asked is None else replace(endpoint, asked=None))
    entries: list[HistoryEntry] = []
    if offer is not None:
        reason = _why_withdrawn(offer, decision, catalogue)
        endpoint, entry = _withdraw(endpoint, offer, at, reason)
        entries.append(entry)
    held = None
    hop = decision.hop
    if hop is not None and hop != endpoint.running:
        if room(endpoint, hop):
            endpoint, made = _offer(endpoint, hop, decision, catalogue, at)
            entries += made
        else:
            held = hop
    if endpoint.asked != decision.asks:
        endpoint = replace(endpoint, asked=decision.asks, consulted=True)
        if decision.asks is not None:
            entries.append(HistoryEntry(at=at, kind=HistoryKind.ASKED, version=decision.asks))
    return Change(endpoint=endpoint, entries=tuple(entries), held=held)


def due_at(endpoint: Endpoint, policy_of: PolicyOf, now: datetime) -> datetime | None:
    """Return when the endpoint next needs its timer: the end of its attempt's term, or a back-off's.

    A term that is over is returned as long as it decides something; a back-off that is over is not.
    """
    term = trials.term(endpoint.attempt, policy_of)
    if not endpoint.setbacks:
        return None if term is None else term.until
    moments = [
        setback.retry_at
        for setback in endpoint.setbacks.values()
        if setback.retry_at is not None and setback.retry_at > now
    ]
    return min(moments if term is None else [term.until, *moments], default=None)


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


def stays(offer: Attempt, endpoint: Endpoint, decision: Decision, catalogue: Catalogue) -> bool:
    """Whether the present offer is the decision's, or a started install that nothing forbids."""
    if offer.version == endpoint.running:
        return False
    if offer.version == decision.hop or (decision.hop is None and offer.version in decision.kept):
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
    if item.rollout.held or item.rollout.aborted:
        return f"its rollout is {item.rollout.phase.value}"
    if item.over(decision.now) and decision.standing.pinned is None:
        return "its rollout has ended"
    if decision.hop is not None:
        return f"{decision.hop} is offered instead"
    # By name only: instants and values would make as many reasons as there are endpoints.
    failed = ", ".join(rules.failed(item, decision.standing, catalogue, decision.now))
    return f"{decision.outcome.value}: {failed}" if failed else decision.outcome.value


def _withdraw(endpoint: Endpoint, attempt: Attempt, at: datetime, reason: str) -> tuple[Endpoint, HistoryEntry]:
    withdrawn = move(attempt, AttemptState.WITHDRAWN, at, reason=reason)
    entry = HistoryEntry(at=at, kind=HistoryKind.WITHDRAWN, version=attempt.version, reason=reason)
    return replace(endpoint, attempt=withdrawn), entry


def _offer(
    endpoint: Endpoint, version: Version, decision: Decision, catalogue: Catalogue, at: datetime
) -> tuple[Endpoint, list[HistoryEntry]]:
    entries: list[HistoryEntry] = []
    soaking = endpoint.attempt
    if soaking is not None and soaking.state is AttemptState.SOAKING:
        # Only a rescue comes into a soak.
        endpoint, entry = _withdraw(endpoint, soaking, at, "its software was recalled")
        entries.append(entry)
    item, setback = catalogue.get(version), endpoint.setbacks.get(version)
    rescue = rules.rescued(decision.standing, catalogue)
    sequence = endpoint.sequence + 1
    attempt = Attempt(
        version=version,
        number=1 if setback is None else setback.failures + 1,
        sequence=sequence,
        origin=endpoint.running,
        offered_at=at,
        stage=None if item is None else item.stage_for(pinned=endpoint.pinned is not None, rescue=rescue),
    )
    entries.append(HistoryEntry(at=at, kind=HistoryKind.OFFERED, version=version))
    return replace(endpoint, sequence=sequence, attempt=attempt), entries
