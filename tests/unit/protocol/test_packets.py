"""The size of a packet is that of the one which the link sends."""

from __future__ import annotations

import pytest

from broker_bridge.packets import encode_publish
from protocol import packets
from protocol.links import Outbound

TOPICS = ("kp1/kettle-v1/cmx_ota/tok7/config/json/status", "kp1/kettle-v1/cmx_ota/größe/config/json/status", "t")


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("rest", [0, 127, 128, 1021, 16_383, 16_384, 2_097_151, 2_097_152])
def test_the_size_is_that_of_the_packet_that_is_sent(topic: str, rest: int) -> None:
    payload = b"x" * max(0, rest - 4 - len(topic.encode()))
    sent = encode_publish(Outbound(topic=topic, payload=payload, retain=True), 7, level=4)
    assert packets.publish_bytes(topic, len(payload)) == len(sent)
