"""One MQTT connection of a fleet, as lean as it can be: no task, no queue, no buffer of its own.

Rules:
- All connections read into one buffer: what it holds is used up before the next one reads.
- What is sent while the event loop handles one batch of events leaves in one write.
- A message is acknowledged after the fleet has had it.
- Silence for half a keep-alive after a ping means that the connection is broken.

Spec: MQTT 3.1.1 §3.1.2.10 (keep-alive), §4.3 (QoS), §4.4 (redelivery: none, as sessions are clean).
Layer: device_sim.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from device_sim import packets
from device_sim.errors import MalformedPacketError
from device_sim.packets import Connack, Decoder, Puback, Publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_sim.packets import Packet

_QUIET = 0.7
"""The part of a keep-alive after which a ping is sent."""
ANSWER_SECONDS = 15.0
"""Within which the broker has to let us in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a connection is for."""

    client_id: str
    username: str | None
    password: str | None
    keep_alive: int


class Listener(Protocol):
    """Who is told what happens to a connection."""

    def opened(self, carrier: Carrier) -> None:
        """The broker has let us in."""

    def closed(self, carrier: Carrier) -> None:
        """The connection is no more, whether or not it had been opened."""

    def received(self, carrier: Carrier, message: Publish) -> None:
        """A message has come."""


class Carrier(asyncio.BufferedProtocol):
    """One connection; it can be made again once `Listener.closed` was called.

    Args:
        number: its place in the fleet.
        listener: is told what happens.
        buffer: what all connections read into.
    """

    __slots__ = (
        "_decoder",
        "_heard_at",
        "_in_flight",
        "_last_id",
        "_listener",
        "_loop",
        "_out",
        "_pinged_at",
        "_sent_at",
        "_transport",
        "buffer",
        "code",
        "failures",
        "identity",
        "is_open",
        "number",
    )

    def __init__(self, number: int, identity: Identity, listener: Listener, buffer: bytearray) -> None:
        self.number = number
        self.identity = identity
        self.buffer = buffer
        self.is_open = False
        self.failures = 0
        """Connections in a row that came to nothing."""
        self.code = 0
        """What the last CONNACK said; 0 is well."""
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder()
        self._out: list[bytes] = []
        self._in_flight: set[int] = set()
        self._last_id = 0
        self._sent_at = self._heard_at = self._pinged_at = 0.0

    @property
    def is_free(self) -> bool:
        """Whether there is no connection, so that one may be made."""
        return self._transport is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        self._transport = transport
        self._decoder = Decoder()
        self._in_flight.clear()
        self._heard_at = self._pinged_at = self._loop.time()
        identity = self.identity
        self._send(packets.connect(identity.client_id, identity.keep_alive, identity.username, identity.password))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc
        self._transport = None
        self.is_open = False
        self._out.clear()
        self._listener.closed(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where to read into."""
        del sizehint
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self._heard_at = self._loop.time()
        try:
            for packet in self._decoder.feed(bytes(memoryview(self.buffer)[:nbytes])):
                if self._transport is None or self._transport.is_closing():
                    return
                self._take(packet)
        except MalformedPacketError:
            self.abort()

    def _take(self, packet: Packet) -> None:
        match packet:
            case Publish():
                self._listener.received(self, packet)
                if packet.packet_id is not None:
                    self._send(packets.puback(packet.packet_id))
            case Puback():
                self._in_flight.discard(packet.packet_id)
            case Connack():
                self.code = packet.code
                if packet.code:
                    self.abort()
                    return
                self.is_open, self.failures = True, 0
                self._listener.opened(self)
            case _:
                pass

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Publish; without an open connection the message is lost."""
        packet_id = self._next_id() if qos else None
        if packet_id is not None:
            self._in_flight.add(packet_id)
        self._send(packets.publish(Publish(topic=topic, payload=payload, qos=qos, packet_id=packet_id)))

    def subscribe(self, topic_filters: Sequence[str], qos: int) -> None:
        """Subscribe."""
        self._send(packets.subscribe(self._next_id(), topic_filters, qos))

    def unsubscribe(self, topic_filters: Sequence[str]) -> None:
        """Unsubscribe."""
        self._send(packets.unsubscribe(self._next_id(), topic_filters))

    def close(self) -> None:
        """Say goodbye and close; `Listener.closed` follows."""
        if self._transport is not None:
            if self.is_open:
                self._send(packets.DISCONNECT)
                self._flush()
            self.is_open = False
            self._transport.close()

    def abort(self) -> None:
        """Break the connection; `Listener.closed` follows."""
        if self._transport is not None:
            self.is_open = False
            self._out.clear()
            self._transport.abort()

    def watch(self) -> float:
        """Ping if it is time, break a connection that is silent; return after how many seconds to look again."""
        now, span = self._loop.time(), self.identity.keep_alive * _QUIET
        if not self.is_open:
            if now - self._heard_at >= ANSWER_SECONDS:
                self.abort()
            return ANSWER_SECONDS
        if self._heard_at < self._pinged_at:
            self.abort()
        elif now - self._sent_at >= span:
            self._send(packets.PINGREQ)
            self._pinged_at = now
            return self.identity.keep_alive / 2
        return max(span - (now - self._sent_at), 0.1)

    def _next_id(self) -> int:
        for _ in range(packets.MAX_PACKET_ID):
            self._last_id = self._last_id % packets.MAX_PACKET_ID + 1
            if self._last_id not in self._in_flight:
                break
        return self._last_id

    def _send(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._sent_at = self._loop.time()
        self._out.clear()
