"""MQTT's data types, by the specification's own examples and as inverse pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_bridge.encodings import (
    CORRELATION_DATA,
    LARGEST_INTEGER,
    MAXIMUM_PACKET_SIZE,
    RECEIVE_MAXIMUM,
    RESPONSE_TOPIC,
    RETAIN_AVAILABLE,
    Properties,
    decode_integer,
    decode_properties,
    decode_string,
    encode_integer,
    encode_properties,
    encode_string,
)
from broker_bridge.errors import MalformedPacket

PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        RESPONSE_TOPIC: st.binary(max_size=300),
        CORRELATION_DATA: st.binary(max_size=300),
        RECEIVE_MAXIMUM: st.integers(0, 0xFFFF),
        RETAIN_AVAILABLE: st.integers(0, 1),
        MAXIMUM_PACKET_SIZE: st.integers(0, 0xFFFFFFFF),
        0x0B: st.integers(1, LARGEST_INTEGER),
    },
)


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        # MQTT 5.0 §1.5.5, table 1-1.
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (16_383, b"\xff\x7f"),
        (16_384, b"\x80\x80\x01"),
        (2_097_151, b"\xff\xff\x7f"),
        (2_097_152, b"\x80\x80\x80\x01"),
        (LARGEST_INTEGER, b"\xff\xff\xff\x7f"),
    ],
)
def test_integers_of_the_specification(number: int, encoded: bytes) -> None:
    assert encode_integer(number) == encoded
    assert decode_integer(b"." + encoded + b".", 1) == (number, 1 + len(encoded))
    for length in range(len(encoded)):
        assert decode_integer(encoded[:length], 0) is None


def test_an_integer_of_five_bytes_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        decode_integer(b"\x80\x80\x80\x80\x01", 0)


@given(st.integers(0, LARGEST_INTEGER))
def test_integers_come_back(number: int) -> None:
    encoded = encode_integer(number)
    assert decode_integer(encoded, 0) == (number, len(encoded))


def test_a_string_of_the_specification() -> None:
    # MQTT 5.0 §1.5.4.1, figure 1-2: "A" and U+2A6D4.
    assert encode_string("A𪛔".encode()) == b"\x00\x05\x41\xf0\xaa\x9b\x94"


@given(st.binary(max_size=400))
def test_strings_come_back_and_cut_ones_are_malformed(data: bytes) -> None:
    encoded = encode_string(data)
    assert decode_string(encoded + b"more", 0) == (data, len(encoded))
    for length in (0, 1, len(encoded) - 1):
        with pytest.raises(MalformedPacket):
            decode_string(encoded[:length], 0)


@given(PROPERTIES)
def test_properties_come_back(properties: Properties) -> None:
    encoded = encode_properties(properties)
    assert decode_properties(b"." + encoded, 1) == (properties, 1 + len(encoded))


def test_user_properties_are_skipped_and_none_may_be_absent() -> None:
    assert decode_properties(b"\x0b\x26\x00\x01k\x00\x01v\x25\x00\x24\x01", 0) == ({0x25: 0, 0x24: 1}, 12)
    assert decode_properties(b"", 0) == ({}, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",  # longer than the packet
        b"\x80",  # a length that is not whole
        b"\x02\x05\x00",  # unknown
        b"\x04\x25\x00\x25\x00",  # stands twice
        b"\x02\x21\x00",  # a number that is cut
        b"\x02\x0b\x80",  # an integer that is cut
        b"\x03\x09\x00\x05",  # data that is cut
        b"\x02\x21\x00\x14",  # longer than the properties say
        b"\x04\x26\x00\x01k",  # half a pair
    ],
)
def test_bad_properties_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_properties(data, 0)


@given(st.binary(max_size=60))
def test_any_bytes_are_properties_or_malformed(data: bytes) -> None:
    try:
        _, end = decode_properties(data, 0)
    except MalformedPacket:
        return
    assert end <= len(data)
