"""A proxy between the service and its broker that speaks no MQTT, yet knows where one packet ends and the next begins.

It can do to a connection what networks and brokers do now and then: cut it, leave one end of it open for ever, delay
packets, and, by a script, change, drop, repeat, hold back and make up packets.

Rules:
- A script sees whole packets, in order.
- A packet that is late holds up those behind it, as TCP does, and not those the other way; however late they are, as
  many pass as without a delay.
- Loopback only; the port stays the same as long as it listens, whatever the broker does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from tests.contract.forwarders import Forwarder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PUBLISH, PUBACK = 3, 4
UNDER_WAY = 10_000
"""Packets that are late at the same time, each way; the next one is not read before."""


class Toward(Enum):
    """Which way a packet goes."""

    BROKER = auto()
    CLIENT = auto()


Script: TypeAlias = "Callable[[Way, Toward, bytes], Sequence[bytes]]"
"""What to pass on in the place of a packet, all of it the same way."""
Delay: TypeAlias = "Callable[[Toward, bytes], float]"
"""By how many seconds a packet is late."""


_Line: TypeAlias = "asyncio.Queue[tuple[float, bytes | None]]"
"""Packets with the time at which each is due; None: the connection has ended."""


def prompt(_toward: Toward, _packet: bytes) -> float:
    """No delay."""
    return 0.0


@dataclass(slots=True, eq=False)
class Way:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    lost: bool = False
    """Whether the broker's end is gone and the client has not been told."""
    facts: dict[str, object] = field(default_factory=dict)
    """What a script wants to remember of this connection."""

    def send(self, toward: Toward, packet: bytes) -> None:
        """Make up a packet."""
        (self.broker if toward is Toward.BROKER else self.client).write(packet)


class Proxy(Forwarder):
    """Listens on a port of its own; use it as an asynchronous context manager.

    Args:
        target_port: where the broker listens.
        script: is shown each packet; None: nothing is looked at.
    """

    def __init__(self, target_port: int, script: Script | None = None) -> None:
        super().__init__(target_port)
        self.script = script
        self.delay: Delay = prompt
        """Is asked of each packet that is read from now on."""
        self.ways: list[Way] = []
        """The connections that are open, the oldest first."""
        self._serving: set[Way] = set()
        self._served = asyncio.Condition()

    async def __aexit__(self, *exception: object) -> None:
        await super().__aexit__(*exception)
        async with self._served:
            await self._served.wait_for(lambda: not self._serving)

    @property
    def url(self) -> str:
        """Its address, for a broker without passwords."""
        return f"mqtt://127.0.0.1:{self.port}"

    def strand(self) -> int:
        """Half-open: the broker's end of every connection is gone, and no client is told; return of how many."""
        for way in self.ways:
            way.lost = True
            way.broker.transport.abort()
        stranded = len(self.ways)
        self.ways.clear()
        return stranded

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, onward_writer]
        way = Way(client=writer, broker=onward_writer)
        self.ways.append(way)
        self._serving.add(way)
        try:
            await self._pass_on(way, reader, onward_reader)
        finally:
            self._writers = [each for each in self._writers if each not in {writer, onward_writer}]
            if way in self.ways:
                self.ways.remove(way)
            async with self._served:
                self._serving.remove(way)
                self._served.notify_all()

    async def _pass_on(self, way: Way, client: asyncio.StreamReader, broker: asyncio.StreamReader) -> None:
        async with asyncio.TaskGroup() as group:
            for toward, reader, writer in ((Toward.BROKER, client, way.broker), (Toward.CLIENT, broker, way.client)):
                line: _Line = asyncio.Queue(UNDER_WAY)
                taking = group.create_task(self._take(toward, reader, line))
                carrying = group.create_task(self._carry(way, toward, line, writer))
                carrying.add_done_callback(partial(_let_go, taking))

    async def _take(self, toward: Toward, reader: asyncio.StreamReader, line: _Line) -> None:
        """Read packets to the end of the connection, and say when each is to go on."""
        unread = bytearray()
        due = 0.0
        try:
            while chunk := await reader.read(self._piece):
                unread += chunk
                for packet in _packets(unread):
                    due = max(due, self._now() + self.delay(toward, packet))
                    await line.put((due, packet))
        except OSError:
            pass
        await line.put((due, None))

    async def _carry(self, way: Way, toward: Toward, line: _Line, writer: asyncio.StreamWriter) -> None:
        """Pass packets on when they are due, until the connection ends."""
        try:
            while True:
                due, packet = await line.get()
                if packet is None:
                    break
                if due > self._now():
                    await asyncio.sleep(due - self._now())
                if not way.lost:
                    writer.writelines([packet] if self.script is None else self.script(way, toward, packet))
                    await writer.drain()
        except OSError:
            pass
        if not way.lost or toward is Toward.BROKER:
            way.client.transport.abort()
            way.broker.transport.abort()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _let_go(taking: asyncio.Task[None], _carrying: asyncio.Task[None]) -> None:
    """Nobody makes room in the line any more."""
    taking.cancel()


def _packets(unread: bytearray) -> Iterator[bytes]:
    """Take the whole packets off the front (MQTT 5.0 §2.1.4)."""
    while (end := _end(unread)) is not None:
        packet = bytes(unread[:end])
        del unread[:end]
        yield packet


def _end(unread: bytearray) -> int | None:
    length = shift = 0
    for place in range(1, min(len(unread), 5)):
        length |= (unread[place] & 0x7F) << shift
        shift += 7
        if unread[place] < 0x80:
            end = place + 1 + length
            return end if end <= len(unread) else None
    return None


def published(packet: bytes) -> tuple[str, int] | None:
    """Topic and packet identifier of a PUBLISH (MQTT 5.0 §3.3); None: it is another packet."""
    if packet[0] >> 4 != PUBLISH:
        return None
    start = _body(packet)
    end = start + 2 + int.from_bytes(packet[start : start + 2])
    packet_id = int.from_bytes(packet[end : end + 2]) if packet[0] & 0x06 else 0
    return packet[start + 2 : end].decode(), packet_id


def acknowledged(packet: bytes) -> int | None:
    """Packet identifier of a PUBACK; None: it is another packet."""
    if packet[0] >> 4 != PUBACK:
        return None
    start = _body(packet)
    return int.from_bytes(packet[start : start + 2])


def puback(packet_id: int, reason_code: int = 0) -> bytes:
    """A PUBACK of MQTT 5 (§3.4)."""
    return b"\x40\x03" + packet_id.to_bytes(2) + bytes((reason_code,))


def disconnect(reason_code: int) -> bytes:
    """A DISCONNECT of MQTT 5 (§3.14)."""
    return b"\xe0\x02" + bytes((reason_code, 0))


def again(packet: bytes) -> bytes:
    """A PUBLISH as it is delivered a second time (§3.3.1.1)."""
    return bytes((packet[0] | 0x08,)) + packet[1:]


def _body(packet: bytes) -> int:
    return next(place for place in range(1, 5) if packet[place] < 0x80) + 1
