from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.counters import CounterKey
from orchestrator.application.measures import Measured
from orchestrator.application.sizes import LEAST_PAUSE, SHARE, Sizes
from orchestrator.domain.gates import Size
from orchestrator.domain.policies import RolloutPolicy
from orchestrator.domain.rollouts import Rollout
from tests.contract.storages import APP, entry_of
from tests.unit.orchestrator.application.desks import HandClock
from tests.unit.orchestrator.domain.builders import general, v

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.domain.software import Software

NEW = v("1.1.0")
ITEM = general("1.1.0", "1.0.0")
LITTLE = timedelta(milliseconds=1)


def counted(running: int, **others: int) -> Counter[CounterKey]:
    numbers = Counter({CounterKey(1, "running", v("1.0.0")): running})
    return numbers + Counter({CounterKey(1, name): amount for name, amount in others.items()})


@dataclass
class Scale:
    """A storage that measures, in a time that a test sets."""

    endpoints: int = 5
    seconds: float = 0.0
    looks: list[int] = field(default_factory=list)
    now: float = 0.0

    async def measure(self, entry: Entry, item: Software, now: datetime) -> Measured:
        del entry, now
        self.looks.append(item.rollout.stage)
        self.now += self.seconds
        return Measured(size=Size(endpoints=self.endpoints, waiting=0), members=None)


class Bench:
    """Sizes of one rollout."""

    def __init__(self) -> None:
        self.clock, self.scale = HandClock(), Scale()
        self.sizes = Sizes(self.scale, self.clock, lambda: self.scale.now)  # type: ignore[arg-type]  # only measures
        self.entry = entry_of(replace(APP, key=1), [ITEM])

    async def look(self, numbers: Counter[CounterKey], item: Software = ITEM) -> bool:
        """Whether it was measured, and not only told what was."""
        before = len(self.scale.looks)
        measured = await self.sizes.look(self.entry, item, numbers)
        assert measured.size.endpoints == self.known()[item.rollout.stage]
        return len(self.scale.looks) > before

    def known(self) -> dict[int, int]:
        return {stage: size.endpoints for stage, size in self.sizes.of(1, NEW).items()}


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_nothing_is_known_before_it_was_measured_and_after_it_was_forgotten(bench: Bench) -> None:
    assert bench.known() == {}
    assert await bench.look(counted(5))
    assert bench.known() == {0: 5}
    bench.sizes.forget(1, NEW)
    assert bench.known() == {}


async def test_a_stage_is_measured_again_only_when_the_numbers_have_changed(bench: Bench) -> None:
    assert await bench.look(counted(5))
    bench.clock.at += timedelta(days=1)
    assert not await bench.look(counted(5))
    # What no size depends on is no change.
    assert not await bench.look(counted(5, history=1, attempts=2))
    assert await bench.look(counted(6))


async def test_a_look_is_not_repeated_before_a_multiple_of_its_own_duration(bench: Bench) -> None:
    for seconds, pause in ((0.0, LEAST_PAUSE), (0.01, LEAST_PAUSE), (2.0, SHARE * timedelta(seconds=2))):
        fresh = Bench()
        fresh.scale.seconds = seconds
        assert await fresh.look(counted(5))
        fresh.clock.at += pause - LITTLE
        assert not await fresh.look(counted(6))
        fresh.clock.at += LITTLE
        assert await fresh.look(counted(6))


async def test_a_changed_definition_is_measured_at_once(bench: Bench) -> None:
    assert await bench.look(counted(5))
    bench.entry = entry_of(replace(APP, key=1), [ITEM])
    assert await bench.look(counted(5))


async def test_the_end_of_a_rollout_has_stages_measured_again_though_no_number_has_changed(bench: Bench) -> None:
    ends = RolloutPolicy(end=bench.clock.at + timedelta(hours=1))
    bench.entry = entry_of(replace(APP, key=1), [ITEM, replace(general("1.0.5", "1.0.0"), policy=ends)])
    assert await bench.look(counted(5))
    bench.clock.at += timedelta(hours=1) - LITTLE
    assert not await bench.look(counted(5))
    bench.clock.at += LITTLE
    assert await bench.look(counted(5))
    assert not await bench.look(counted(5))


async def test_the_sizes_of_stages_that_were_passed_are_kept_and_those_ahead_are_not(bench: Bench) -> None:
    for stage in (0, 1, 2):
        bench.scale.endpoints = 10 * (stage + 1)
        bench.clock.at += timedelta(minutes=1)
        assert await bench.look(counted(stage), replace(ITEM, rollout=Rollout(stage=stage)))
    assert bench.known() == {0: 10, 1: 20, 2: 30}
    bench.clock.at += timedelta(minutes=1)
    # An edit has brought it back.
    assert await bench.look(counted(9), replace(ITEM, rollout=Rollout(stage=1)))
    assert bench.known() == {0: 10, 1: 30}
    assert bench.scale.looks == [0, 1, 2, 1]


async def test_two_rollouts_have_sizes_of_their_own(bench: Bench) -> None:
    assert await bench.look(counted(5))
    assert await bench.look(counted(5), general("2.0.0", "1.0.0"))
    bench.sizes.forget(1, v("2.0.0"))
    assert bench.known() == {0: 5}
