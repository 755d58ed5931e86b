"""Packets as bytes: the specification's words, an independent codec as the oracle, and inverse pairs."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_bridge.errors import MalformedPacket
from broker_bridge.packets import (
    Connack,
    Connect,
    Misspelt,
    decode_connack,
    decode_disconnect,
    decode_puback,
    decode_publish,
    decode_suback,
    decode_unsuback,
    encode_connect,
    encode_disconnect,
    encode_pubacks,
    encode_publish,
    encode_subscribe,
    encode_unsubscribe,
)
from broker_bridge.streams import Stream
from device_sim import packets as oracle
from protocol.links import Inbound, Outbound, Subscription

WILL = Outbound(topic="w", payload=b"gone", qos=1, retain=True)
TOPICS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
PACKET_IDS = st.integers(1, 65_535)


def body(packet: bytes) -> tuple[int, bytes]:
    """The one packet in these bytes: its first byte, and what follows the fixed header."""
    stream = Stream()
    stream.feed(packet)
    ((first, rest),) = stream.take(2)
    return first, rest


def test_connect_on_mqtt_5() -> None:
    packet = encode_connect(
        Connect(
            level=5,
            client_id="c",
            clean=False,
            keep_alive_seconds=30,
            session_expiry_seconds=604_800,
            receive_maximum=0x1234,
            user="u",
            password="p",
            will=WILL,
        )
    )
    assert packet == b"".join(
        [
            b"\x10\x26",  # §3.1.1
            b"\x00\x04MQTT\x05",  # §3.1.2.1, §3.1.2.2
            b"\xec",  # §3.1.2.3: user, password, retained will with QoS 1, no clean start
            b"\x00\x1e",  # §3.1.2.10 keep-alive
            b"\x08" + b"\x11\x00\x09\x3a\x80" + b"\x21\x12\x34",  # §3.1.2.11.2 session expiry, .3 receive maximum
            b"\x00\x01c",  # §3.1.3.1
            b"\x00" + b"\x00\x01w" + b"\x00\x04gone",  # §3.1.3.2-4
            b"\x00\x01u" + b"\x00\x01p",  # §3.1.3.5, §3.1.3.6
        ]
    )


def test_connect_on_mqtt_3_1_1() -> None:
    connect = Connect(level=4, client_id="c", clean=False, keep_alive_seconds=30, user="u", password="p", will=WILL)
    # MQTT 3.1.1 §3.1
    assert (
        encode_connect(connect)
        == b"\x10\x1c\x00\x04MQTT\x04\xec\x00\x1e\x00\x01c\x00\x01w\x00\x04gone\x00\x01u\x00\x01p"
    )


@given(TOPICS, st.integers(1, 65_535), st.none() | TOPICS, st.none() | TOPICS)
def test_connect_on_mqtt_3_1_1_is_what_another_codec_makes_of_it(
    client_id: str, keep_alive: int, user: str | None, password: str | None
) -> None:
    connect = Connect(
        level=4, client_id=client_id, clean=True, keep_alive_seconds=keep_alive, user=user, password=password
    )
    assert encode_connect(connect) == oracle.connect(client_id, keep_alive, user, password)


@pytest.mark.parametrize(
    ("level", "data", "expected"),
    [
        (5, b"\x01\x00\x00", Connack(reason_code=0, session_present=True)),
        (4, b"\x01\x00", Connack(reason_code=0, session_present=True)),
        (5, b"\x00\x87\x00", Connack(reason_code=0x87)),
        # MQTT 3.1.1 §3.2.2.3; a broker that does not know MQTT 5 answers so, too.
        *((level, bytes((0, code)), Connack(reason_code=mapped))
          for level in (4, 5)
          for code, mapped in ((1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87))),
        (
            5,
            b"\x00\x00\x11\x21\x00\x14\x24\x01\x25\x00\x27\x00\x00\x10\x00\x13\x00\x0a\x2a\x00",
            Connack(
                reason_code=0,
                receive_maximum=20,
                maximum_qos=1,
                retain_available=False,
                maximum_packet_bytes=4096,
                keep_alive_seconds=10,
            ),
        ),
    ],
)  # fmt: skip
def test_connack(level: int, data: bytes, expected: Connack) -> None:
    assert decode_connack(data, level) == expected


def test_publish_of_the_specification() -> None:
    # §3.3.1-3.3.3; on MQTT 5 an empty set of properties (§3.3.2.3.1).
    message = Outbound(topic="a/b", payload=b"x", retain=True)
    assert encode_publish(message, 10, 5) == b"\x33\x09\x00\x03a/b\x00\x0a\x00x"
    assert encode_publish(message, 10, 4) == b"\x33\x08\x00\x03a/b\x00\x0ax"
    assert encode_publish(Outbound(topic="a/b", payload=b"", qos=0), 10, 4) == b"\x30\x05\x00\x03a/b"


@pytest.mark.parametrize(("level", "data"), [(5, b"\x00\x01t\x00\x03\x05\x09\x00\x02c7x"), (4, b"\x00\x01t\x00\x03x")])
def test_correlation_data_goes_where_it_can(level: int, data: bytes) -> None:
    message = Outbound(topic="t", payload=b"x", correlation_data=b"c7")
    assert body(encode_publish(message, 3, level)) == (0x32, data)


@given(
    st.builds(
        Outbound,
        topic=TOPICS,
        payload=st.binary(max_size=300),
        qos=st.integers(0, 1),
        retain=st.booleans(),
        correlation_data=st.none() | st.binary(max_size=200),
    ),
    PACKET_IDS,
    st.sampled_from([4, 5]),
)
def test_messages_come_back(message: Outbound, packet_id: int, level: int) -> None:
    assert decode_publish(*body(encode_publish(message, packet_id, level)), level) == Inbound(
        topic=message.topic,
        payload=message.payload,
        qos=message.qos,
        retain=message.retain,
        packet_id=packet_id if message.qos else 0,
        correlation_data=message.correlation_data if level == 5 else None,
    )


@given(TOPICS, st.binary(max_size=300), st.none() | PACKET_IDS, st.booleans())
def test_messages_on_mqtt_3_1_1_are_what_another_codec_makes_of_them(
    topic: str, payload: bytes, packet_id: int | None, retain: bool
) -> None:
    theirs = oracle.publish(
        oracle.Publish(topic=topic, payload=payload, qos=packet_id is not None, retain=retain, packet_id=packet_id)
    )
    ours = Outbound(topic=topic, payload=payload, qos=packet_id is not None, retain=retain)
    assert encode_publish(ours, packet_id or 0, 4) == theirs


def test_what_a_request_brings_on_mqtt_5() -> None:
    properties = b"\x01\x01" + b"\x08\x00\x03r/t" + b"\x09\x00\x02c7" + b"\x26\x00\x01k\x00\x01v"
    data = b"\x00\x01t\x00\x07" + bytes((len(properties),)) + properties + b"{}"
    assert decode_publish(0x3B, data, 5) == Inbound(
        topic="t", payload=b"{}", qos=1, retain=True, duplicate=True, packet_id=7,
        response_topic="r/t", correlation_data=b"c7",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "data", "packet_id"),
    [
        (0x32, b"\x00\x02\xff\xfe\x00\x08\x00", 8),
        (0x30, b"\x00\x01\xff\x00", 0),
        (0x32, b"\x00\x01t\x00\x09\x04\x08\x00\x01\xff", 9),  # the response topic
    ],
)
def test_a_topic_that_is_not_utf_8_can_still_be_acknowledged(first: int, data: bytes, packet_id: int) -> None:
    assert decode_publish(first, data, 5) == Misspelt(packet_id=packet_id)


@pytest.mark.parametrize(
    ("first", "data"),
    [
        (0x34, b"\x00\x01t\x00\x07\x00"),  # QoS 2, which nobody asked for
        (0x36, b"\x00\x01t\x00\x07\x00"),  # QoS 3 (§3.3.1.2)
        (0x32, b"\x00\x01t\x00\x00\x00"),  # identifier 0 (§2.2.1)
        (0x32, b"\x00\x01t\x00"),
        (0x30, b"\x00\x09t\x00"),
        (0x30, b"\x00"),
        (0x30, b""),
        (0x30, b"\x00\x01t"),  # no properties, not even none
        (0x30, b"\x00\x01t\x09"),
    ],
)
def test_malformed_messages(first: int, data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_publish(first, data, 5)


@given(st.integers(0x30, 0x3F), st.binary(max_size=40), st.sampled_from([4, 5]))
def test_any_bytes_are_a_message_or_malformed(first: int, data: bytes, level: int) -> None:
    with suppress(MalformedPacket):
        assert isinstance(decode_publish(first, data, level), Inbound | Misspelt)


@given(st.lists(PACKET_IDS, max_size=20))
def test_acknowledgements_come_back(packet_ids: list[int]) -> None:
    assert encode_pubacks(packet_ids) == b"".join(map(oracle.puback, packet_ids))
    stream = Stream()
    stream.feed(encode_pubacks(packet_ids))
    assert [decode_puback(data) for _, data in stream.take(99)] == [(packet_id, 0) for packet_id in packet_ids]


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        # §3.4.2: without reason code; with one; with properties after it.
        (b"\x00\x07", (7, 0)),
        (b"\x12\x34\x87", (0x1234, 0x87)),
        (b"\x00\x07\x10\x00", (7, 0x10)),
    ],
)
def test_puback(data: bytes, answer: tuple[int, int]) -> None:
    assert decode_puback(data) == answer


def test_subscription_options_on_mqtt_5() -> None:
    both = [Subscription(topic_filter="a"), Subscription(topic_filter="b", echo=True)]
    # §3.8.3.1: QoS 1; no-local 4; retain as published 8; retain handling "do not send" 0x20.
    usual = encode_subscribe(both, 9, 5)
    assert usual == b"\x82\x0b\x00\x09\x00\x00\x01a\x2d\x00\x01b\x29"
    reading = encode_subscribe(both, 9, 5, read_retained=True)
    assert reading == b"\x82\x0b\x00\x09\x00\x00\x01a\x0d\x00\x01b\x09"


@given(st.lists(TOPICS, min_size=1, max_size=9), PACKET_IDS)
def test_subscriptions_on_mqtt_3_1_1_are_what_another_codec_makes_of_them(filters: list[str], packet_id: int) -> None:
    ours = encode_subscribe([Subscription(topic_filter=each) for each in filters], packet_id, 4)
    assert ours == oracle.subscribe(packet_id, filters, 1)


@given(PACKET_IDS, st.lists(TOPICS, min_size=1, max_size=3))
def test_unsubscribe_on_mqtt_3_1_1_is_what_another_codec_makes_of_it(packet_id: int, filters: list[str]) -> None:
    assert encode_unsubscribe(filters, packet_id, 4) == oracle.unsubscribe(packet_id, filters)


def test_unsubscribe_on_mqtt_5_has_properties() -> None:
    assert encode_unsubscribe(["a"], 9, 5) == b"\xa2\x06\x00\x09\x00\x00\x01a"


def test_unsuback_says_which_whatever_came_of_it() -> None:
    assert decode_unsuback(b"\x00\x09") == 9
    assert decode_unsuback(b"\x00\x09\x00\x11") == 9
    with pytest.raises(MalformedPacket):
        decode_unsuback(b"\x00")


def test_suback() -> None:
    assert decode_suback(b"\x00\x09\x00\x01\x87", 5) == (9, [1, 0x87])
    assert decode_suback(b"\x00\x09\x01\x80", 4) == (9, [1, 0x80])


def test_disconnect() -> None:
    # §3.14.2.1: a reason code of 0 may be left out; MQTT 3.1.1 has none.
    assert encode_disconnect(0, 5) == encode_disconnect(0, 4) == encode_disconnect(0x81, 4) == b"\xe0\x00"
    assert encode_disconnect(0x81, 5) == b"\xe0\x01\x81"
    assert [decode_disconnect(data) for data in (b"", b"\x8e", b"\x8e\x00")] == [0, 0x8E, 0x8E]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x02\x00", b"\x00\x06", b"\x00\x00\x05\x21"])
def test_malformed_connack(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_connack(data, 5)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x09", b"\x00\x09\x00", b"\x00\x09\x05\x01"])
def test_malformed_suback(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_suback(data, 5)


@pytest.mark.parametrize("data", [b"", b"\x00"])
def test_malformed_puback(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_puback(data)
