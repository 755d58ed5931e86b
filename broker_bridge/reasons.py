"""What a broker's reason code means for the next attempt.

Spec: MQTT 5.0 §2.4, §3.2.2.2 (CONNACK), §3.14.2.1 (DISCONNECT); codes of MQTT 3.1.1 arrive mapped onto these.
Layer: adapter; pure.
"""

from __future__ import annotations

MALFORMED_PACKET = 0x81
TOPIC_NAME_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
RETAIN_NOT_SUPPORTED = 0x9A
QOS_NOT_SUPPORTED = 0x9B
SESSION_TAKEN_OVER = 0x8E

_FOR_GOOD = frozenset(
    {
        0x84,  # unsupported protocol version
        0x85,  # client identifier not valid
        0x86,  # bad user name or password
        0x87,  # not authorized
        0x8A,  # banned
        0x8C,  # bad authentication method
    }
)
_NEEDS_A_PERSON = _FOR_GOOD | {SESSION_TAKEN_OVER, 0x98}  # 0x98: administrative action

_NAMES = {
    0x00: "Normal disconnection",
    0x04: "Disconnect with Will Message",
    0x80: "Unspecified error",
    0x81: "Malformed Packet",
    0x82: "Protocol Error",
    0x83: "Implementation specific error",
    0x84: "Unsupported Protocol Version",
    0x85: "Client Identifier not valid",
    0x86: "Bad User Name or Password",
    0x87: "Not authorized",
    0x88: "Server unavailable",
    0x89: "Server busy",
    0x8A: "Banned",
    0x8B: "Server shutting down",
    0x8C: "Bad authentication method",
    0x8D: "Keep Alive timeout",
    0x8E: "Session taken over",
    0x8F: "Topic Filter invalid",
    0x90: "Topic Name invalid",
    0x93: "Receive Maximum exceeded",
    0x94: "Topic Alias invalid",
    0x95: "Packet too large",
    0x96: "Message rate too high",
    0x97: "Quota exceeded",
    0x98: "Administrative action",
    0x99: "Payload format invalid",
    0x9A: "Retain not supported",
    0x9B: "QoS not supported",
    0x9C: "Use another server",
    0x9D: "Server moved",
    0x9E: "Shared Subscriptions not supported",
    0x9F: "Connection rate exceeded",
    0xA0: "Maximum connect time",
    0xA1: "Subscription Identifiers not supported",
    0xA2: "Wildcard Subscriptions not supported",
}


def is_for_good(reason_code: int) -> bool:
    """Whether a CONNACK with this code would come again and again."""
    return reason_code in _FOR_GOOD


def needs_a_person(reason_code: int | None) -> bool:
    """Whether the next attempt should take its time; None is a connection that ended without a code."""
    return reason_code in _NEEDS_A_PERSON


def name(reason_code: int) -> str:
    """The specification's name for a reason code of CONNACK or DISCONNECT."""
    return _NAMES.get(reason_code, f"reason code {reason_code:#04x}")
