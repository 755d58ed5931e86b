from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from orchestrator.application import products, watches
from orchestrator.application.commands import UseCases
from orchestrator.application.watches import Watch
from protocol.links import Received
from tests.contract.deadlines import eventually
from tests.parts import NoLink, Retainer, with_link
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from protocol.links import Link
    from tests.unit.orchestrator.application.desks import Desk

PRESENCE = "otao/v1/service/test"


def watch_of(desk: Desk, link: Link) -> Watch:
    use_cases = UseCases(
        definitions=desk.definitions,
        endpoints=desk.endpoints,
        freezes=desk.freezes,
        observations=desk.observations,
        plans=desk.plans,
        rollouts=desk.rollouts,
        now=desk.clock.now,
    )
    return Watch(link, with_link(link, desk.storage, desk.directory, desk.clock), use_cases, events=True)


class Opening(Retainer):
    """A link that has just come up, and brings nothing."""

    opened = False

    async def receive(self, limit: int) -> Received:
        if self.opened:
            await asyncio.Event().wait()
        self.opened = True
        assert self.connection is not None
        return Received(connection=self.connection, messages=())


async def test_a_connection_begins_with_presence_and_every_application_s_numbers(desk: Desk) -> None:
    link = Opening()
    watch = watch_of(desk, link)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop(), name=name) for name, loop in watch.loops().items()]
        await eventually(lambda: len(link.retained) == 2, "presence and numbers")
        assert json.loads(link.retained[PRESENCE]) == {
            "replica": "test",
            "status": "online",
            "since": "2026-03-01T12:00:00Z",
            "version": products.version(),
        }
        assert json.loads(link.retained[f"otao/v1/{APP}/summary"])["endpoints"] == 0
        watch.close()
        await watch.leave()
        assert json.loads(link.retained[PRESENCE])["status"] == "offline"
        for task in tasks:
            task.cancel()


async def test_leaving_without_a_connection_is_no_error(desk: Desk) -> None:
    await watch_of(desk, NoLink()).leave()


def test_the_will_says_that_nobody_knows_since_when() -> None:
    will = watches.will("a")
    assert (will.topic, will.retain, will.qos) == ("otao/v1/service/a", True, 1)
    assert json.loads(will.payload)["status"] == "offline"
    assert json.loads(will.payload)["since"] is None
