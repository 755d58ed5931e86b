from __future__ import annotations

import asyncio

import pytest

from broker_bridge.inboxes import Inbox
from protocol.links import Connection, Inbound


def connection(number: int) -> Connection:
    return Connection(
        number=number, session_present=True, receive_maximum=10, maximum_packet_bytes=None, protocol_level=5
    )


def message(name: str) -> Inbound:
    return Inbound(topic=name, payload=b"")


FIRST, SECOND = connection(1), connection(2)


async def test_a_notice_comes_alone_and_messages_up_to_the_limit() -> None:
    inbox = Inbox(10)
    inbox.announce(FIRST)
    for name in "abc":
        inbox.put(FIRST, [message(name)])
    assert (await inbox.take(2)).messages == ()
    assert [each.topic for each in (await inbox.take(2)).messages] == ["a", "b"]
    assert [each.topic for each in (await inbox.take(2)).messages] == ["c"]


async def test_a_batch_is_never_of_two_connections_and_the_old_one_comes_first() -> None:
    inbox = Inbox(10)
    inbox.announce(FIRST)
    inbox.put(FIRST, [message("old")])
    inbox.announce(SECOND)
    inbox.put(SECOND, [message("new")])
    taken = [await inbox.take(10) for _ in range(4)]
    expected = [(FIRST, ()), (FIRST, (message("old"),)), (SECOND, ()), (SECOND, (message("new"),))]
    assert [(each.connection, each.messages) for each in taken] == expected


async def test_a_notice_that_nobody_took_gives_way_to_the_next() -> None:
    inbox = Inbox(10)
    for number in range(1, 50):
        inbox.announce(connection(number))
    assert len(inbox) == 1
    assert (await inbox.take(1)).connection.number == 49


async def test_taking_waits_for_what_comes() -> None:
    inbox = Inbox(10)
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(inbox.take(5))
        await asyncio.sleep(0)
        assert not taking.done()
        inbox.announce(FIRST)
    assert taking.result().connection is FIRST


async def test_room_comes_back_when_it_is_no_longer_full() -> None:
    inbox = Inbox(2)
    await inbox.room()
    inbox.announce(FIRST)
    inbox.put(FIRST, [message("a")])
    assert inbox.full
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(inbox.room(), 0)
    await inbox.take(1)
    assert not inbox.full
    await asyncio.wait_for(inbox.room(), 1)


async def test_a_full_inbox_still_takes_what_has_been_read() -> None:
    inbox = Inbox(1)
    for name in "abc":
        inbox.put(FIRST, [message(name)])
    assert [each.topic for each in (await inbox.take(9)).messages] == ["a", "b", "c"]


async def test_few_large_messages_fill_it_too_and_half_of_the_bytes_make_room() -> None:
    inbox = Inbox(10, 100)
    inbox.put(FIRST, [Inbound(topic="t", payload=b"x" * 49), Inbound(topic="t", payload=b"x" * 49)])
    assert inbox.full
    assert not inbox.roomy
    await inbox.take(1)
    assert not inbox.full
    assert inbox.roomy
