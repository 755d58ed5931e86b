from __future__ import annotations

import asyncio

import pytest

from broker_bridge.counters import Counters
from broker_bridge.windows import Window
from protocol.links import LinkLost, Outbound


class Wire:
    """Gives out identifiers from 1 and remembers what was sent."""

    def __init__(self, size: int) -> None:
        self.sent: list[str] = []
        self.now = 0.0
        self.counters = Counters()
        self.window = Window(
            size=size,
            refusal=lambda message: 0x90 if message.topic == "bad" else 0,
            send=self._send,
            clock=lambda: self.now,
            counters=self.counters,
        )

    def add(self, *topics: str) -> asyncio.Future[list[int]]:
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self.window.add([Outbound(topic=topic, payload=b"") for topic in topics], done)
        return done

    def answer(self, packet_id: int, code: int = 0) -> None:
        self.window.answered(packet_id, code)
        self.window.pump()

    def _send(self, message: Outbound) -> int:
        self.sent.append(message.topic)
        return len(self.sent)


async def test_no_more_than_the_window_is_unanswered_and_order_holds_over_batches() -> None:
    wire = Wire(2)
    first, second = wire.add("a", "b", "c"), wire.add("d")
    assert wire.sent == ["a", "b"]
    wire.answer(2)
    assert wire.sent == ["a", "b", "c"]
    wire.answer(1)
    wire.answer(3)
    assert wire.sent == ["a", "b", "c", "d"]
    assert first.result() == [0, 0, 0]
    assert not second.done()
    wire.answer(4, 0x10)
    assert second.result() == [0x10]
    assert len(wire.window) == 0


async def test_codes_stand_where_their_messages_stood() -> None:
    wire = Wire(10)
    done = wire.add("a", "bad", "c")
    wire.answer(2, 0x87)
    wire.answer(1)
    assert done.result() == [0, 0x90, 0x87]
    assert wire.counters.outbound == 3
    assert wire.counters.refused_publishes == {0x90: 1, 0x87: 1}


async def test_refused_messages_take_no_room() -> None:
    wire = Wire(1)
    assert wire.add("bad", "bad").result() == [0x90, 0x90]
    assert wire.sent == []


async def test_unknown_answers_are_ignored() -> None:
    wire = Wire(1)
    done = wire.add("a")
    wire.answer(77)
    wire.answer(1)
    wire.answer(1)
    assert done.result() == [0]
    assert wire.counters.outbound == 1


async def test_the_oldest_unanswered_tells_how_long_the_broker_is_silent() -> None:
    wire = Wire(2)
    assert wire.window.waiting_since() is None
    wire.add("a")
    wire.now = 5.0
    wire.add("b")
    assert wire.window.waiting_since() == 0.0
    wire.answer(1)
    assert wire.window.waiting_since() == 5.0


async def test_the_end_of_the_connection_reaches_every_caller() -> None:
    wire = Wire(1)
    sent, queued = wire.add("a"), wire.add("b")
    wire.window.fail("gone")
    for done in (sent, queued):
        with pytest.raises(LinkLost, match="gone"):
            done.result()
    wire.window.pump()
    assert wire.sent == ["a"]


async def test_a_caller_that_went_away_leaves_nothing_unsent_behind() -> None:
    wire = Wire(1)
    gone, later = wire.add("a", "b", "c"), wire.add("d")
    gone.cancel()
    wire.answer(1)
    assert wire.sent == ["a", "d"]
    wire.answer(2)
    assert later.result() == [0]
    wire.window.fail("gone")
