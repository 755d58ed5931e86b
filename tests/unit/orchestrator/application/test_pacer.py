"""Endpoints that wait for room, and who goes on with them: pages of queues and of changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.pacer import TICK_SECONDS, Pacer
from orchestrator.application.paces import Pace
from orchestrator.domain.endpoints import HistoryKind
from orchestrator.domain.versions import Version
from tests.parts import without_broker
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

NEW = Version.parse("1.1.0")
FLEET = [f"e{number}" for number in range(6)]
EIGHT = [f"e{number}" for number in range(8)]


class Round:
    """A pacer with pages of two endpoints, and seconds that only a test lets pass."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.seconds_each = 0.0
        self._seconds = 0.0
        parts = without_broker(desk.storage, desk.directory, desk.clock)
        self.pacer = Pacer(replace(parts, elapsed=self._elapsed))
        self.pacer._pages._pace = Pace(most=2, size=2)

    def _elapsed(self) -> float:
        self._seconds += self.seconds_each
        return self._seconds

    async def tick(self) -> list[str]:
        """Return who has an offer then."""
        await self.pacer.tick()
        return await self.holders()

    async def holders(self) -> list[str]:
        return [name for name in FLEET if await self.desk.offer_of(name) == "1.1.0"]

    async def cursors(self) -> list[int]:
        """How far each queue is, as the number of endpoints."""
        first = (await self.desk.endpoints.get(APP, "e0")).record.key
        return [max(work.cursor - first + 1, 0) for work in await self.desk.storage.queues()]


@pytest.fixture
async def turn(desk: Desk) -> Round:
    for name in FLEET:
        await desk.enrol(name, "1.0.0")
    return Round(desk)


async def limit(desk: Desk, in_progress: int) -> None:
    await desk.define("1.1.0", "1.0.0", rollout={"limits": {"inProgress": in_progress}})


async def test_a_sweep_offers_as_far_as_there_is_room_and_queues_the_rest(turn: Round) -> None:
    await limit(turn.desk, 2)
    await turn.desk.sweep()
    assert await turn.holders() == ["e0", "e1"]
    (queue,) = await turn.desk.storage.queues()
    assert (queue.version, queue.running) == (NEW, frozenset())
    # Without room, a tick changes nothing and does not read the fleet.
    assert await turn.tick() == ["e0", "e1"]
    assert await turn.desk.storage.queues() == [queue]


async def test_who_has_waited_is_offered_when_others_are_done_in_order(turn: Round) -> None:
    await limit(turn.desk, 2)
    await turn.desk.sweep()
    for done, next_ones in (("e0", ["e1", "e2"]), ("e1", ["e2", "e3"])):
        await turn.desk.report(done, "1.1.0")
        assert await turn.tick() == next_ones
    await limit(turn.desk, 50)
    await turn.desk.sweep()
    assert await turn.tick() == FLEET[2:]
    assert await turn.desk.storage.queues() == []


async def test_a_tick_that_takes_long_leaves_the_rest_to_the_next(turn: Round) -> None:
    await limit(turn.desk, 1)
    await turn.desk.sweep()
    await turn.desk.report("e0", "1.1.0")
    turn.seconds_each = TICK_SECONDS
    async with turn.desk.storage.edit() as edit:
        await edit.queue(turn.desk.revisions.entry(APP).application.key, NEW, 0, turn.desk.clock.at)
    before = await turn.cursors()
    await turn.tick()
    assert (before, await turn.cursors()) == ([0], [2])


@pytest.mark.parametrize("stop", ["pause", "freeze", "suspension"])
async def test_a_queue_of_what_nobody_may_be_offered_is_given_up_and_begun_again_by_who_lifts_it(
    turn: Round, stop: str
) -> None:
    desk = turn.desk
    await limit(desk, 1)
    await desk.sweep()
    match stop:
        case "pause":
            await desk.rollouts.pause(APP, NEW, by=ANONYMOUS)
        case "freeze":
            await desk.freezes.set(APP, ANONYMOUS)
        case _:
            await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    await desk.sweep()
    assert await turn.tick() == []
    assert await desk.storage.queues() == []
    match stop:
        case "pause":
            await desk.rollouts.resume(APP, NEW, by=ANONYMOUS)
        case "freeze":
            await desk.freezes.lift(APP, ANONYMOUS)
        case _:
            await limit(desk, 1)
    await desk.sweep()
    assert await turn.holders() == ["e0"]
    assert len(await desk.storage.queues()) == 1


async def test_a_queue_of_an_application_that_is_gone_is_dropped(turn: Round) -> None:
    await limit(turn.desk, 1)
    await turn.desk.sweep()
    turn.desk.directory.remove(turn.desk.revisions.entry(APP).application.key)
    await turn.pacer.tick()
    assert await turn.desk.storage.queues() == []


async def holding(desk: Desk) -> list[str]:
    return [name for name in EIGHT if await desk.offer_of(name) is not None]


async def test_two_ticks_at_once_use_the_room_that_there_is_and_no_more(desk: Desk) -> None:
    for name in EIGHT:
        await desk.enrol(name, "1.0.0")
    await desk.define("1.1.0", "1.0.0", rollout={"limits": {"inProgress": 3}})
    await desk.sweep()
    first = await holding(desk)
    assert len(first) == 3
    for name in first[:2]:
        await desk.report(name, "1.1.0")
    parts = without_broker(desk.storage, desk.directory, desk.clock)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for pacer in (Pacer(parts), Pacer(parts)):
            group.create_task(pacer.tick())
    held = await holding(desk)
    assert len(held) == 3
    assert first[2] in held
    for name in held[:2]:
        await desk.report(name, "1.1.0")
    await Pacer(parts).tick()
    assert len(await holding(desk)) == 3
    offered = [await desk.observations.history(APP, name, None, 100) for name in EIGHT]
    assert sum(item.entry.kind is HistoryKind.OFFERED for items in offered for item in items) == 7


async def test_without_queues_a_tick_offers_nothing(desk: Desk) -> None:
    await desk.enrol("e0", "1.1.0")
    await desk.define("1.1.0", "1.0.0", rollout={"limits": {"inProgress": 3}})
    await Pacer(without_broker(desk.storage, desk.directory, desk.clock)).tick()
    assert await desk.offer_of("e0") is None
