"""Why an endpoint is offered what it is offered, or nothing.

Rules:
- It is the decision itself, taken anew, with every rule; beside it what only the one endpoint knows: the state of its
  attempt, its health, its failures, the reason of a refusal, and the loop of an image that never reports its own
  version.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.changes import stays
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.outcomes import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.decisions import Decision, SoftwareVerdict
    from orchestrator.domain.endpoints import Attempt, Endpoint
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

LOOP = 3
"""The return from which a loop is called by name."""
_ORDINALS = {1: "first", 2: "second", 3: "third"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision with all its reasons."""

    running: Version | None
    outcome: Outcome
    hop: Version | None
    goal: Version | None
    path: tuple[Version, ...]
    waits_until: datetime | None
    summary: str
    software: tuple[SoftwareVerdict, ...]
    """The highest version first."""


def explain(endpoint: Endpoint, catalogue: Catalogue, now: datetime) -> Explanation:
    """Return the decision for the endpoint and why it is so."""
    decision = decide(standing(endpoint, catalogue, now), catalogue, now)
    offer = endpoint.offer
    if offer is not None and offer.version != decision.hop and stays(offer, endpoint, decision, catalogue):
        return _installing(endpoint, offer, decision)
    held = _held(endpoint, decision)
    summary = decision.summary + _why_refused(endpoint, decision) if held is None else _in_line(decision, held)
    notes = [
        summary,
        *_attempt_notes(endpoint, decision.hop),
        *_trial_notes(endpoint, decision.goal),
        *_setback_notes(endpoint, decision.path),
    ]
    return Explanation(
        running=endpoint.running,
        outcome=decision.outcome if held is None else Outcome.WAITING,
        hop=decision.hop if held is None else None,
        goal=decision.goal,
        path=decision.path,
        waits_until=decision.waits_until,
        summary="; ".join(notes),
        software=decision.software if held is None else _without_room(decision.software, held),
    )


def _held(endpoint: Endpoint, decision: Decision) -> Software | None:
    """The software for which there is no room just now: it would be offered, and is not."""
    item = decision.catalogue.get(decision.hop)
    if item is None or (endpoint.offer is not None and endpoint.offer.version == decision.hop):
        return None
    paced = decision.catalogue.limits.paced or item.policy.limits.paced
    return item if paced else None


def _in_line(decision: Decision, item: Software) -> str:
    runs = decision.summary.partition(";")[0]
    return f"{runs}; waits for {item.version}: there is no room just now under the limits"


def _without_room(verdicts: tuple[SoftwareVerdict, ...], item: Software) -> tuple[SoftwareVerdict, ...]:
    return tuple(_full(verdict) if verdict.version == item.version else verdict for verdict in verdicts)


def _full(verdict: SoftwareVerdict) -> SoftwareVerdict:
    rules = (
        replace(rule, passed=False, detail=f"no room just now: {rule.detail}") if rule.rule == "limits" else rule
        for rule in verdict.rules
    )
    return replace(verdict, open=False, rules=tuple(rules))


def _why_refused(endpoint: Endpoint, decision: Decision) -> str:
    """The reason that was given with a refusal, after a colon."""
    consent = endpoint.consents.get(decision.path[0]) if decision.outcome is Outcome.REFUSED else None
    return f": {consent.reason}" if consent is not None and consent.reason else ""


def _installing(endpoint: Endpoint, offer: Attempt, decision: Decision) -> Explanation:
    """The install that it has started goes on, whatever would be offered now."""
    notes = [
        f"runs {endpoint.running or 'an unknown version'}; offered {offer.version}",
        *_attempt_notes(endpoint, None),
    ]
    return Explanation(
        running=endpoint.running,
        outcome=Outcome.OFFER,
        hop=offer.version,
        goal=offer.version if decision.goal is None else decision.goal,
        path=(offer.version,),
        waits_until=decision.waits_until,
        summary="; ".join(notes),
        software=decision.software,
    )


def _attempt_notes(endpoint: Endpoint, hop: Version | None) -> list[str]:
    attempt = endpoint.offer
    if attempt is None:
        return []
    notes: list[str] = []
    if attempt.state is AttemptState.INSTALLING:
        percent = "" if attempt.percent is None else f" {attempt.percent} %"
        notes.append(f"it is installing {attempt.version}{percent}")
    elif attempt.version == hop and attempt.reached_at is None:
        notes.append("it has not been heard since")
    if attempt.returns >= LOOP:
        notes.append(_loop(attempt, endpoint.running))
    return notes


def _trial_notes(endpoint: Endpoint, goal: Version | None) -> list[str]:
    """What is to be said of the version that it has come to: that it soaks there, and that it is not well.

    Of one that has a goal, the decision says that it soaks.
    """
    attempt = endpoint.attempt
    if attempt is None or attempt.version != endpoint.running:
        return []
    soaks = [f"it soaks on {attempt.version}"] if attempt.state is AttemptState.SOAKING and goal is None else []
    ran = attempt.state in {AttemptState.SOAKING, AttemptState.CONFIRMED}
    return [*soaks, *(["it has said that it is not well"] if ran and attempt.healthy is False else [])]


def _loop(attempt: Attempt, running: Version | None) -> str:
    ordinal = _ORDINALS.get(attempt.returns, f"{attempt.returns}th")
    back = attempt.origin if running is None or attempt.origin is not None else running
    return (
        f"the {ordinal} return to {back} since {attempt.version} was offered: "
        "is the version constant of the image bumped?"
    )


def _setback_notes(endpoint: Endpoint, path: tuple[Version, ...]) -> list[str]:
    notes: list[str] = []
    for version, setback in sorted(endpoint.setbacks.items(), key=lambda item: item[0]):
        if version in path[:1] or setback.exhausted:
            times = "once" if setback.failures == 1 else f"{setback.failures} times"
            notes.append(f"{version} failed here {times}" + (f", last: {setback.reason}" if setback.reason else ""))
    return notes
