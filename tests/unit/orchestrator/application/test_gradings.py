from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from orchestrator.application import gradings
from orchestrator.application.counters import CounterKey
from orchestrator.application.gradings import Grade
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.gates import Tally
from tests.unit.orchestrator.domain.builders import NOW, v

NEW = v("1.1.0")


@pytest.mark.parametrize("state", AttemptState)
def test_a_grade_is_read_from_its_label(state: AttemptState) -> None:
    for stage, unreached, unhealthy in product((0, 1, 17), (False, True), (False, True)):
        grade = Grade(stage, state, unreached, unhealthy)
        assert Grade.parse(grade.label) == grade


@pytest.mark.parametrize("state", AttemptState)
def test_only_offers_are_unreached_and_only_who_came_to_the_version_is_unhealthy(state: AttemptState) -> None:
    attempt = Attempt(
        version=NEW, number=1, sequence=1, origin=None, offered_at=NOW, state=state, stage=2, healthy=False
    )
    grade = Grade.of(attempt)
    ran = {AttemptState.SOAKING, AttemptState.CONFIRMED, AttemptState.REVERTED}
    assert grade == (2, state, state is AttemptState.OFFERED, state in ran)


def test_a_tally_sums_up_the_grades_of_its_stage_and_version() -> None:
    def key(label: str, version: str = "1.1.0", name: str = "stages") -> CounterKey:
        return CounterKey(1, name, v(version), None, label)

    numbers = Counter(
        {
            key("0 offered unreached"): 3,
            key("0 offered"): 2,
            key("0 soaking unhealthy"): 1,
            key("0 soaking"): 4,
            key("0 reverted unhealthy"): 5,
            key("1 failed"): 6,
            key("2 failed"): 0,
            key("0 failed", "2.0.0"): 7,
            key("failed", name="latest"): 8,
        }
    )
    assert gradings.tallies(numbers, NEW) == {
        0: Tally(offered=5, unreached=3, soaking=5, reverted=5, unhealthy=6),
        1: Tally(failed=6),
    }
