"""The document of a rollout's progress: its state, its stages with their numbers, and why it waits.

Rules:
- Stages are numbered from 0 in members and from 1 in sentences.
- What is suspended or recalled is called so, whatever its rollout would do.

Spec: DESIGN §6, "GET …/rollout".
Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application import rulings as judging
from orchestrator.application.documents import instants
from orchestrator.domain.gates import Tally, Verdict
from orchestrator.domain.rollouts import Phase
from orchestrator.domain.software import Strategy

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.documents.texts import Document
    from orchestrator.application.rollouts import Moved, View
    from orchestrator.domain.gates import Ruling, Size
    from orchestrator.domain.policies import Stage

RECALLED, SUSPENDED = "recalled", "suspended"
STATES = (*(phase.value for phase in Phase), SUSPENDED, RECALLED)
_NOTHING = Tally()


def state(view: View, now: datetime) -> str:
    """What a rollout is called."""
    item = view.record.software
    phase = item.rollout.phase
    if item.recalled:
        return RECALLED
    if phase is Phase.ABORTED:
        return str(phase.value)
    if item.strategy is Strategy.SUSPENDED:
        return SUSPENDED
    over = item.policy.end is not None and item.policy.end <= now
    if phase is Phase.RUNNING and (over or (not item.policy.judged and _done(view))):
        return str(Phase.FINISHED.value)
    return str(phase.value)


def build(view: View, now: datetime) -> Document:
    """The document of a rollout."""
    record = view.record
    rollout, staging = record.software.rollout, record.software.policy.staging
    rulings = judging.rule(record, view.tallies, view.sizes)
    called = state(view, now)
    return {
        "version": record.software.version.text,
        "state": called,
        "stage": min(rollout.stage, len(staging) - 1),
        "since": instants.build(record.status.since or record.created_at),
        "by": record.status.by,
        "reason": record.status.reason,
        "summary": _summary(view, called, rulings[-1]),
        "stages": [
            _stage(
                stage,
                _called(view, number, called),
                view.tallies.get(number, _NOTHING),
                view.sizes.get(number),
                rulings[number] if number < len(rulings) else None,
            )
            for number, stage in enumerate(staging)
        ],
        "failures": [
            {"reason": reason, "endpoints": amount}
            for reason, amount in sorted(view.failures.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def build_moved(view: View, now: datetime, moved: Moved) -> Document:
    """The document of a rollout that an operator has moved."""
    return {**build(view, now), "withdrawn": moved.withdrawn}


def _done(view: View) -> bool:
    """Whether an unjudged rollout has nothing under way."""
    tallies = view.tallies.values()
    under_way = any(tally.offered or tally.installing or tally.soaking for tally in tallies)
    return not under_way and any(tally.settled for tally in tallies)


def _summary(view: View, called: str, present: Ruling) -> str:
    item, status = view.record.software, view.record.status
    stage = f"stage {min(item.rollout.stage, len(item.policy.staging) - 1) + 1}: "
    if called in {RECALLED, SUSPENDED}:
        return f"the software is {called}"
    if called in {Phase.PAUSED.value, Phase.ABORTED.value}:
        return called if status.reason is None else f"{called}: {status.reason}"
    if not item.policy.judged:
        return f"{stage}not judged: neither stages nor onFailure are given"
    if called == Phase.WAITING_APPROVAL.value and present.verdict is not Verdict.PASSES:
        return f"{stage}{present.reason}; waits for approval"
    return f"{stage}{present.reason}"


def _called(view: View, number: int, called: str) -> str:
    """What the state of one stage is."""
    rollout = view.record.software.rollout
    if number > rollout.stage:
        return "waiting"
    if number < rollout.stage or rollout.phase in {Phase.FINISHED, Phase.WAITING_APPROVAL}:
        return "passed"
    if called == Phase.FINISHED.value:
        return "passed"
    return "running"


def _stage(stage: Stage, called: str, tally: Tally, size: Size | None, ruling: Ruling | None) -> Document:
    failed = ruling is not None and ruling.verdict is Verdict.FAILS
    return {
        "percent": stage.percent,
        **({} if stage.count is None else {"count": stage.count}),
        **({} if stage.filter_id is None else {"filter": stage.filter_id}),
        "state": "failed" if failed else called,
        "endpoints": None if size is None else size.endpoints,
        "offered": tally.offered,
        "installing": tally.installing,
        "soaking": tally.soaking,
        "confirmed": tally.confirmed,
        "failed": tally.failed,
        "reverted": tally.reverted,
        "expired": tally.expired,
        "withdrawn": tally.withdrawn,
        "unhealthy": tally.unhealthy,
        "waiting": None if size is None else size.waiting,
        "offline": tally.unreached,
        "settled": 0 if ruling is None else ruling.settled,
        "needed": None if ruling is None else ruling.needed,
        "failureRate": None if ruling is None else _rounded(ruling.rate),
        "bounds": None if ruling is None or ruling.bounds is None else [_rounded(bound) for bound in ruling.bounds],
        "maxFailureRate": stage.max_failure_rate,
        "approval": "manual" if stage.approval else "automatic",
        "reason": None if ruling is None else ruling.reason,
    }


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 6)
