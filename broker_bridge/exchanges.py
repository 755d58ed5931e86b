"""What is said on one MQTT connection, from CONNECT to its end: bytes and wishes in, bytes and events out.

Rules:
- No I/O and no clock: who owns the socket feeds what it has read, sends what `output` gives, and says what time it is.
- Nothing is acknowledged by itself, and nothing is sent twice.
- A packet identifier is given to one message in flight at a time.
- The first packet is the broker's CONNACK; what is not MQTT ends the connection, after what came before it.
- Silence is broken at half of the keep-alive. A broker that says nothing for a whole one after a ping is gone; while we
  do not read, nobody can tell, and it is only kept from giving up on us.

Spec: MQTT 5.0 §2.2.1 (packet identifier), §3.1.2.10 (keep-alive), §3.2 [MQTT-3.2.0-1], §4.13 (errors); MQTT 3.1.1
§2.3.1, §3.1.2.10, §3.2.
Layer: adapter; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker_bridge import packets, reasons
from broker_bridge.errors import MalformedPacket
from broker_bridge.streams import Stream
from protocol.links import MQTT_5, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker_bridge.packets import Connack, Misspelt
    from broker_bridge.profiles import Profile
    from protocol.links import Inbound, Outbound, Subscription

_LARGEST_PACKET_ID = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a connection ended; the reason code is the broker's own DISCONNECT, None when it sent none."""

    reason: str
    reason_code: int | None = None


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one turn of reading has brought, each kind in its order."""

    messages: list[Inbound | Misspelt] = field(default_factory=list)
    answers: list[tuple[int, int]] = field(default_factory=list)
    """Publishes that are answered: packet identifier and reason code."""
    granted: list[tuple[int, list[int]]] = field(default_factory=list)
    """Subscriptions that are answered: packet identifier and reason codes; none where they were ended."""
    accepted: Connack | None = None
    ending: Ending | None = None


class Exchange:
    """One connection's dialogue; begin with `connect`."""

    def __init__(self, profile: Profile) -> None:
        """Say nothing yet."""
        self._level = profile.level
        self._connect = profile.connect
        self._keep_alive_seconds = self._connect.keep_alive_seconds
        self._stream = Stream()
        self._accepted = self._ended = False
        self._out: list[bytes] = []
        self._unwritten: list[int] = []
        self._in_flight: set[int] = set()
        self._packet_id = 0
        self._sent_at = self._heard_at = 0.0
        self._pinged_at: float | None = None

    @property
    def more(self) -> bool:
        """Whether there may be whole packets that `advance` has left."""
        return self._stream.more and not self._ended

    def connect(self) -> None:
        """Queue CONNECT."""
        self._out.append(packets.encode_connect(self._connect))

    def subscribe(self, subscriptions: Sequence[Subscription], *, read_retained: bool = False) -> int:
        """Queue one SUBSCRIBE with QoS 1; return its packet identifier."""
        packet_id = self._next_id()
        self._out.append(
            packets.encode_subscribe(subscriptions, packet_id, self._level, read_retained=read_retained),
        )
        return packet_id

    def unsubscribe(self, topic_filters: Sequence[str]) -> int:
        """Queue one UNSUBSCRIBE; return its packet identifier."""
        packet_id = self._next_id()
        self._out.append(packets.encode_unsubscribe(topic_filters, packet_id, self._level))
        return packet_id

    def publish(self, message: Outbound) -> int:
        """Queue one message; return an identifier that no other message in flight has, with QoS 0 too."""
        packet_id = self._next_id()
        self._out.append(packets.encode_publish(message, packet_id, self._level))
        if not message.qos:
            self._unwritten.append(packet_id)
        return packet_id

    def acknowledge(self, packet_ids: Iterable[int]) -> None:
        """Queue PUBACKs, in this order; nothing after the end."""
        if not self._ended:
            self._out.append(packets.encode_pubacks(packet_ids))

    def disconnect(self, reason_code: int = 0) -> None:
        """Queue DISCONNECT, if the broker has let us in; say nothing afterwards."""
        if self._accepted and not self._ended:
            self._out.append(packets.encode_disconnect(reason_code, self._level))
        self._ended = True

    def output(self, now: float) -> bytes:
        """What is to be sent now, in order; it is then no longer queued."""
        data = b"".join(self._out)
        self._out.clear()
        if data:
            self._sent_at = now
        return data

    def written(self) -> list[tuple[int, int]]:
        """The publishes with QoS 0 that `output` has given since: their whole answer, with reason code 0."""
        written = [(packet_id, 0) for packet_id in self._unwritten]
        self._in_flight.difference_update(self._unwritten)
        self._unwritten.clear()
        return written

    def feed(self, data: bytes, now: float) -> None:
        """Take what has been read; `advance` says what it means."""
        self._stream.feed(data)
        self._heard_at = now

    def advance(self, limit: int) -> Turn:
        """Work off at most `limit` packets."""
        turn = Turn()
        if self._ended:
            return turn
        try:
            for first, body in self._stream.take(limit):
                self._packet(first, body, turn)
        except MalformedPacket as error:
            self.disconnect(reasons.MALFORMED_PACKET)
            turn.ending = Ending(reason=str(error))
        return turn

    def tick(self, now: float, *, reading: bool) -> Ending | None:
        """Keep the connection alive; return why it is over when the broker is silent."""
        keep_alive = self._keep_alive_seconds
        if not keep_alive or not self._accepted:
            return None
        if not reading:
            self._pinged_at = None
        elif self._pinged_at is not None and now - max(self._pinged_at, self._heard_at) >= keep_alive:
            return Ending(reason="the broker does not answer any more")
        quiet_since = min(self._sent_at, self._heard_at) if reading else self._sent_at
        if self._pinged_at is None and now - quiet_since >= keep_alive / 2:
            self._out.append(packets.PINGREQ)
            self._pinged_at = now if reading else None
        return None

    def _next_id(self) -> int:
        packet_id = self._packet_id
        while True:
            packet_id = packet_id % _LARGEST_PACKET_ID + 1
            if packet_id not in self._in_flight:
                break
        self._packet_id = packet_id
        self._in_flight.add(packet_id)
        return packet_id

    def _packet(self, first: int, body: bytes, turn: Turn) -> None:
        kind = first >> 4
        if not self._accepted:
            self._first(kind, body, turn)
        elif kind == packets.PUBLISH:
            turn.messages.append(packets.decode_publish(first, body, self._level))
        elif kind == packets.PUBACK:
            answer = packets.decode_puback(body)
            self._in_flight.discard(answer[0])
            turn.answers.append(answer)
        else:
            self._seldom(kind, body, turn)

    def _first(self, kind: int, body: bytes, turn: Turn) -> None:
        if kind != packets.CONNACK:
            raise MalformedPacket(f"packet type {kind} before CONNACK")
        turn.accepted = packets.decode_connack(body, self._level)
        self._accepted = True
        self._ended = turn.accepted.reason_code >= REFUSED
        if turn.accepted.keep_alive_seconds is not None:
            self._keep_alive_seconds = turn.accepted.keep_alive_seconds

    def _seldom(self, kind: int, body: bytes, turn: Turn) -> None:
        if kind == packets.PINGRESP:
            self._pinged_at = None
        elif kind == packets.SUBACK:
            answer = packets.decode_suback(body, self._level)
            self._in_flight.discard(answer[0])
            turn.granted.append(answer)
        elif kind == packets.UNSUBACK:
            packet_id = packets.decode_unsuback(body)
            self._in_flight.discard(packet_id)
            turn.granted.append((packet_id, []))
        elif kind == packets.DISCONNECT and self._level == MQTT_5:
            code = packets.decode_disconnect(body)
            turn.ending = Ending(reason=reasons.name(code), reason_code=code)
            self._ended = True
        else:
            raise MalformedPacket(f"packet type {kind}, which no broker sends us")
