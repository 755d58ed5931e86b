"""Decides whether a client may come in to the embedded broker, from its CONNECT packet alone.

Rules:
- Only MQTT 3.1.1. Others are answered in their own version's form, so that they can say why.
- amqtt stalls on keep-alive 0, which means "none": the longest that there is takes its place.
- amqtt gives the subscriptions of one client without an ID to the next: such a client gets an ID of its own here.
- Everything else in the packet is handed on byte by byte.

Spec: MQTT 3.1.1 §3.1 CONNECT, §3.1.3.1 (client ID), §3.2.2.3 (return codes); MQTT 5.0 §3.2.2.2 (reason codes).
Layer: adapter; pure.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_PACKET = 300_000
"""Bytes of a CONNECT that are read: client ID, will topic, will message, user and password of 64 KiB each."""

_CONNECT = 0x10
_CLEAN_SESSION = 0x02
_LONGEST_KEEP_ALIVE = 0xFFFF
_MQTT_5 = 5
_BAD_PROTOCOL_VERSION = b"\x20\x02\x00\x01"
_BAD_CLIENT_ID = b"\x20\x02\x00\x02"
_UNSUPPORTED_IN_MQTT_5 = b"\x20\x03\x00\x84\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A client that may come in: its ID, and the packet to hand on."""

    client_id: str
    packet: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A client that may not, and what to tell it; an empty answer only ends the connection."""

    reason: str
    answer: bytes = b""


def begins(first: int) -> bool:
    """Whether a packet with this first byte is a CONNECT."""
    return first == _CONNECT


def admit(body: bytes, *, new_id: str) -> Admitted | Refused:
    """Judge a CONNECT by what follows its fixed header; `new_id` is for a client that brings none."""
    name, rest = _string(body)
    if name is None or len(rest) < 4:  # noqa: PLR2004 - level, flags and keep-alive
        return Refused(reason="its CONNECT is malformed")
    level, flags, keep_alive = rest[0], rest[1], int.from_bytes(rest[2:4])
    if (name, level) != (b"MQTT", 4):
        answer = _UNSUPPORTED_IN_MQTT_5 if level == _MQTT_5 else _BAD_PROTOCOL_VERSION
        return Refused(reason=f"it speaks protocol level {level}, not MQTT 3.1.1", answer=answer)
    client_id, payload = _string(rest[4:])
    if client_id is None:
        return Refused(reason="its CONNECT is malformed")
    if not client_id and not flags & _CLEAN_SESSION:
        return Refused(reason="it wants a session and has no client ID", answer=_BAD_CLIENT_ID)
    try:
        named = client_id.decode() or new_id
    except UnicodeDecodeError:
        return Refused(reason="its client ID is not UTF-8", answer=_BAD_CLIENT_ID)
    lasting = (keep_alive or _LONGEST_KEEP_ALIVE).to_bytes(2)
    rebuilt = b"\x00\x04MQTT\x04" + bytes((flags,)) + lasting + _length_first(named.encode()) + payload
    return Admitted(client_id=named, packet=bytes((_CONNECT,)) + remaining_length(len(rebuilt)) + rebuilt)


def remaining_length(size: int) -> bytes:
    """A packet's remaining length as the fixed header carries it (MQTT 3.1.1 §2.2.3)."""
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


def _string(data: bytes) -> tuple[bytes | None, bytes]:
    end = 2 + int.from_bytes(data[:2])
    return (None, data) if len(data) < end else (data[2:end], data[end:])


def _length_first(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data
