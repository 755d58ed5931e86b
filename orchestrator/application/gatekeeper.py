"""Judges rollouts by what their attempts have come to: lets stages begin, finishes rollouts, stops those that fail.

Rules:
- It looks at stored numbers, never at endpoints one by one; a stage is measured by one read beside the writer: at
  once when definitions have changed, else as seldom as its cost asks for, and not while the numbers stay the same.
- Nothing is decided by the size of a stage that is just being widened.
- A number takes in so many endpoints, one after the other as they come; who was taken in stays so.
- A percentage takes in one endpoint while it has none of its own. Until one of its stage has begun, that is the one of
  the lowest rank; a newcomer is never taken in but by the gate.
- A failure anywhere comes before an advance. A stage that was passed is judged as long as its rollout goes on, one that
  is finished too.
- What it does is decided again inside the transaction that does it: two ticks at once do it once.

Spec: docs/explanation/rollouts.md.
Layer: application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from orchestrator.application import gradings, rulings
from orchestrator.application.audits import Action
from orchestrator.application.problems import NotFoundError, SoftwareRecalledError
from orchestrator.application.rollouts import Move
from orchestrator.domain import rollouts as domain
from orchestrator.domain.gates import Tally
from orchestrator.domain.rollouts import IllegalRolloutMove

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.measures import Measured
    from orchestrator.application.parts import Parts
    from orchestrator.application.records import SoftwareRecord
    from orchestrator.application.rollouts import Rollouts, Step, Tallies
    from orchestrator.application.sizes import Sizes
    from orchestrator.domain.gates import Size
    from orchestrator.domain.software import Software

log = structlog.get_logger(__name__)


class Gatekeeper:
    """The gates of all rollouts of one partition."""

    def __init__(self, parts: Parts, rollouts: Rollouts, sizes: Sizes) -> None:
        """Take what it works with."""
        self._editing = parts.editing
        self._directory = parts.directory
        self._clock = parts.clock
        self._steps = parts.steps
        self._rollouts = rollouts
        self._sizes = sizes

    async def tick(self) -> None:
        """Judge every rollout that goes on."""
        for entry in self._directory.entries():
            judged = [item for item in entry.catalogue.software if item.policy.judged and item.servable]
            if judged:
                numbers = await self._editing.counters(entry.application.key)
                for item in judged:
                    await self._judge(entry, item, numbers)

    async def _judge(self, entry: Entry, item: Software, numbers: Counter[CounterKey]) -> None:
        tallies = gradings.tallies(numbers, item.version)
        if not await self._measure(entry, item, tallies, numbers):
            return
        known = self._sizes.of(entry.application.key, item.version)
        record = entry.software[item.version]
        now = self._clock.now()
        proposed = rulings.decide(record, tallies, known, now)
        if proposed is None:
            return

        def step(present: SoftwareRecord, counted: Tallies) -> Move | None:
            decided = rulings.decide(present, counted, known, now)
            # What stops has to be asked for as a stop: the next tick does.
            return decided if decided is not None and decided.action is proposed.action else None

        stops = proposed.rollout.held or proposed.rollout.aborted
        await self._move(entry, item, step, stops=stops)
        self._steps("rollout-moved")

    async def _move(self, entry: Entry, item: Software, step: Step, *, stops: bool) -> None:
        try:
            await self._rollouts.move(entry.application.name, item.version, step, stops=stops)
        except (NotFoundError, SoftwareRecalledError, IllegalRolloutMove) as error:
            log.info("a rollout was changed meanwhile", version=item.version.text, reason=str(error))

    async def _measure(
        self, entry: Entry, item: Software, tallies: Mapping[int, Tally], numbers: Counter[CounterKey]
    ) -> bool:
        """Look how large the present stage is, where that may decide something; return whether it may be judged by it.

        It may not when it is found to admit others than it shall: then it is let admit those.
        """
        stage = item.rollout.stage
        if not _matters(item, tallies, self._sizes.of(entry.application.key, item.version).get(stage)):
            return True
        measured = await self._sizes.look(entry, item, numbers)
        if measured.members is None or not _changeable(item, tallies, measured):
            return True
        self._sizes.forget(entry.application.key, item.version)
        members = measured.members

        def step(present: SoftwareRecord, _tallies: Tallies) -> Move | None:
            if present.software.rollout.stage != stage:
                return None
            widened = domain.take_in(present.software.rollout, members)
            return Move(action=Action.ROLLOUT_WIDEN, rollout=widened, reason=_reason(item, members))

        await self._move(entry, item, step, stops=False)
        return False


def _matters(item: Software, tallies: Mapping[int, Tally], size: Size | None) -> bool:
    """Whether the size of the present stage may decide something.

    It does when it is smaller than the sample, when nothing is open any more, while a number is to be filled up, and
    while a percentage takes in one endpoint.
    """
    number = item.rollout.stage
    stage, tally = item.policy.stage(number), tallies.get(number, _NOTHING)
    if size is None or size.endpoints < stage.sample or not tally.undecided:
        return True
    if stage.count is None:
        return bool(item.rollout.members_of(number))
    return _unfilled(item)


def _changeable(item: Software, tallies: Mapping[int, Tally], measured: Measured) -> bool:
    """Whether the present stage may admit others than it does.

    A percentage goes on with the one that it has taken in when one of its stage has begun.
    """
    number = item.rollout.stage
    if item.policy.stage(number).count is not None:
        return _unfilled(item)
    tally = tallies.get(number, _NOTHING)
    begun = tally.installing + tally.soaking + tally.settled
    return not measured.members or not measured.size.endpoints or not begun


def _reason(item: Software, members: frozenset[int]) -> str:
    """Why the present stage comes to admit others."""
    number = item.rollout.stage
    stage = item.policy.stage(number)
    if stage.percent is None:
        return f"stage {number + 1}: it takes in the lowest ranks, {len(members)} of {stage.count} endpoints"
    if members:
        return f"stage {number + 1}: no endpoint is in its {stage.percent:g} %; it takes in the one of the lowest rank"
    return f"stage {number + 1}: endpoints are in its {stage.percent:g} % now; it takes in no other"


def _unfilled(item: Software) -> bool:
    """Whether the present stage, of a number, has taken in fewer than that."""
    count = item.policy.stage(item.rollout.stage).count
    return count is not None and len(item.admission.members) < count


_NOTHING = Tally()
