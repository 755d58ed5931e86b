"""What the gates say of a rollout by its numbers, and what becomes of it.

Rules:
- A failure anywhere comes before an advance; a stage that was passed is judged as long as its rollout goes on, and when
  it is finished, too.
- After the end of a rollout no stage follows on another, and none waits for approval; failures count as before.
- The last stage is left when nothing is to be expected any more but from endpoints that are not heard: nobody waits for
  an offer, those of earlier stages included.
- A finished rollout is opened again by failures that have come since: by an endpoint that went back in any case, by the
  others when its last stage does not pass any more. It finishes again when that stage passes anew; neither newcomers
  nor a gate that an operator has passed over open it.

Spec: docs/explanation/rollouts.md, "The gate".
Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application import rollouts
from orchestrator.application.audits import Action
from orchestrator.application.rollouts import Move
from orchestrator.domain import gates
from orchestrator.domain import rollouts as domain
from orchestrator.domain.gates import Size, Tally, Verdict
from orchestrator.domain.rollouts import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from orchestrator.application.records import SoftwareRecord
    from orchestrator.application.rollouts import Tallies
    from orchestrator.domain.gates import Ruling
    from orchestrator.domain.software import Software

_NOTHING = Tally()


def decide(record: SoftwareRecord, tallies: Tallies, sizes: Mapping[int, Size], now: datetime) -> Move | None:
    """What becomes of a rollout by its numbers; None: nothing.

    Raises:
        IllegalRolloutMove: never for a rollout that goes on.
    """
    item = record.software
    if not goes_on(item):
        return None
    rulings = rule(record, tallies, sizes)
    for number, ruling in enumerate(rulings):
        if ruling.verdict is Verdict.FAILS:
            return rollouts.stopped(record, f"stage {number + 1}: {ruling.reason}")
    present, phase = rulings[-1], item.rollout.phase
    if phase is Phase.FINISHED:
        return _reopened(record, present, tallies)
    if phase is Phase.RUNNING and present.verdict is Verdict.PASSES:
        return _passed(record, present, tallies, sizes, now)
    return None


def rule(record: SoftwareRecord, tallies: Tallies, sizes: Mapping[int, Size]) -> list[Ruling]:
    """What the gates say of every stage that was entered, in order; at least one."""
    item = record.software
    rulings = []
    for number in range(item.rollout.stage + 1):
        mark = record.status.mark(number)
        size = sizes.get(number)
        if size is None and mark.endpoints is not None:
            size = Size(endpoints=mark.endpoints, waiting=0)
        rulings.append(
            gates.judge(
                item.policy.stage(number),
                tallies.get(number, _NOTHING),
                size,
                acknowledged=mark.acknowledged,
                acknowledged_unhealthy=mark.acknowledged_unhealthy,
                closing=_closes(item, number)
                and any(tallies[earlier].settled for earlier in tallies if earlier < number),
            )
        )
    return rulings


def _closes(item: Software, number: int) -> bool:
    """Whether a stage is the last one, and admits a percentage, so that all endpoints may be in earlier ones."""
    return number + 1 == len(item.policy.staging) and item.policy.stage(number).percent is not None


def goes_on(item: Software) -> bool:
    """Whether gates look at a rollout: it is judged, may be offered, and is neither paused nor over."""
    return item.policy.judged and item.servable and not item.rollout.held


def _reopened(record: SoftwareRecord, present: Ruling, tallies: Tallies) -> Move | None:
    marked = [(tally, record.status.mark(number)) for number, tally in tallies.items()]
    # Of a rollout that finished before that was noted, nobody knows what came later.
    noted = [(tally, mark, mark.failures) for tally, mark in marked if mark.failures is not None]
    reverted = sum(max(0, tally.reverted - mark.reverted) for tally, mark, _ in noted)
    failed = any(tally.failures > failures for tally, _, failures in noted)
    if not reverted and (not failed or present.verdict is Verdict.PASSES):
        return None
    stage = f"stage {record.software.rollout.stage + 1}: {present.reason}"
    late = f"{reverted} went back since it finished; " if reverted else ""
    reopened = domain.move(record.software.rollout, Phase.RUNNING)
    return Move(action=Action.ROLLOUT_REOPEN, rollout=reopened, reason=late + stage)


def _passed(
    record: SoftwareRecord, present: Ruling, tallies: Tallies, sizes: Mapping[int, Size], now: datetime
) -> Move | None:
    item = record.software
    stage = item.rollout.stage
    last = stage + 1 >= len(item.policy.staging)
    size = sizes.get(stage)
    reason = f"stage {stage + 1}: {present.reason}"
    approval = item.policy.stage(stage).approval
    if item.over(now) and (approval or not last):
        return None
    if last and not _at_rest(tallies, size):
        return None
    if approval:
        waiting = domain.move(item.rollout, Phase.WAITING_APPROVAL)
        return Move(action=Action.ROLLOUT_PASS, rollout=waiting, reason=reason)
    action = Action.ROLLOUT_FINISH if last else Action.ROLLOUT_ADVANCE
    return rollouts.leave(record, action, reason, size, tallies)


def _at_rest(tallies: Tallies, size: Size | None) -> bool:
    """Whether nothing is to be expected but from endpoints that are not heard."""
    undecided = any(tally.undecided for tally in tallies.values())
    return not undecided and (size is None or not size.waiting)
