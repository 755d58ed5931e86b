"""Decisions in one plain sentence.

Rules:
- The sentence names the reason, with the version and the value that decided.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from orchestrator.domain import rules
from orchestrator.domain.outcomes import Outcome

if TYPE_CHECKING:
    from orchestrator.domain.decisions import Decision
    from orchestrator.domain.rules import Rule, SoftwareVerdict

_NAMED = 3
"""How many software a sentence names."""


def of(decision: Decision) -> str:
    """Return the sentence; without a full stop."""
    runs = _runs(decision)
    match decision.outcome:
        case Outcome.OFFER:
            return f"{runs}; offered {decision.hop}{_onward(decision)}"
        case Outcome.WAITING | Outcome.REFUSED:
            return f"{runs}; {_awaited(decision)}"
        case Outcome.EXHAUSTED:
            failed = ", ".join(version.text for version in sorted(decision.standing.exhausted))
            return f"{runs}; the way on leads over {failed}, which failed too often: retry it when the cause is gone"
        case Outcome.BLOCKED:
            return f"{runs}; {_obstacle(decision)}"
        case Outcome.UNKNOWN_VERSION:
            return f"{runs}, and no software is upgradable from '*'"
        case Outcome.SUSPENDED:
            return f"{runs}; its token is suspended, revoked or retired"
        case Outcome.UP_TO_DATE:
            return f"{runs}; no higher version is connected to it"
        case _:
            assert_never(decision.outcome)


def _awaited(decision: Decision) -> str:
    ahead = f"{decision.path[0]}{_onward(decision)}"
    if decision.outcome is Outcome.REFUSED:
        return f"consent to {ahead}{',' if len(decision.path) > 1 else ''} was refused"
    return f"waits for {ahead}: {_reasons(decision)}"


def _runs(decision: Decision) -> str:
    running = decision.standing.running
    if running is None:
        return "has not reported a version"
    recalled = ", which is recalled" if rules.rescued(decision.standing, decision.catalogue) else ""
    return f"runs {running}{recalled}"


def _onward(decision: Decision) -> str:
    return f", on the way to {decision.goal}" if len(decision.path) > 1 else ""


def _reasons(decision: Decision) -> str:
    verdict = next(verdict for verdict in decision.software if verdict.version == decision.path[0])
    return _failures(verdict)


def _failures(verdict: SoftwareVerdict) -> str:
    return ", ".join(_failure(rule) for rule in verdict.rules if not rule.passed and rule.rule != "edge")


def _failure(rule: Rule) -> str:
    """The rule by its name, which some details begin with, and what it says."""
    return rule.detail if rule.detail.startswith(rule.rule) else f"{rule.rule} {rule.detail}"


def _obstacle(decision: Decision) -> str:
    pinned = decision.standing.pinned
    if pinned is not None and pinned == decision.standing.running:
        return "it is pinned there"
    if pinned is not None and pinned not in decision.catalogue.index:
        return f"pinned to {pinned}, which is not defined"
    barred = [verdict for verdict in decision.software if verdict.reachable and not verdict.eligible]
    named = "; ".join(f"{verdict.version} is not eligible: {_failures(verdict)}" for verdict in barred[:_NAMED])
    if pinned is not None:
        return f"no way to the pin {pinned}" + (f": {named}" if named else "")
    return named or "no eligible software may be installed over it"
