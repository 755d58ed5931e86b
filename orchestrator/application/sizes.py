"""How large the stages of rollouts are: measured by one read beside the writer, as seldom as its cost asks for.

Rules:
- A stage is measured again only when the numbers of its application have changed, or a rollout has ended, and not
  before a multiple of the time that it took has passed.
- Whoever looks gets the last measurement: that somebody else has looked before hides nothing from the gates.
- Sizes are kept in memory: after a start they are measured again.
- A stage that was passed keeps the size that it had then, whatever an edit makes of it: those that have gone on to
  newer versions since are not counted any more, and its gate is not to judge by less than it had.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.application import paces

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.measures import Measured
    from orchestrator.application.ports import Clock
    from orchestrator.domain.gates import Size
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

LEAST_PAUSE = timedelta(seconds=1)
"""Between two looks at one stage."""
SHARE = 20
"""A look is not repeated before so many times its own duration have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """When a stage was measured last, and what for."""

    entry: Entry
    """Replaced with every change of a definition, that of a rollout's stage too."""
    again_at: datetime
    numbers: int
    """A digest of the numbers and of the rollouts over at that time: when they are the same, so is the size."""
    measured: Measured


class Sizes:
    """Those of all rollouts of one partition."""

    def __init__(
        self, editing: EditingStorage, clock: Clock, elapsed: Callable[[], float] = paces.running_time
    ) -> None:
        """Start with nothing measured; `elapsed` says how many seconds have passed."""
        self._editing = editing
        self._clock = clock
        self._elapsed = elapsed
        self._known: dict[tuple[int, Version], dict[int, Size]] = {}
        self._looks: dict[tuple[int, Version], _Look] = {}

    def of(self, application: int, version: Version) -> Mapping[int, Size]:
        """The sizes of a rollout's stages that are known."""
        return self._known.get((application, version), {})

    def forget(self, application: int, version: Version) -> None:
        """A rollout admits others than when it was measured: its size is unknown until it is measured again."""
        self._known.pop((application, version), None)

    async def look(self, entry: Entry, item: Software, numbers: Counter[CounterKey]) -> Measured:
        """The present stage of a rollout, measured again if it may have another size than last time."""
        place, now = (entry.application.key, item.version), self._clock.now()
        counted = frozenset((key, n) for key, n in numbers.items() if key.name in {"running", "latest"} and n)
        digest = hash((counted, entry.catalogue.ended(now)))
        look = self._looks.get(place)
        if look is not None and look.entry is entry and (look.numbers == digest or now < look.again_at):
            return look.measured
        begun = self._elapsed()
        measured = await self._editing.measure(entry, item, now)
        spent = timedelta(seconds=self._elapsed() - begun)
        again_at = now + max(LEAST_PAUSE, SHARE * spent)
        self._looks[place] = _Look(entry=entry, again_at=again_at, numbers=digest, measured=measured)
        known = {number: size for number, size in self.of(*place).items() if number <= item.rollout.stage}
        self._known[place] = {**known, item.rollout.stage: measured.size}
        return measured
