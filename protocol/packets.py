"""How large an MQTT packet is, for those who have to fit one into a buffer.

Spec: MQTT 3.1.1 §2.2.3 (remaining length), §3.3 (PUBLISH).
Layer: protocol; pure.
"""

from __future__ import annotations

_LENGTH_LIMITS = (128, 16_384, 2_097_152)
"""From each of these on the remaining length takes one more byte."""
_TYPE, _TOPIC_LENGTH, _PACKET_ID = 1, 2, 2


def publish_bytes(topic: str, payload_bytes: int) -> int:
    """The bytes of a whole PUBLISH of MQTT 3.1.1 with QoS 1: fixed header, topic, packet identifier, payload.

    With QoS 0 it has two less; with MQTT 5 one more and its properties.
    """
    rest = _TOPIC_LENGTH + len(topic.encode()) + _PACKET_ID + payload_bytes
    return _TYPE + 1 + sum(rest >= limit for limit in _LENGTH_LIMITS) + rest
