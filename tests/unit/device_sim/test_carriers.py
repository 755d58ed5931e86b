"""One connection, on a transport that keeps what is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from device_sim import packets
from device_sim.carriers import Carrier, Identity
from device_sim.packets import DISCONNECT, PINGREQ, Publish

if TYPE_CHECKING:
    from collections.abc import Callable

IDENTITY = Identity(client_id="tok", username="u", password="p", keep_alive=100)
CONNACK, REFUSED = b"\x20\x02\x00\x00", b"\x20\x02\x00\x05"


class Transport(asyncio.Transport):
    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended = ""
        self._lost = lost

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def _end(self, how: str) -> None:
        if not self.ended:
            self.ended = how
            asyncio.get_running_loop().call_soon(self._lost)


class Stage:
    """A listener, and the connection that it listens to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        self.told: list[str] = []
        self.carrier = Carrier(0, IDENTITY, self, bytearray(65536))
        self.transport = Transport(lambda: self.carrier.connection_lost(None))
        self.carrier.connection_made(self.transport)

    def opened(self, carrier: Carrier) -> None:
        assert carrier is self.carrier
        self.told.append("opened")

    def closed(self, carrier: Carrier) -> None:
        assert carrier.is_free
        self.told.append("closed")

    def received(self, carrier: Carrier, message: Publish) -> None:
        assert carrier.is_open
        self.told.append(message.topic)

    def feed(self, data: bytes) -> None:
        self.carrier.get_buffer(-1)[: len(data)] = data
        self.carrier.buffer_updated(len(data))

    def ended(self) -> str:
        return self.transport.ended

    async def written(self) -> list[bytes]:
        await asyncio.sleep(0)
        taken, self.transport.writes = self.transport.writes, []
        return taken


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


async def test_it_says_who_it_is_and_is_open_when_the_broker_lets_it_in(stage: Stage) -> None:
    assert await stage.written() == [packets.connect("tok", 100, "u", "p")]
    assert not stage.carrier.is_open
    stage.feed(CONNACK)
    assert stage.carrier.is_open
    assert stage.told == ["opened"]


async def test_a_refusal_is_kept_and_ends_the_connection(stage: Stage) -> None:
    stage.feed(REFUSED)
    await stage.written()
    assert stage.carrier.code == 5
    assert stage.ended() == "aborted"
    assert stage.told == ["closed"]


async def test_all_that_is_sent_at_once_leaves_in_one_write(stage: Stage) -> None:
    stage.feed(CONNACK)
    await stage.written()
    stage.carrier.subscribe(["a", "b"], 1)
    stage.carrier.publish("c", b"x", 1)
    stage.carrier.publish("c", b"y", 0)
    stage.carrier.unsubscribe(["a"])
    assert await stage.written() == [
        packets.subscribe(1, ["a", "b"], 1)
        + packets.publish(Publish(topic="c", payload=b"x", qos=1, packet_id=2))
        + packets.publish(Publish(topic="c", payload=b"y"))
        + packets.unsubscribe(3, ["a"])
    ]


async def test_a_message_is_acknowledged_after_it_was_handed_on(stage: Stage) -> None:
    stage.feed(CONNACK)
    await stage.written()
    one = packets.publish(Publish(topic="one", payload=b"", qos=1, packet_id=7))
    two = packets.publish(Publish(topic="two", payload=b""))
    stage.feed(one[:3])
    assert stage.told == ["opened"]
    stage.feed(one[3:] + two)
    assert stage.told == ["opened", "one", "two"]
    assert await stage.written() == [packets.puback(7)]


async def test_an_identifier_in_flight_is_not_used_again(stage: Stage) -> None:
    stage.feed(CONNACK)
    for _ in range(65535):
        stage.carrier.publish("t", b"", 1)
    stage.feed(packets.puback(500))
    await stage.written()
    stage.carrier.publish("t", b"", 1)
    assert await stage.written() == [packets.publish(Publish(topic="t", payload=b"", qos=1, packet_id=500))]


async def test_bytes_that_are_no_packet_end_the_connection(stage: Stage) -> None:
    stage.feed(CONNACK + b"\x00\x00")
    assert stage.ended() == "aborted"


async def test_nothing_is_handed_on_after_the_end(stage: Stage) -> None:
    stage.feed(REFUSED + packets.publish(Publish(topic="late", payload=b"")))
    assert stage.told == []
    stage.carrier.publish("t", b"", 0)
    await stage.written()
    assert stage.told == ["closed"]


async def test_it_pings_when_it_was_quiet_and_breaks_when_nobody_answers(stage: Stage) -> None:
    stage.feed(CONNACK)
    await stage.written()
    assert stage.carrier.watch() == 70
    stage.now += 40
    stage.carrier.publish("t", b"", 0)
    await stage.written()
    stage.now += 30
    assert stage.carrier.watch() == 40
    stage.now += 40
    assert stage.carrier.watch() == 50
    assert await stage.written() == [PINGREQ]
    stage.feed(b"\xd0\x00")
    stage.now += 20
    stage.carrier.watch()
    assert stage.ended() == ""
    stage.now += 50
    stage.carrier.watch()
    stage.now += 50
    stage.carrier.watch()
    assert stage.ended() == "aborted"


async def test_a_broker_that_does_not_answer_is_given_up(stage: Stage) -> None:
    stage.now += 14
    stage.carrier.watch()
    assert stage.ended() == ""
    stage.now += 1
    stage.carrier.watch()
    assert stage.ended() == "aborted"


async def test_it_says_goodbye_and_can_be_used_again(stage: Stage) -> None:
    stage.feed(CONNACK)
    await stage.written()
    stage.carrier.close()
    assert await stage.written() == [DISCONNECT]
    assert stage.ended() == "closed"
    assert stage.told == ["opened", "closed"]
    stage.transport = Transport(lambda: None)
    stage.carrier.connection_made(stage.transport)
    stage.feed(CONNACK)
    assert stage.carrier.is_open


async def test_a_broken_connection_says_nothing(stage: Stage) -> None:
    stage.feed(CONNACK)
    await stage.written()
    stage.carrier.publish("t", b"", 1)
    stage.carrier.abort()
    assert await stage.written() == []
    assert stage.told == ["opened", "closed"]
    stage.carrier.abort()
    stage.carrier.close()
