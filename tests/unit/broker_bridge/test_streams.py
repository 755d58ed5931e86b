"""Packets are the same however the network cuts the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_bridge.errors import MalformedPacket
from broker_bridge.streams import Stream
from tests.unit.broker_bridge.scripted_brokers import encoded

PACKETS = [(0xD0, b""), (0x40, b"\x00\x07"), (0x32, b"x" * 127), (0x30, b"y" * 128), (0x31, b"z" * 16_384)]
BYTES = b"".join(encoded(first, body) for first, body in PACKETS)


def taken(*pieces: bytes, limit: int = 100) -> list[tuple[int, bytes]]:
    stream, packets = Stream(), []
    for piece in pieces:
        stream.feed(piece)
        while batch := stream.take(limit):
            packets += batch
    return packets


def test_several_packets_in_one_read() -> None:
    assert taken(BYTES) == PACKETS


def test_a_packet_in_one_byte_reads() -> None:
    assert taken(*(BYTES[at : at + 1] for at in range(len(BYTES)))) == PACKETS


def test_a_cut_at_every_byte_boundary() -> None:
    for at in range(len(BYTES) + 1):
        assert taken(BYTES[:at], BYTES[at:]) == PACKETS, at


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=8), st.data(), st.integers(1, 9))
def test_any_packets_in_any_pieces(packets: list[tuple[int, bytes]], data: st.DataObject, limit: int) -> None:
    whole = b"".join(encoded(first, body) for first, body in packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert taken(*pieces, limit=limit) == packets


def test_no_more_than_the_limit_at_a_time() -> None:
    stream = Stream()
    stream.feed(BYTES)
    assert stream.take(2) == PACKETS[:2]
    assert stream.more
    assert stream.take(9) == PACKETS[2:]
    assert not stream.more
    assert stream.take(9) == []


def test_a_packet_that_is_not_whole_is_not_looked_at_again_before_it_can_be() -> None:
    stream = Stream()
    stream.feed(encoded(0x30, bytes(1_000_000))[:100])
    assert stream.take(9) == []
    pieces = [b"x" * 1000] * 900
    for piece in pieces:
        stream.feed(piece)
        assert stream.take(9) == []
    assert len(stream._pieces) == 901, "put together once, when all is there"


def test_a_length_of_five_bytes_is_malformed_after_what_came_before_it() -> None:
    stream = Stream()
    stream.feed(encoded(0xD0, b"") + b"\x30\x80\x80\x80\x80\x01")
    assert stream.take(9) == [(0xD0, b"")]
    with pytest.raises(MalformedPacket):
        stream.take(9)


def test_the_largest_length_is_waited_for() -> None:
    stream = Stream()
    stream.feed(b"\x30\xff\xff\xff\x7f" + bytes(1000))
    assert stream.take(9) == []
