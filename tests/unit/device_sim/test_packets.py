"""MQTT 3.1.1 byte by byte, and whatever else may arrive."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim import packets
from device_sim.errors import MalformedPacketError
from device_sim.packets import Connack, Decoder, Packet, Pingresp, Puback, Publish, Suback, Unsuback

TOPICS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MESSAGES = st.builds(
    Publish, topic=TOPICS, payload=st.binary(max_size=300), retain=st.booleans(), dup=st.booleans()
) | st.builds(
    Publish,
    topic=TOPICS,
    payload=st.binary(max_size=300),
    qos=st.just(1),
    retain=st.booleans(),
    dup=st.booleans(),
    packet_id=st.integers(1, 65535),
)


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (packets.connect("a", 60), "100d00044d5154540402003c000161"),
        (packets.connect("a", 60, "u", "p"), "101300044d51545404c2003c000161000175000170"),
        (packets.connect("a", 1, "u"), "101000044d515454048200010001610001" + "75"),
        (packets.subscribe(10, ["a/b", "c"], 1), "820c" + "000a" + "0003612f6201" + "00016301"),
        (packets.unsubscribe(10, ["a/b"]), "a207000a0003612f62"),
        (packets.publish(Publish(topic="a/b", payload=b"hi")), "30070003612f626869"),
        (packets.publish(Publish(topic="a/b", payload=b"hi", qos=1, packet_id=10)), "32090003612f62000a6869"),
        (packets.publish(Publish(topic="a", payload=b"", retain=True)), "3103000161"),
        (packets.puback(0x1234), "40021234"),
        (packets.PINGREQ, "c000"),
        (packets.DISCONNECT, "e000"),
    ],
)
def test_packets_are_built_as_the_specification_has_them(built: bytes, expected: str) -> None:
    assert built.hex() == expected


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151])
def test_the_remaining_length_takes_as_many_bytes_as_it_needs(size: int) -> None:
    message = Publish(topic="", payload=bytes(max(size - 2, 0)))
    built = packets.publish(message)
    assert len(built) - max(size, 2) == 1 + (1 + (size > 127) + (size > 16_383))
    assert list(Decoder().feed(built)) == [message]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("20020100", Connack(session_present=True, code=0)),
        ("20020005", Connack(session_present=False, code=5)),
        ("40021234", Puback(packet_id=0x1234)),
        ("9004000a0180", Suback(packet_id=10, codes=(1, 0x80))),
        ("b002000a", Unsuback(packet_id=10)),
        ("d000", Pingresp()),
    ],
)
def test_what_a_broker_sends_is_read(data: str, expected: Packet) -> None:
    assert list(Decoder().feed(bytes.fromhex(data))) == [expected]


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 9))
def test_messages_come_back_whatever_the_pieces(messages: list[Publish], size: int) -> None:
    stream = b"".join(map(packets.publish, messages))
    decoder = Decoder()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [packet for piece in pieces for packet in decoder.feed(piece)] == messages


@pytest.mark.parametrize(
    "data",
    [
        "20ffffffff01",  # five bytes of length
        "3480",  # QoS 2, not complete: only the length is looked at
        "340600016100ff00"[:16],  # QoS 2
        "360600016100ff00",  # QoS 3
        "300100",  # shorter than its topic's length
        "30030005",  # the topic is not there
        "3203000161",  # no packet identifier
        "3003" + "0001" + "ff",  # a topic that is not UTF-8
        "2103" + "000000",  # flags
        "1000",  # CONNECT is not for clients
        "2001" + "00",
        "90020001",  # SUBACK for nothing
        "d00100",
        "00" + "00",
    ],
)
def test_what_is_no_packet_for_a_client_is_refused(data: str) -> None:
    decoder = Decoder(limit=64)
    with pytest.raises(MalformedPacketError):
        list(decoder.feed(bytes.fromhex(data + "ff" * 200)))


def test_a_packet_over_the_limit_is_refused_before_it_has_arrived() -> None:
    assert list(Decoder(limit=100).feed(bytes.fromhex("3064"))) == []
    with pytest.raises(MalformedPacketError, match="101 bytes, the limit is 100"):
        list(Decoder(limit=100).feed(bytes.fromhex("3065")))


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_packets_or_refused(pieces: list[bytes]) -> None:
    decoder = Decoder(limit=1000)
    with suppress(MalformedPacketError):
        for piece in pieces:
            assert all(isinstance(packet, Packet) for packet in decoder.feed(piece))
