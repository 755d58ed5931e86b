"""The rules that make software eligible for an endpoint, and open for it now.

Rules:
- *Eligible*: servable (not suspended, not recalled, not aborted, a specification), its end has not come, matched by its
  filters, not exhausted at the endpoint, on the way to its pin.
- *Open*: eligible, no freeze, not paused, a stage admits the endpoint, its date has come, its window is open, the
  back-off is over, the endpoint is not soaking, consent is given where it is required.
- A pin sets filters, stages, dates, the end and windows aside, nothing else. A rescue from recalled software waits
  neither for a soak, nor for stages, windows and consent; it leads to nothing that has ended. A freeze holds all of
  them.
- `eligible` answers for the whole catalogue at once, for the hot path; `judge` names every rule of one software.
  A property test holds the two together.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from orchestrator.domain import windows
from orchestrator.domain.routes import Start, reachable, reaching
from orchestrator.domain.software import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.freezes import Freeze
    from orchestrator.domain.software import Software
    from orchestrator.domain.standings import Standing
    from orchestrator.domain.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule with the values that it compared, in words."""

    rule: str
    """Its name, camelCase and stable."""
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareVerdict:
    """What the rules say of one software for one endpoint."""

    version: Version
    eligible: bool
    open: bool
    reachable: bool
    """Whether edges through eligible software lead to it from what the endpoint runs."""
    rules: tuple[Rule, ...]
    """Those of *eligible*, those of *open*, then `edge`, which only says whether it is a direct successor."""


def instant(at: datetime) -> str:
    """Return an instant as RFC 3339 in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def start(standing: Standing, catalogue: Catalogue) -> Start:
    """Return where the endpoint stands in the catalogue."""
    running = standing.running
    return Start(
        successors=catalogue.successors(running),
        place=None if running is None else catalogue.place(running),
        defined=running is not None and running in catalogue.index,
    )


def rescued(standing: Standing, catalogue: Catalogue) -> bool:
    """Whether the endpoint runs recalled software."""
    item = catalogue.get(standing.running)
    return item is not None and item.recalled


def numbers(versions: Iterable[Version | None], catalogue: Catalogue) -> int:
    """Return the numbers of those versions that are defined."""
    found = 0
    for version in versions:
        number = None if version is None else catalogue.index.get(version)
        if number is not None:
            found |= 1 << number
    return found


def eligible(standing: Standing, catalogue: Catalogue, now: datetime, *, exhaustion: bool = True) -> int:
    """Return the software that is eligible, what the endpoint runs left out; the way to a pin is not looked at.

    Without `exhaustion` the endpoint's failures are not counted.
    """
    if standing.pinned is not None:
        found = catalogue.servable
    else:
        found = catalogue.general | catalogue.targeted(standing.filters)
    barred = numbers((standing.running,), catalogue)
    if standing.pinned is None:
        barred |= catalogue.ended(now)
    if exhaustion and standing.exhausted:
        barred |= numbers(standing.exhausted, catalogue)
    return found & ~barred


def consented(hops: int, standing: Standing, catalogue: Catalogue) -> int:
    """Return the hops that need no consent, or have it; a rescue from recalled software needs none."""
    asking = hops & catalogue.consenting
    if not asking or rescued(standing, catalogue):
        return hops
    return hops & (~asking | numbers(standing.consented, catalogue))


def consented_to(version: Version, endpoint: Endpoint, catalogue: Catalogue) -> bool:
    """Return the same for one version at one endpoint; where it is not defined, the application's word counts."""
    item, running = catalogue.get(version), catalogue.get(endpoint.running)
    own = None if item is None else item.policy.consent
    if not (catalogue.consent if own is None else own) or (running is not None and running.recalled):
        return True
    consent = endpoint.consents.get(version)
    return consent is not None and consent.granted


def opens_at(item: Software, standing: Standing) -> datetime | None:
    """Return the instant from which an eligible software is open, the soak apart; None is always."""
    moments = [at for version, at in standing.retry_at if version == item.version]
    date = None if standing.pinned is not None else item.opens_at(standing.filters)
    if date is not None:
        moments.append(date)
    return max(moments, default=None)


def verdicts(standing: Standing, catalogue: Catalogue, now: datetime) -> tuple[SoftwareVerdict, ...]:
    """Return every rule for every software, the highest version first."""
    allowed = eligible(standing, catalogue, now)
    first = catalogue.successors(standing.running)
    reached = reachable(catalogue, first, allowed)
    linked = first
    for item in catalogue.among(reached):
        linked |= catalogue.successors(item.version)
    linked &= ~numbers((standing.running,), catalogue)
    to_pin = reaching(catalogue, numbers((standing.pinned,), catalogue), allowed)
    judged = (
        judge(item, standing, catalogue, now, reached=bool(linked >> number & 1), to_pin=bool(to_pin >> number & 1))
        for number, item in enumerate(catalogue.software)
    )
    return tuple(reversed(tuple(judged)))


def failed(item: Software, standing: Standing, catalogue: Catalogue, now: datetime) -> list[str]:
    """Return the names of the rules that one software does not pass, the edge aside; the others are not looked at."""
    to_pin = True
    if standing.pinned is not None:
        way = reaching(catalogue, numbers((standing.pinned,), catalogue), eligible(standing, catalogue, now))
        to_pin = bool(way >> catalogue.index[item.version] & 1)
    verdict = judge(item, standing, catalogue, now, reached=False, to_pin=to_pin)
    return [rule.rule for rule in verdict.rules if not rule.passed and rule.rule != "edge"]


def judge(
    item: Software, standing: Standing, catalogue: Catalogue, now: datetime, *, reached: bool, to_pin: bool
) -> SoftwareVerdict:
    """Return every rule for one software."""
    first = _eligibility(item, standing, now, to_pin=to_pin)
    rescue = rescued(standing, catalogue)
    second = (
        _freeze(catalogue.freeze),
        _rollout(item),
        _stage(item, standing, catalogue, rescue=rescue),
        _date(item, standing, now),
        _window(item, standing, now, rescue=rescue),
        _back_off(item, standing),
        _soak(standing, catalogue),
        _consent(item, standing, catalogue),
        _limits(item, catalogue),
    )
    passed = all(rule.passed for rule in first)
    return SoftwareVerdict(
        version=item.version,
        eligible=passed,
        open=passed and all(rule.passed for rule in second),
        reachable=reached,
        rules=(*first, *second, _edge(item, standing)),
    )


def _eligibility(item: Software, standing: Standing, now: datetime, *, to_pin: bool) -> tuple[Rule, ...]:
    exhausted = item.version in standing.exhausted
    recalled_at = item.recalled_at
    return (
        Rule(rule="strategy", passed=item.strategy is not Strategy.SUSPENDED, detail=item.strategy.value),
        Rule(
            rule="recall",
            passed=recalled_at is None,
            detail="not recalled" if recalled_at is None else f"recalled at {instant(recalled_at)}",
        ),
        Rule(
            rule="abort",
            passed=not item.rollout.aborted,
            detail="the rollout is aborted" if item.rollout.aborted else "not aborted",
        ),
        _end(item, standing, now),
        Rule(
            rule="specification",
            passed=item.has_specification,
            detail="given" if item.has_specification else "absent or null",
        ),
        _filters(item, standing),
        Rule(
            rule="exhaustion",
            passed=not exhausted,
            detail=f"{item.policy.attempts.max} attempts failed" if exhausted else "attempts are left",
        ),
        _pin(item, standing, to_pin=to_pin),
    )


def _filters(item: Software, standing: Standing) -> Rule:
    if item.strategy is not Strategy.TARGETED:
        return Rule(rule="filters", passed=True, detail="not targeted")
    listed = [use.filter_id for use in item.filters]
    matching = [filter_id for filter_id in listed if filter_id in standing.filters]
    detail = f"lists {', '.join(listed) or 'none'}; the endpoint matches {', '.join(matching) or 'none'}"
    if standing.pinned is not None:
        return Rule(rule="filters", passed=True, detail=f"set aside by the pin; {detail}")
    return Rule(rule="filters", passed=bool(matching), detail=detail)


def _pin(item: Software, standing: Standing, *, to_pin: bool) -> Rule:
    pinned = standing.pinned
    if pinned is None:
        return Rule(rule="pin", passed=True, detail="not pinned")
    if item.version == pinned:
        return Rule(rule="pin", passed=True, detail=f"pinned to {pinned}")
    way = "on a way to it" if to_pin else "on no way to it"
    return Rule(rule="pin", passed=to_pin, detail=f"pinned to {pinned}; {way}")


def _freeze(freeze: Freeze | None) -> Rule:
    if freeze is None:
        return Rule(rule="freeze", passed=True, detail="not frozen")
    scope = "all applications" if freeze.everywhere else "the application"
    why = "" if freeze.reason is None else f": {freeze.reason}"
    return Rule(rule="freeze", passed=False, detail=f"{scope} frozen since {instant(freeze.since)} by {freeze.by}{why}")


def _rollout(item: Software) -> Rule:
    return Rule(rule="rollout", passed=not item.rollout.held, detail=item.rollout.phase.value)


def _stage(item: Software, standing: Standing, catalogue: Catalogue, *, rescue: bool) -> Rule:
    admission = item.admission
    if admission.everybody:
        return Rule(rule="stage", passed=True, detail="for every endpoint")
    number = min(item.rollout.stage, len(item.policy.staging) - 1) + 1
    admitted = not standing.held >> catalogue.index[item.version] & 1
    detail = f"stage {number} {'admits' if admitted else 'does not admit'} the endpoint yet"
    if admitted:
        detail = detail.removesuffix(" yet")
    if rescue or standing.pinned is not None:
        return Rule(rule="stage", passed=True, detail=f"set aside by the {_aside(standing)}; {detail}")
    return Rule(rule="stage", passed=admitted, detail=detail)


def _aside(standing: Standing) -> str:
    return "pin" if standing.pinned is not None else "recall of what runs"


def _end(item: Software, standing: Standing, now: datetime) -> Rule:
    end = item.policy.end
    if end is None:
        return Rule(rule="end", passed=True, detail="none")
    has_come = end <= now
    detail = f"{'over: ' if has_come else ''}rollout.end is {instant(end)}; now {instant(now)}"
    if standing.pinned is not None:
        return Rule(rule="end", passed=True, detail=f"set aside by the pin; {detail}")
    return Rule(rule="end", passed=not has_come, detail=detail)


def _window(item: Software, standing: Standing, now: datetime, *, rescue: bool) -> Rule:
    window = item.policy.window
    if window is None:
        return Rule(rule="window", passed=True, detail="none")
    opening = windows.state(window, now, standing.zone)
    until = "for good" if opening.until is None else f"until {instant(opening.until)}"
    detail = f"{'open' if opening.open else 'closed'} {until}"
    if rescue or standing.pinned is not None:
        return Rule(rule="window", passed=True, detail=f"set aside by the {_aside(standing)}; {detail}")
    return Rule(rule="window", passed=opening.open, detail=detail)


def _date(item: Software, standing: Standing, now: datetime) -> Rule:
    date = item.opens_at(standing.filters)
    if date is None:
        return Rule(rule="rolloutDate", passed=True, detail="none")
    if standing.pinned is not None:
        return Rule(rule="rolloutDate", passed=True, detail=f"set aside by the pin; {instant(date)}")
    return Rule(rule="rolloutDate", passed=date <= now, detail=f"{instant(date)}; now {instant(now)}")


def _back_off(item: Software, standing: Standing) -> Rule:
    for version, retry_at in standing.retry_at:
        if version == item.version:
            return Rule(rule="backOff", passed=False, detail=f"until {instant(retry_at)}")
    return Rule(rule="backOff", passed=True, detail="none")


def _soak(standing: Standing, catalogue: Catalogue) -> Rule:
    if standing.soaking is None:
        return Rule(rule="soak", passed=True, detail="not soaking")
    rescue = rescued(standing, catalogue)
    return Rule(rule="soak", passed=rescue, detail=f"soaks on {standing.soaking}" + (", recalled" if rescue else ""))


def _consent(item: Software, standing: Standing, catalogue: Catalogue) -> Rule:
    if not catalogue.consenting >> catalogue.index[item.version] & 1:
        return Rule(rule="consent", passed=True, detail="not required")
    if item.version in standing.consented:
        return Rule(rule="consent", passed=True, detail="given")
    if rescued(standing, catalogue):
        return Rule(rule="consent", passed=True, detail="not required: what runs is recalled")
    return Rule(rule="consent", passed=False, detail="refused" if item.version in standing.refused else "not given")


def _limits(item: Software, catalogue: Catalogue) -> Rule:
    """Whether there is room just now is no matter of the standing: see `explanations`."""
    own, whole = catalogue.policy_of(item.version).limits, catalogue.limits
    found = [f"{per_minute} a minute" for per_minute in (own.per_minute, whole.per_minute) if per_minute is not None]
    found += ["a growing rate"] if own.exponential is not None else []
    found += [] if own.in_progress is None else [f"{own.in_progress} in progress"]
    return Rule(rule="limits", passed=True, detail=", ".join(found) or "none")


def _edge(item: Software, standing: Standing) -> Rule:
    if item.version == standing.running:
        return Rule(rule="edge", passed=False, detail="the endpoint runs it")
    if not item.upgradable_from:
        return Rule(rule="edge", passed=False, detail="it is upgradable from nothing")
    constraints = " or ".join(constraint.text for constraint in item.upgradable_from)
    passed = any(constraint.matches(standing.running) for constraint in item.upgradable_from)
    runs = "an unknown version" if standing.running is None else standing.running.text
    return Rule(rule="edge", passed=passed, detail=f"{runs} {'matches' if passed else 'does not match'} {constraints}")
