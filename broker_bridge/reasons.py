"""What a broker's reason code means for the next attempt.

Spec: MQTT 5.0 §2.4, §3.2.2.2 (CONNACK), §3.14.2.1 (DISCONNECT); codes of MQTT 3.1.1 arrive mapped onto these.
Layer: adapter; pure.
"""

from __future__ import annotations

TOPIC_NAME_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
RETAIN_NOT_SUPPORTED = 0x9A
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


def is_for_good(reason_code: int) -> bool:
    """Whether a CONNACK with this code would come again and again."""
    return reason_code in _FOR_GOOD


def needs_a_person(reason_code: int | None) -> bool:
    """Whether the next attempt should take its time; None is a connection that ended without a code."""
    return reason_code in _NEEDS_A_PERSON
