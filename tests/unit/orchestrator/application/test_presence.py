from __future__ import annotations

import asyncio

from orchestrator.application.presence import Presence
from protocol.links import Connection


def connection(number: int) -> Connection:
    return Connection(
        number=number, session_present=True, receive_maximum=100, maximum_packet_bytes=None, protocol_level=5
    )


async def test_a_connection_is_waited_for_and_an_old_one_is_not_taken() -> None:
    presence = Presence()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(presence.connected(1))
        await presence.greet(connection(1))
        assert not waiting.done()
        await presence.greet(connection(2))
    assert waiting.result().number == 2
    assert (await presence.connected(0)).number == 2


async def test_a_marker_is_waited_for() -> None:
    presence = Presence()
    await presence.greet(connection(2))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(presence.wait_marked(2))
        await presence.mark(1)
        assert not waiting.done()
        await presence.mark(2)
    assert waiting.result()


async def test_a_marker_is_not_waited_for_when_a_newer_connection_is_up() -> None:
    presence = Presence()
    await presence.greet(connection(1))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(presence.wait_marked(1))
        await presence.greet(connection(2))
    assert not waiting.result()


def test_two_processes_have_no_marker_in_common() -> None:
    one, two = Presence(), Presence()
    assert len({one.marker(1), one.marker(2), two.marker(1), two.marker(2)}) == 4


async def test_a_marker_of_an_older_connection_takes_nothing_back() -> None:
    presence = Presence()
    await presence.mark(3)
    await presence.mark(1)
    assert presence.marked == 3
