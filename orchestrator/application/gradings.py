"""What the gates look at in an attempt, as the label of a counter, and the numbers of a stage from such counters.

Rules:
- `Grade.label` and `Grade.parse` are inverse.
- A tally is a sum of counters, so it can be counted anew from attempts (invariant 8).

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.gates import Tally

if TYPE_CHECKING:
    from collections import Counter

    from orchestrator.application.counters import CounterKey
    from orchestrator.domain.attempts import Attempt
    from orchestrator.domain.versions import Version

_UNREACHED, _UNHEALTHY = "unreached", "unhealthy"
_WELL_OR_NOT = frozenset({AttemptState.SOAKING, AttemptState.CONFIRMED, AttemptState.REVERTED})


class Grade(NamedTuple):
    """One attempt, as the gates see it."""

    stage: int
    state: AttemptState
    unreached: bool = False
    """Of an offer: whether the endpoint was not heard since."""
    unhealthy: bool = False
    """Of one that runs the version, or did: whether it said last that it was not well."""

    @staticmethod
    def of(attempt: Attempt) -> Grade:
        """The grade of an attempt that belongs to a stage."""
        return Grade(
            stage=attempt.stage or 0,
            state=attempt.state,
            unreached=attempt.state is AttemptState.OFFERED and attempt.reached_at is None,
            unhealthy=attempt.state in _WELL_OR_NOT and attempt.healthy is False,
        )

    @property
    def label(self) -> str:
        """As the label of a counter."""
        return _label(self)

    @staticmethod
    def parse(label: str) -> Grade:
        """The grade of a label."""
        stage, state, *marks = label.split(" ")
        return Grade(int(stage), AttemptState(state), _UNREACHED in marks, _UNHEALTHY in marks)


@lru_cache(maxsize=1024)
def _label(grade: Grade) -> str:
    marks = [mark for mark, holds in ((_UNREACHED, grade.unreached), (_UNHEALTHY, grade.unhealthy)) if holds]
    return " ".join([str(grade.stage), grade.state.value, *marks])


def tallies(numbers: Counter[CounterKey], version: Version) -> dict[int, Tally]:
    """The numbers of each stage of a version in which there was any attempt."""
    found: dict[int, dict[str, int]] = {}
    for key, amount in numbers.items():
        if key.name != "stages" or key.version != version or not amount:
            continue
        grade = Grade.parse(key.label)
        tally = found.setdefault(grade.stage, asdict(Tally()))
        tally[grade.state.value] += amount
        tally[_UNREACHED] += amount if grade.unreached else 0
        tally[_UNHEALTHY] += amount if grade.unhealthy else 0
    return {stage: Tally(**tally) for stage, tally in found.items()}
