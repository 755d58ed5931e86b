from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.application.pacer import Pacer
from orchestrator.domain.endpoints import HistoryKind
from tests.parts import without_broker
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

FLEET = [f"e{number}" for number in range(8)]


async def holders(desk: Desk) -> list[str]:
    return [name for name in FLEET if await desk.offer_of(name) is not None]


async def test_two_ticks_at_once_use_the_room_that_there_is_and_no_more(desk: Desk) -> None:
    for name in FLEET:
        await desk.enrol(name, "1.0.0")
    await desk.define("1.1.0", "1.0.0", rollout={"limits": {"inProgress": 3}})
    await desk.sweep()
    first = await holders(desk)
    assert len(first) == 3
    for name in first[:2]:
        await desk.report(name, "1.1.0")
    parts = without_broker(desk.storage, desk.directory, desk.clock)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for pacer in (Pacer(parts), Pacer(parts)):
            group.create_task(pacer.tick())
    held = await holders(desk)
    assert len(held) == 3
    assert first[2] in held
    for name in held[:2]:
        await desk.report(name, "1.1.0")
    await Pacer(parts).tick()
    assert len(await holders(desk)) == 3
    offered = [await desk.observations.history(APP, name, None, 100) for name in FLEET]
    assert sum(item.entry.kind is HistoryKind.OFFERED for items in offered for item in items) == 7


async def test_without_queues_a_tick_offers_nothing(desk: Desk) -> None:
    await desk.enrol("e0", "1.1.0")
    await desk.define("1.1.0", "1.0.0", rollout={"limits": {"inProgress": 3}})
    await Pacer(without_broker(desk.storage, desk.directory, desk.clock)).tick()
    assert await desk.offer_of("e0") is None
