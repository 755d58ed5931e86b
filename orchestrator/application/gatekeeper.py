"""Judges rollouts by what their attempts have come to: lets stages begin, finishes rollouts, stops those that fail.

Rules:
- It looks at stored numbers, never at endpoints one by one; a stage is measured by one read beside the writer, as
  seldom as its cost asks for, and only while its size may decide something.
- A failure anywhere comes before an advance. A stage that was passed is judged as long as its rollout goes on, one that
  is finished too.
- What it does is decided again inside the transaction that does it: two ticks at once do it once.

Spec: DESIGN §6.
Layer: application.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from orchestrator.application import gradings, rulings
from orchestrator.application.audits import Action
from orchestrator.application.problems import NotFoundError, SoftwareRecalledError
from orchestrator.application.rollouts import Move
from orchestrator.domain import rollouts as domain
from orchestrator.domain.rollouts import IllegalRolloutMove

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.parts import Parts
    from orchestrator.application.records import SoftwareRecord
    from orchestrator.application.rollouts import Rollouts, Sizes, Step, Tallies
    from orchestrator.domain.gates import Tally
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

log = structlog.get_logger(__name__)

LEAST_PAUSE = timedelta(seconds=1)
"""Between two looks at how large a stage is."""
SHARE = 20
"""A look is not repeated before so many times its own duration have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """When a stage was measured last, and what for."""

    stage: int
    again_at: datetime
    numbers: int
    """A digest of the numbers at that time: when they are the same, so is the size."""


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
        self._looks: dict[tuple[int, Version], _Look] = {}

    async def tick(self) -> None:
        """Judge every rollout that goes on."""
        for entry in self._directory.entries():
            judged = [item for item in entry.catalogue.software if rulings.goes_on(item)]
            if judged:
                numbers = await self._editing.counters(entry.application.key)
                for item in judged:
                    await self._judge(entry, item, numbers)

    async def _judge(self, entry: Entry, item: Software, numbers: Counter[CounterKey]) -> None:
        tallies = gradings.tallies(numbers, item.version)
        await self._measure(entry, item, tallies, numbers)
        known = self._sizes.of(entry.application.key, item.version)
        record = entry.software[item.version]
        proposed = rulings.decide(record, tallies, known)
        if proposed is None:
            return

        def step(present: SoftwareRecord, counted: Tallies) -> Move | None:
            decided = rulings.decide(present, counted, known)
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
    ) -> None:
        """Look how large the present stage is, where that may decide something and has changed."""
        stage, place = item.rollout.stage, (entry.application.key, item.version)
        look, now = self._looks.get(place), self._clock.now()
        digest = hash(frozenset((key, n) for key, n in numbers.items() if key.name in {"running", "latest"} and n))
        if look is not None and look.stage == stage and (look.numbers == digest or now < look.again_at):
            return
        elapsed = asyncio.get_running_loop().time
        begun = elapsed()
        measured = await self._editing.measure(entry, item)
        spent = timedelta(seconds=elapsed() - begun)
        self._looks[place] = _Look(stage=stage, again_at=now + max(LEAST_PAUSE, SHARE * spent), numbers=digest)
        self._sizes.keep(*place, stage, measured.size)
        attempted = sum(_attempts(tally) for tally in tallies.values())
        count = item.policy.stage(stage).count
        if measured.limit is None or (count is not None and attempted >= count):
            return
        limit = measured.limit

        def step(present: SoftwareRecord, _tallies: Tallies) -> Move | None:
            if present.software.rollout.stage != stage:
                return None
            widened = domain.widen(present.software.rollout, limit)
            return Move(action=Action.ROLLOUT_WIDEN, rollout=widened, reason=present.status.reason)

        await self._move(entry, item, step, stops=False)


def _attempts(tally: Tally) -> int:
    return tally.offered + tally.installing + tally.soaking + tally.settled
