"""MQTT's data types, both ways: integers of variable length, strings, binary data, and the properties of MQTT 5.

Rules:
- What is decoded keeps strings as the bytes they came in: whoever needs one as text decides what bad UTF-8 means.
- Only `MalformedPacket` escapes, whatever the bytes are.
- A property that may stand once stands once; user properties are skipped.

Spec: MQTT 5.0 §1.5 (data types), §2.2.2 (properties); MQTT 3.1.1 §1.5, §2.2.3.
Layer: adapter; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from broker_bridge.errors import MalformedPacket

if TYPE_CHECKING:
    from collections.abc import Mapping

Properties: TypeAlias = "dict[int, int | bytes]"
"""Values by property identifier (MQTT 5.0 §2.2.2.2)."""

LARGEST_INTEGER = 268_435_455
"""The largest integer of variable length, and so the largest packet after its fixed header (§1.5.5)."""

SESSION_EXPIRY_INTERVAL = 0x11
SERVER_KEEP_ALIVE = 0x13
RESPONSE_TOPIC = 0x08
CORRELATION_DATA = 0x09
RECEIVE_MAXIMUM = 0x21
MAXIMUM_QOS = 0x24
RETAIN_AVAILABLE = 0x25
MAXIMUM_PACKET_SIZE = 0x27

_CONTINUES = 0x80
_MOST_INTEGER_BYTES = 4
_SUBSCRIPTION_IDENTIFIER = 0x0B
_USER_PROPERTY = 0x26
_VARIABLE, _STRING, _PAIR = 0, -1, -2
# How each property's value is written (§2.2.2.2, table 2-4): its bytes, or one of the three above.
_FORMS = {
    **dict.fromkeys((0x01, 0x17, 0x19, MAXIMUM_QOS, RETAIN_AVAILABLE, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((SERVER_KEEP_ALIVE, RECEIVE_MAXIMUM, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, SESSION_EXPIRY_INTERVAL, 0x18, MAXIMUM_PACKET_SIZE), 4),
    **dict.fromkeys((0x03, RESPONSE_TOPIC, CORRELATION_DATA, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), _STRING),
    _SUBSCRIPTION_IDENTIFIER: _VARIABLE,
    _USER_PROPERTY: _PAIR,
}


def encode_integer(number: int) -> bytes:
    """An integer of variable length, 0 to 268,435,455 (§1.5.5)."""
    if number < _CONTINUES:
        return bytes((number,))
    encoded = bytearray()
    while True:
        number, digit = divmod(number, _CONTINUES)
        encoded.append(digit | (_CONTINUES if number else 0))
        if not number:
            return bytes(encoded)


def decode_integer(data: bytes, at: int) -> tuple[int, int] | None:
    """The integer of variable length at `at`, and where it ends; None while it is not complete.

    Raises:
        MalformedPacket: it has more than four bytes.
    """
    number = shift = 0
    for position in range(at, min(at + _MOST_INTEGER_BYTES, len(data))):
        digit = data[position]
        number |= (digit & 0x7F) << shift
        if digit < _CONTINUES:
            return number, position + 1
        shift += 7
    if len(data) - at >= _MOST_INTEGER_BYTES:
        raise MalformedPacket("an integer of more than four bytes")
    return None


def encode_string(data: bytes) -> bytes:
    """A string or binary data with its length before it, at most 65,535 bytes (§1.5.4, §1.5.6)."""
    return len(data).to_bytes(2, "big") + data


def decode_string(data: bytes, at: int) -> tuple[bytes, int]:
    """The string or binary data at `at`, and where it ends.

    Raises:
        MalformedPacket: the packet ends before it does.
    """
    start = at + 2
    end = start + int.from_bytes(data[at:start], "big")
    if end > len(data) or start > len(data):
        raise MalformedPacket("a string that is longer than its packet")
    return data[start:end], end


def encode_properties(properties: Mapping[int, int | bytes]) -> bytes:
    """Properties with their length before them."""
    encoded = b"".join(bytes((identifier,)) + _encode(identifier, value) for identifier, value in properties.items())
    return encode_integer(len(encoded)) + encoded


def decode_properties(data: bytes, at: int) -> tuple[Properties, int]:
    """The properties at `at`, and where they end; none where the packet ends (§3.4.2.2.1 and its like).

    Raises:
        MalformedPacket: one is unknown, or stands twice, or they are longer than their packet.
    """
    if at == len(data):
        return {}, at
    at, end = _span(data, at)
    found: Properties = {}
    while at < end:
        identifier = data[at]
        value, at = _decode(identifier, data, at + 1)
        if identifier == _USER_PROPERTY:
            continue
        if identifier in found and identifier != _SUBSCRIPTION_IDENTIFIER:
            raise MalformedPacket(f"property {identifier:#04x} stands twice")
        found[identifier] = value
    if at != end:
        raise MalformedPacket("properties that are longer than they say")
    return found, end


def _span(data: bytes, at: int) -> tuple[int, int]:
    length = decode_integer(data, at)
    if length is None or sum(length) > len(data):
        raise MalformedPacket("properties that are longer than their packet")
    size, start = length
    return start, start + size


def _encode(identifier: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return encode_string(value)
    form = _FORMS[identifier]
    return value.to_bytes(form, "big") if form else encode_integer(value)


def _decode(identifier: int, data: bytes, at: int) -> tuple[int | bytes, int]:
    form = _FORMS.get(identifier)
    if form is None:
        raise MalformedPacket(f"an unknown property {identifier:#04x}")
    if form > 0:
        end = at + form
        if end > len(data):
            raise MalformedPacket("a property that is longer than its packet")
        return int.from_bytes(data[at:end], "big"), end
    if form == _VARIABLE:
        number = decode_integer(data, at)
        if number is None:
            raise MalformedPacket("a property that is longer than its packet")
        return number
    if form == _PAIR:
        _, at = decode_string(data, at)
    return decode_string(data, at)
