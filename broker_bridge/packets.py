"""MQTT's packets as a client needs them, to bytes and from bytes, for MQTT 5 and 3.1.1 alike.

Rules:
- `level` is the protocol level: 5 or 4. What MQTT 3.1.1 cannot say is left out.
- Reason codes are those of MQTT 5; those of MQTT 3.1.1 are mapped onto them.
- A PUBLISH whose topic or response topic is not UTF-8 is a value, `Misspelt`: one device must not end the link of all.
- Only `MalformedPacket` escapes from decoding, whatever the bytes are.

Spec: MQTT 5.0 §3.1-§3.14; MQTT 3.1.1 §3.1-§3.14.
Layer: adapter; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_bridge import encodings
from broker_bridge.encodings import decode_properties, encode_integer, encode_properties, encode_string
from broker_bridge.errors import MalformedPacket
from protocol.links import MQTT_5, REFUSED, Inbound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from protocol.links import Outbound, Subscription

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 11, 13, 14
"""The types of packets that a broker sends us (§2.1.2), as the first byte's upper half."""
PINGREQ = b"\xc0\x00"
LARGEST_RECEIVE_MAXIMUM = 65_535
"""What holds when the broker names none (MQTT 5.0 §3.2.2.3.3)."""

_DO_NOT_SEND = 0x20
"""Retain handling 2: no retained messages at subscription (MQTT 5.0 §3.8.3.1)."""
_RETAIN_AS_PUBLISHED, _NO_LOCAL = 0x08, 0x04
_QOS_2 = 2
_PACKET_ID = 2
# Return codes of MQTT 3.1.1 (§3.2.2.3) in those of MQTT 5; a broker of 3.1.1 answers so on MQTT 5, too.
_RETURN_CODES = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """What a client says first. A password needs a user name (MQTT 3.1.1 §3.1.2.9)."""

    level: int
    client_id: str
    clean: bool
    keep_alive_seconds: int
    session_expiry_seconds: int = 0
    receive_maximum: int = LARGEST_RECEIVE_MAXIMUM
    user: str | None = None
    password: str | None = None
    will: Outbound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connack:
    """What the broker answers, and its limits."""

    reason_code: int
    session_present: bool = False
    receive_maximum: int = LARGEST_RECEIVE_MAXIMUM
    maximum_packet_bytes: int | None = None
    maximum_qos: int = 2
    retain_available: bool = True
    keep_alive_seconds: int | None = None
    """The keep-alive that holds instead of ours (MQTT 5.0 §3.2.2.3.14)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misspelt:
    """A PUBLISH that cannot be read, though it can be acknowledged; the identifier is 0 with QoS 0."""

    packet_id: int


def encode_connect(packet: Connect) -> bytes:
    """CONNECT (§3.1)."""
    will = packet.will
    flags = 0x02 * packet.clean | 0x80 * (packet.user is not None) | 0x40 * (packet.password is not None)
    head = b"\x00\x04MQTT" + bytes((packet.level,))
    texts = [packet.client_id.encode()]
    if will is not None:
        flags |= 0x04 | will.qos << 3 | 0x20 * will.retain
        texts += [will.topic.encode(), will.payload]
    texts += [text.encode() for text in (packet.user, packet.password) if text is not None]
    fields = [encode_string(text) for text in texts]
    properties = b""
    if packet.level == MQTT_5:
        properties = encode_properties(
            {
                encodings.SESSION_EXPIRY_INTERVAL: packet.session_expiry_seconds,
                encodings.RECEIVE_MAXIMUM: packet.receive_maximum,
            }
        )
        if will is not None:
            fields.insert(1, encode_properties({}))
    keep_alive = packet.keep_alive_seconds.to_bytes(2, "big")
    return _packet(0x10, head + bytes((flags,)) + keep_alive + properties + b"".join(fields))


def decode_connack(body: bytes, level: int) -> Connack:
    """CONNACK (§3.2)."""
    if len(body) < 2 or body[0] > 1:  # noqa: PLR2004 - flags and reason code
        raise MalformedPacket("a CONNACK that is none")
    code = _RETURN_CODES.get(body[1], body[1])
    if 0 < code < REFUSED:
        raise MalformedPacket(f"a CONNACK with reason code {code:#04x}")
    present = bool(body[0])
    if level != MQTT_5 or len(body) == 2:  # noqa: PLR2004 - a broker of MQTT 3.1.1 refuses MQTT 5 in its own form
        return Connack(reason_code=code, session_present=present)
    properties, _ = decode_properties(body, 2)

    def number(identifier: int, otherwise: int) -> int:
        value = properties.get(identifier, otherwise)
        return value if isinstance(value, int) else otherwise

    return Connack(
        reason_code=code,
        session_present=present,
        receive_maximum=number(encodings.RECEIVE_MAXIMUM, LARGEST_RECEIVE_MAXIMUM) or 1,
        maximum_packet_bytes=number(encodings.MAXIMUM_PACKET_SIZE, 0) or None,
        maximum_qos=number(encodings.MAXIMUM_QOS, 2),
        retain_available=bool(number(encodings.RETAIN_AVAILABLE, 1)),
        keep_alive_seconds=number(encodings.SERVER_KEEP_ALIVE, 0)
        if encodings.SERVER_KEEP_ALIVE in properties
        else None,
    )


def encode_publish(message: Outbound, packet_id: int, level: int) -> bytes:
    """PUBLISH (§3.3); the identifier is left out with QoS 0."""
    topic, payload = message.topic.encode(), message.payload
    middle = packet_id.to_bytes(2, "big") if message.qos else b""
    if level == MQTT_5:
        data = message.correlation_data
        middle += b"\x00" if data is None else encode_properties({encodings.CORRELATION_DATA: data})
    size = encode_integer(2 + len(topic) + len(middle) + len(payload))
    first = 0x30 | message.qos << 1 | message.retain
    return b"".join((bytes((first,)), size, len(topic).to_bytes(2, "big"), topic, middle, payload))


def decode_publish(first: int, body: bytes, level: int) -> Inbound | Misspelt:
    """PUBLISH (§3.3) with QoS 0 or 1, which is all that we subscribe to; `first` is the packet's first byte."""
    qos, size, packet_id = first >> 1 & 3, len(body), 0
    # Spelled out: `int.from_bytes` of a slice takes three times as long.
    end = at = _PACKET_ID + (body[0] << 8 | body[1] if size >= _PACKET_ID else 0)
    if qos:
        at += _PACKET_ID
        packet_id = body[end] << 8 | body[end + 1] if size >= at else 0
    if qos >= _QOS_2 or size < at or bool(qos) != bool(packet_id):
        raise MalformedPacket(f"a PUBLISH with QoS {qos}, identifier {packet_id} and {size} bytes")
    response_topic: bytes | None = None
    correlation_data: bytes | None = None
    if level == MQTT_5:
        if size > at and not body[at]:
            at += 1
        else:
            response_topic, correlation_data, at = _request(body, at)
    try:
        return Inbound(
            topic=body[2:end].decode(),
            payload=body[at:],
            qos=qos,
            retain=bool(first & 1),
            duplicate=bool(first & 8),
            packet_id=packet_id,
            response_topic=None if response_topic is None else response_topic.decode(),
            correlation_data=correlation_data,
        )
    except UnicodeDecodeError:
        return Misspelt(packet_id=packet_id)


def encode_pubacks(packet_ids: Iterable[int]) -> bytes:
    """One PUBACK for each, in order: success, which needs no reason code (§3.4.2.1)."""
    return b"".join([b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids])


def decode_puback(body: bytes) -> tuple[int, int]:
    """PUBACK (§3.4): identifier and reason code."""
    if len(body) == _PACKET_ID:
        return body[0] << 8 | body[1], 0
    if len(body) < _PACKET_ID:
        raise MalformedPacket("a PUBACK without identifier")
    return int.from_bytes(body[:_PACKET_ID], "big"), body[_PACKET_ID]


def encode_subscribe(
    subscriptions: Sequence[Subscription], packet_id: int, level: int, *, read_retained: bool = False
) -> bytes:
    """SUBSCRIBE with QoS 1 (§3.8).

    On MQTT 5 retained messages come only when asked for, and live ones keep their retain flag.
    """
    fields = [packet_id.to_bytes(2, "big")]
    options = 1
    if level == MQTT_5:
        fields.append(encode_properties({}))
        options |= _RETAIN_AS_PUBLISHED | (0 if read_retained else _DO_NOT_SEND)
    for subscription in subscriptions:
        own = _NO_LOCAL if level == MQTT_5 and not subscription.echo else 0
        fields.append(encode_string(subscription.topic_filter.encode()) + bytes((options | own,)))
    return _packet(0x82, b"".join(fields))


def decode_suback(body: bytes, level: int) -> tuple[int, list[int]]:
    """SUBACK (§3.9): identifier, and a reason code for each subscription."""
    at = _PACKET_ID
    if level == MQTT_5:
        _, at = decode_properties(body, at)
    if len(body) <= at:
        raise MalformedPacket("a SUBACK without reason codes")
    return int.from_bytes(body[:_PACKET_ID], "big"), list(body[at:])


def encode_unsubscribe(topic_filters: Iterable[str], packet_id: int, level: int) -> bytes:
    """UNSUBSCRIBE (§3.10)."""
    properties = encode_properties({}) if level == MQTT_5 else b""
    filters = b"".join([encode_string(topic_filter.encode()) for topic_filter in topic_filters])
    return _packet(0xA2, packet_id.to_bytes(2, "big") + properties + filters)


def decode_unsuback(body: bytes) -> int:
    """UNSUBACK (§3.11): identifier. Whether there was such a subscription does not matter."""
    if len(body) < _PACKET_ID:
        raise MalformedPacket("an UNSUBACK without identifier")
    return int.from_bytes(body[:_PACKET_ID], "big")


def encode_disconnect(reason_code: int, level: int) -> bytes:
    """DISCONNECT (§3.14); without a reason code on MQTT 3.1.1, and where it is 0."""
    return _packet(0xE0, bytes((reason_code,)) if level == MQTT_5 and reason_code else b"")


def decode_disconnect(body: bytes) -> int:
    """DISCONNECT (§3.14): the reason code, 0 when there is none."""
    return body[0] if body else 0


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + encode_integer(len(body)) + body


def _request(body: bytes, at: int) -> tuple[bytes | None, bytes | None, int]:
    """Response topic and correlation data of a PUBLISH's properties at `at`, and where these end."""
    if at == len(body):
        raise MalformedPacket("a PUBLISH without the length of its properties")
    properties, end = decode_properties(body, at)
    found = (properties.get(encodings.RESPONSE_TOPIC), properties.get(encodings.CORRELATION_DATA))
    response_topic, correlation_data = (value if isinstance(value, bytes) else None for value in found)
    return response_topic, correlation_data, end
