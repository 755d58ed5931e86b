"""What keeps a rollout from going on by itself, in a plan, one sentence each.

Rules:
- Stages are numbered from 1 in sentences. A stage of which endpoints have been offered the software is not measured
  by those that are left.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain import windows
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.rollouts import Phase
from orchestrator.domain.rules import instant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from orchestrator.domain.plans import Planner
    from orchestrator.domain.policies import Stage
    from orchestrator.domain.software import Software


def of(item: Software, planner: Planner, now: datetime) -> Iterator[str]:
    """Return what hinders the rollout of servable software."""
    yield from held(item)
    yield from _ends(item, now)
    if item.policy.consent and not planner.catalogue.consent:
        yield f"{item.version} requires consent: moves to it wait for that, and those who refused stay where they are"
    sizes = planner.forecast.stages.get(item.version)
    if sizes is not None and planner.forecast.running:
        yield from _stages(item, planner, sizes)
        yield from _left_out(item, sizes[-1])


def held(item: Software) -> Iterator[str]:
    """Return what an operator has to lift."""
    if item.rollout.held:
        yield f"{item.version}: its rollout is paused: nobody is offered it until it is resumed"
    elif item.rollout.phase is Phase.WAITING_APPROVAL:
        following = item.rollout.stage + 2
        yield f"{item.version}: its rollout waits for approval: stage {following} begins when it is approved"


def _ends(item: Software, now: datetime) -> Iterator[str]:
    end, window = item.policy.end, item.policy.window
    if end is None:
        return
    start = max(now, item.rollout_date or now)
    if end <= now:
        yield f"{item.version}: its rollout has ended at {instant(end)}: it is offered to nobody"
    elif window is not None and not windows.opens_between(window, start, end):
        yield (
            f"{item.version}: its window does not open before the rollout ends at {instant(end)}: "
            "it is offered to nobody"
        )


def _stages(item: Software, planner: Planner, sizes: list[int]) -> Iterator[str]:
    """Stages but the last, after which nothing waits, that cannot have the verdicts that they need."""
    stages = item.policy.stages
    begun = planner.forecast.running[item.version] > 0
    for number in range(item.rollout.stage + begun, len(stages) - 1):
        size, named = sizes[number], f"{item.version}: stage {number + 1}"
        if size == 0:
            yield f"{named} has no endpoint of its own: it waits until it is approved"
        elif size < stages[number].sample:
            whole = "1 endpoint" if size == 1 else f"{size} endpoints"
            settled = "it has settled" if size == 1 else "all of them have settled"
            yield (
                f"{named} needs {stages[number].sample} verdicts and has {whole}: "
                f"it passes only when {settled}, or when it is approved"
            )


def _left_out(item: Software, amount: int) -> Iterator[str]:
    if amount and all(stage.rank_limit < COHORTS for stage in item.policy.stages):
        whole = "1 endpoint is" if amount == 1 else f"{amount} endpoints are"
        yield f"{item.version}: its stages end with {_share(item.policy.stages[-1])}: {whole} never offered it"


def _share(stage: Stage) -> str:
    if stage.percent is not None:
        return f"{stage.percent:.10g} %"
    if stage.count is not None:
        return "1 endpoint" if stage.count == 1 else f"{stage.count} endpoints"
    return f"the filter {stage.filter_id}"
