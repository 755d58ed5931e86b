from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.audits import Action
from orchestrator.application.broadcasts import Broadcasts
from protocol.links import LinkLost
from tests.contract.deadlines import eventually
from tests.parts import Retainer, with_link
from tests.unit.orchestrator.application.desks import APP, START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.feeds import Feed
    from orchestrator.application.parts import Parts
    from protocol.links import Outbound
    from tests.unit.orchestrator.application.desks import Desk


def parts_of(desk: Desk, link: Retainer) -> Parts:
    return with_link(link, desk.storage, desk.directory, desk.clock)


def tell(feed: Feed, kind: str, times: int = 1) -> None:
    for number in range(times):
        feed.tell(APP, kind, None, {"number": number}, START)


@pytest.mark.parametrize("told", [True, False])
def test_events_are_told_where_that_is_wanted_and_numbers_always(desk: Desk, told: bool) -> None:
    link = Retainer()
    parts = parts_of(desk, link)
    broadcasts = Broadcasts(link, parts, told=told)
    with parts.feed.read(histories=told) as reader:
        tell(parts.feed, "software.put")
        tell(parts.feed, "summary")
        sent = list(broadcasts.render(reader.take(10)))
    summary = sent.pop()
    assert (summary.topic, summary.retain, summary.payload) == (f"otao/v1/{APP}/summary", True, b'{"number":0}')
    assert [message.topic for message in sent] == ([f"otao/v1/{APP}/events/software.put"] if told else [])
    for message in sent:
        assert (message.retain, message.qos) == (False, 1)
        assert json.loads(message.payload)["id"].startswith("test-")


@pytest.mark.parametrize("told", [True, False])
def test_the_numbers_of_a_deleted_application_are_cleared(desk: Desk, told: bool) -> None:
    link = Retainer()
    parts = parts_of(desk, link)
    broadcasts = Broadcasts(link, parts, told=told)
    with parts.feed.read(histories=told) as reader:
        tell(parts.feed, Action.APPLICATION_DELETE.value)
        *_, last = broadcasts.render(reader.take(10))
    assert (last.topic, last.payload, last.retain) == (f"otao/v1/{APP}/summary", b"", True)


def test_what_was_dropped_is_told_and_counted_by_application(desk: Desk) -> None:
    link = Retainer()
    parts = parts_of(desk, link)
    broadcasts = Broadcasts(link, parts, told=True)
    with parts.feed.read() as reader:
        tell(parts.feed, "software.put", 10_003)
        first, *_ = broadcasts.render(reader.take(10))
    assert first.topic == f"otao/v1/{APP}/events/events.dropped"
    assert json.loads(first.payload)["data"] == {"count": 3}
    assert parts.tallies.events_dropped == 3


class Wavering(Retainer):
    """A link whose connection ends in its first publish."""

    tries = 0

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        self.tries += 1
        if self.tries == 1:
            raise LinkLost("gone")
        return await super().publish(messages)


async def test_what_did_not_leave_with_a_connection_leaves_with_the_next_one(desk: Desk) -> None:
    link = Wavering()
    parts = parts_of(desk, link)
    broadcasts = Broadcasts(link, parts, told=True)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(broadcasts.run())
        await eventually(lambda: parts.feed.readers == 1, "the loop reads")
        tell(parts.feed, "software.put", 3)
        await eventually(lambda: bool(link.sent), "sent")
        parts.feed.close()
        await running
    assert [json.loads(message.payload)["data"]["number"] for message in link.sent] == [0, 1, 2]
    assert parts.tallies.events == 3


async def test_events_that_the_broker_refuses_are_counted(desk: Desk) -> None:
    link = Retainer()
    link.refused.add(f"otao/v1/{APP}/events/software.put")
    parts = parts_of(desk, link)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(Broadcasts(link, parts, told=True).run())
        await eventually(lambda: parts.feed.readers == 1, "the loop reads")
        tell(parts.feed, "software.put")
        await eventually(lambda: parts.tallies.events_refused > 0, "refused")
        parts.feed.close()
        await running
    assert parts.tallies.events_refused == 1
