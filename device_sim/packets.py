"""MQTT 3.1.1 as a client speaks it: packets to bytes, and bytes to packets.

Rules:
- What is built is what the fleet needs: a clean session, no will, QoS 0 and 1.
- `Decoder` takes bytes in any pieces; whatever they are, only `MalformedPacketError` escapes.
- A packet over the limit is an error before it is buffered.

Spec: MQTT 3.1.1 §2.2 (fixed header), §2.2.3 (remaining length), §3.1-§3.14.
Layer: device_sim; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from device_sim.errors import MalformedPacketError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKET_BYTES = 2 * 1024 * 1024
"""The largest packet that is read."""
MAX_PACKET_ID = 65535

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _UNSUBACK, _PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xB0, 0xD0
_MAX_LENGTH_BYTES = 4
_ID = 2
_QOS_2 = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Connack:
    """The broker's answer to CONNECT; `code` 0 lets us in (§3.2.2.3)."""

    session_present: bool
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A message, with QoS 0 or 1; a packet identifier exactly with QoS 1."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Puback:
    """The broker has a message of ours."""

    packet_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suback:
    """The broker's answer to SUBSCRIBE; 0x80 refuses a filter."""

    packet_id: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsuback:
    """The broker's answer to UNSUBSCRIBE."""

    packet_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pingresp:
    """The broker's answer to PINGREQ."""


Packet: TypeAlias = Connack | Publish | Puback | Suback | Unsuback | Pingresp


def connect(client_id: str, keep_alive: int, username: str | None = None, password: str | None = None) -> bytes:
    """CONNECT with a clean session; `keep_alive` in seconds, 1-65535. A password needs a user name (§3.1.2.9)."""
    flags = 0x02 | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    fields = [text for text in (client_id, username, password) if text is not None]
    head = b"\x00\x04MQTT\x04" + bytes((flags,)) + keep_alive.to_bytes(2, "big")
    return _packet(0x10, head + b"".join(map(_text, fields)))


def publish(message: Publish) -> bytes:
    """PUBLISH; the inverse of what `Decoder` makes of it."""
    head = _PUBLISH | message.dup << 3 | message.qos << 1 | message.retain
    packet_id = b"" if message.packet_id is None else message.packet_id.to_bytes(_ID, "big")
    return _packet(head, _text(message.topic) + packet_id + message.payload)


def puback(packet_id: int) -> bytes:
    """PUBACK; the inverse of what `Decoder` makes of it."""
    return b"\x40\x02" + packet_id.to_bytes(_ID, "big")


def subscribe(packet_id: int, topic_filters: Sequence[str], qos: int) -> bytes:
    """SUBSCRIBE to at least one topic filter, all with the same QoS."""
    filters = b"".join(_text(topic_filter) + bytes((qos,)) for topic_filter in topic_filters)
    return _packet(0x82, packet_id.to_bytes(_ID, "big") + filters)


def unsubscribe(packet_id: int, topic_filters: Sequence[str]) -> bytes:
    """UNSUBSCRIBE from at least one topic filter."""
    return _packet(0xA2, packet_id.to_bytes(_ID, "big") + b"".join(map(_text, topic_filters)))


def _packet(head: int, body: bytes) -> bytes:
    rest, length = len(body), bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - seven bits a byte, §2.2.3
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return bytes((head,)) + bytes(length) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


class Decoder:
    """Makes packets of what arrives on one connection; after an error it must not be used again."""

    __slots__ = ("_limit", "_rest")

    def __init__(self, limit: int = PACKET_BYTES) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are complete with `data`; must be run to its end.

        Raises:
            MalformedPacketError: the bytes are none that a broker may send to a client, or too many.
        """
        buffered = self._rest + data if self._rest else data
        start = 0
        while (frame := self._frame(buffered, start)) is not None:
            body, end = frame
            yield _decode(buffered[start], buffered[body:end])
            start = end
        self._rest = buffered[start:]

    def _frame(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Where the body of the packet at `start` begins and ends; None while it is not complete."""
        length = shift = 0
        for position in range(start + 1, min(len(data), start + 1 + _MAX_LENGTH_BYTES)):
            byte = data[position]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follow
                break
        else:
            if len(data) > start + _MAX_LENGTH_BYTES:
                raise MalformedPacketError("the remaining length has more than four bytes")
            return None
        if length > self._limit:
            raise MalformedPacketError(f"a packet of {length} bytes, the limit is {self._limit}")
        body = position + 1
        return (body, body + length) if len(data) >= body + length else None


def _decode(head: int, body: bytes) -> Packet:
    kind = head & 0xF0
    if kind == _PUBLISH:
        return _publish(head, body)
    if head & 0x0F:
        raise MalformedPacketError(f"the flags of packet type {head >> 4} are not zero")
    if kind == _SUBACK and len(body) > _ID:
        return Suback(packet_id=int.from_bytes(body[:_ID], "big"), codes=tuple(body[_ID:]))
    if kind == _PINGRESP and not body:
        return Pingresp()
    if len(body) != _ID or kind not in {_CONNACK, _PUBACK, _UNSUBACK}:
        raise MalformedPacketError(f"packet type {head >> 4} with {len(body)} bytes is none for a client")
    if kind == _CONNACK:
        return Connack(session_present=bool(body[0] & 1), code=body[1])
    packet_id = int.from_bytes(body, "big")
    return Puback(packet_id=packet_id) if kind == _PUBACK else Unsuback(packet_id=packet_id)


def _publish(head: int, body: bytes) -> Publish:
    qos = head >> 1 & 3
    end = _ID + int.from_bytes(body[:_ID], "big")
    payload = end + _ID if qos else end
    if qos >= _QOS_2 or len(body) < max(payload, _ID):
        raise MalformedPacketError(f"PUBLISH with QoS {qos} and {len(body)} bytes")
    try:
        topic = body[_ID:end].decode()
    except UnicodeDecodeError as error:
        raise MalformedPacketError(f"a topic that is not UTF-8: {error.reason}") from error
    return Publish(
        topic=topic,
        payload=body[payload:],
        qos=qos,
        retain=bool(head & 1),
        dup=bool(head & 8),
        packet_id=int.from_bytes(body[end:payload], "big") if qos else None,
    )
