from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import housekeeper
from orchestrator.application.housekeeper import Housekeeper
from orchestrator.application.paces import Pace
from orchestrator.application.ports import StorageError
from orchestrator.application.retentions import Remains, Retention, Stretch, Surplus, Term
from tests.parts import without_broker
from tests.unit.orchestrator.application.desks import HandClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.application.parts import Parts
    from tests.unit.orchestrator.application.desks import Desk

DAY = timedelta(days=1)
MOST = 3


class Jumped(HandClock):
    """A clock that has jumped lately."""

    def suspension(self) -> timedelta:
        return timedelta(hours=1)


class Failing:
    """An archive that the database fails first, and then says stop."""

    def __init__(self, *, transient: bool) -> None:
        self.transient = transient
        self.asked: list[Remains] = []

    async def oldest(self, what: Remains, before: datetime | None, most: int | None, limit: int) -> Stretch | None:
        del before, most, limit
        self.asked.append(what)
        raise StorageError("locked", transient=self.transient)

    async def surplus(self, after: int, endpoints: int, most: int) -> Surplus:
        raise NotImplementedError

    async def remove(self, stretch: Stretch) -> int:
        raise NotImplementedError

    async def remove_zeros(self, limit: int) -> int:
        raise NotImplementedError

    async def remove_entries(self, entries: Sequence[int]) -> int:
        raise NotImplementedError


async def at_once(_seconds: float) -> None:
    """No rest."""


@pytest.fixture
async def parts(desk: Desk) -> Parts:
    await desk.define("1.0.0")
    for endpoint_id in ("a", "b"):
        await desk.enrol(endpoint_id, "1.0.0")
    for _ in range(9):
        desk.clock.at += DAY
        await desk.report("a", "1.0.0")
    return replace(without_broker(desk.storage, desk.directory, desk.clock), elapsed=lambda: 0.0)


async def lengths(desk: Desk) -> tuple[int, ...]:
    """How many history entries the endpoints have."""
    found = [await desk.storage.history(await desk.endpoints.get("kettle", name), None, 100) for name in ("a", "b")]
    return tuple(len(entries) for entries in found)


async def test_what_is_too_old_goes_and_is_counted(desk: Desk, parts: Parts) -> None:
    assert await lengths(desk) == (10, 1)
    keeper = Housekeeper(parts, desk.storage, Retention(history=4 * DAY), sleep=at_once)
    await keeper.keep_ages()
    assert await lengths(desk) == (5, 0)
    await keeper.keep_ages()
    assert parts.tallies.removed["history"] == 6


async def test_what_an_endpoint_has_too_much_of_goes_whatever_its_age(desk: Desk, parts: Parts) -> None:
    keeper = Housekeeper(parts, desk.storage, Retention(per_endpoint=MOST), sleep=at_once)
    await keeper.keep_ages()
    await keeper.keep_lengths()
    assert await lengths(desk) == (MOST, 1)
    assert parts.tallies.removed["history"] == 7


async def test_numbers_that_count_nothing_any_more_go_some_at_a_time(desk: Desk, parts: Parts) -> None:
    for version in ("1.1.0", "1.2.0", "1.3.0", "1.4.0"):
        await desk.report("a", version)
    before = await desk.storage.counters(1)
    keeper = Housekeeper(parts, desk.storage, Retention(), sleep=at_once)
    keeper._rows = Pace(most=2, size=2)
    await keeper.keep_ages()
    assert parts.tallies.removed == Counter({"counters": 4})
    await keeper.keep_ages()
    assert parts.tallies.removed == Counter({"counters": 4})
    assert await desk.storage.counters(1) == before


async def test_without_terms_nothing_goes(desk: Desk, parts: Parts) -> None:
    keeper = Housekeeper(parts, desk.storage, Retention(), sleep=at_once)
    await keeper.keep_ages()
    await keeper.keep_lengths()
    assert await lengths(desk) == (10, 1)


async def test_a_clock_that_has_jumped_lately_is_not_believed(desk: Desk, parts: Parts) -> None:
    parts = replace(parts, clock=Jumped(desk.clock.at + 9999 * DAY))
    await Housekeeper(parts, desk.storage, Retention(history=DAY), sleep=at_once).keep_ages()
    assert await lengths(desk) == (10, 1)


async def test_it_rests_longer_than_it_works(desk: Desk, parts: Parts) -> None:
    rests: list[float] = []
    ticks = iter(range(1000))

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    slow = replace(parts, elapsed=lambda: float(next(ticks)))
    keeper = Housekeeper(slow, desk.storage, Retention(history=DAY), sleep=rest)
    await keeper.keep_ages()
    assert rests
    assert set(rests) == {housekeeper.RESTS * 1.0}


async def test_it_looks_at_histories_for_a_fiftieth_of_the_time(desk: Desk, parts: Parts) -> None:
    """Whether there is something to remove or not: looks are most of what it does in a large fleet."""
    rests: list[float] = []
    ticks = iter(range(1000))

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    slow = replace(parts, elapsed=lambda: float(next(ticks)))
    await Housekeeper(slow, desk.storage, Retention(per_endpoint=100), sleep=rest).keep_lengths()
    assert set(rests) == {49.0}


@pytest.mark.parametrize("work", ["house.ages", "house.lengths"])
async def test_the_loops_look_again_and_again(desk: Desk, parts: Parts, work: str) -> None:
    rests: list[float] = []
    enough = asyncio.Event()

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        if sum(seconds >= housekeeper.LOOK_SECONDS for seconds in rests) == 2:
            enough.set()
            await asyncio.Event().wait()

    retention = Retention(history=4 * DAY, per_endpoint=MOST, audit=Term(most=1))
    keeper = Housekeeper(parts, desk.storage, retention, sleep=rest)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keeper.loops()[work]())
        await asyncio.wait_for(enough.wait(), 10)
        task.cancel()
    assert rests[0] == housekeeper.FIRST_SECONDS
    assert parts.tallies.removed["history"] > 0


async def test_a_database_that_is_locked_is_asked_again(parts: Parts) -> None:
    archive = Failing(transient=True)

    async def rest(_seconds: float) -> None:
        if len(archive.asked) == 2:
            archive.transient = False

    keeper = Housekeeper(parts, archive, Retention(history=DAY), sleep=rest)
    with pytest.raises(StorageError):
        await keeper.run_ages()
    assert len(archive.asked) == 3
