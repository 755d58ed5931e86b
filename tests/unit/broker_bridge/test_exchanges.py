"""One connection's dialogue as a script: what is fed, what comes of it, what is sent; no socket, no clock."""

from __future__ import annotations

import pytest

from broker_bridge import profiles
from broker_bridge.exchanges import Ending, Exchange, Turn
from broker_bridge.options import LinkOptions
from broker_bridge.packets import Connack, Misspelt, encode_publish
from protocol.links import Inbound, Outbound, Subscription
from tests.unit.broker_bridge.scripted_brokers import encoded

ACCEPTED = {5: encoded(0x20, b"\x00\x00\x00"), 4: encoded(0x20, b"\x00\x00")}
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
MESSAGE = Outbound(topic="t", payload=b"x")


def begun(level: int = 5) -> Exchange:
    """An exchange that has sent CONNECT at 0 seconds; keep-alive is 30."""
    options = LinkOptions(url="mqtt://h", client_id="c", protocol="5" if level == 5 else "3.1.1")
    exchange = Exchange(profiles.session(options))
    exchange.connect()
    assert exchange.output(0.0)[:1] == b"\x10"
    return exchange


def accepted(level: int = 5, connack: bytes = b"") -> Exchange:
    exchange = begun(level)
    exchange.feed(connack or ACCEPTED[level], 0.0)
    assert exchange.advance(9).accepted is not None
    return exchange


def fed(exchange: Exchange, *pieces: bytes, now: float = 0.0) -> Turn:
    for piece in pieces:
        exchange.feed(piece, now)
    return exchange.advance(99)


def script(level: int) -> bytes:
    """All that a broker says in a short life."""
    code = b"\x10" if level == 5 else b""
    return b"".join(
        [
            ACCEPTED[level],
            encoded(0x90, b"\x00\x01" + (b"\x00" if level == 5 else b"") + b"\x01"),
            encode_publish(Outbound(topic="a", payload=b"y" * 200), 7, level),
            encoded(0x32, b"\x00\x01\xff\x00\x08" + (b"\x00" if level == 5 else b"")),
            PINGRESP,
            encoded(0x40, b"\x00\x02" + code),
            encode_publish(Outbound(topic="b", payload=b"", qos=0), 0, level),
        ]
    )


@pytest.mark.parametrize("level", [5, 4])
def test_the_same_comes_of_it_at_every_byte_boundary(level: int) -> None:
    expected = fed(begun(level), script(level))
    assert expected.accepted == Connack(reason_code=0)
    assert expected.granted == [(1, [1])]
    assert expected.answers == [(2, 0x10 if level == 5 else 0)]
    assert expected.messages == [
        Inbound(topic="a", payload=b"y" * 200, qos=1, packet_id=7),
        Misspelt(packet_id=8),
        Inbound(topic="b", payload=b""),
    ]
    for at in range(len(script(level))):
        exchange, whole = begun(level), Turn()
        for piece in (script(level)[:at], script(level)[at:]):
            turn = fed(exchange, piece)
            whole.messages += turn.messages
            whole.answers += turn.answers
            whole.granted += turn.granted
            whole.accepted = whole.accepted or turn.accepted
        assert whole == expected, at


def test_what_is_queued_leaves_once_and_in_order() -> None:
    exchange = accepted()
    assert exchange.subscribe([Subscription(topic_filter="a")]) == 1
    assert exchange.publish(MESSAGE) == 2
    exchange.acknowledge([7, 9])
    subscribe, publish = b"\x82\x07\x00\x01\x00\x00\x01a\x2d", b"\x32\x07\x00\x01t\x00\x02\x00x"
    assert exchange.output(1.0) == subscribe + publish + b"\x40\x02\x00\x07" + b"\x40\x02\x00\x09"
    assert exchange.output(1.0) == b""


def test_nothing_is_acknowledged_by_itself() -> None:
    exchange = accepted()
    fed(exchange, encode_publish(MESSAGE, 7, 5))
    assert exchange.output(0.0) == b""


def test_qos_0_is_answered_when_it_is_written() -> None:
    exchange = accepted()
    packet_id = exchange.publish(Outbound(topic="t", payload=b"", qos=0))
    assert exchange.output(0.0) == b"\x30\x04\x00\x01t\x00"
    assert exchange.written() == [(packet_id, 0)]
    assert exchange.written() == []


def test_an_identifier_in_flight_is_not_given_again() -> None:
    exchange = accepted()
    assert [exchange.publish(MESSAGE) for _ in range(65_534)] == list(range(1, 65_535))
    fed(exchange, encoded(0x40, b"\x00\x05"), encoded(0x40, b"\x00\x03"))
    assert [exchange.publish(MESSAGE) for _ in range(3)] == [65_535, 3, 5]


def test_no_more_packets_than_asked_for_are_worked_off() -> None:
    exchange = accepted()
    exchange.feed(encode_publish(MESSAGE, 7, 5) * 5, 0.0)
    assert [len(exchange.advance(2).messages) for _ in range(2)] == [2, 2]
    assert exchange.more
    assert len(exchange.advance(2).messages) == 1
    assert not exchange.more


@pytest.mark.parametrize(
    "first", [PINGRESP, encoded(0x40, b"\x00\x01"), b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(99)]
)
def test_whoever_begins_with_something_else_is_no_broker(first: bytes) -> None:
    # MQTT-3.2.0-1
    turn = fed(begun(), first)
    assert turn.accepted is None
    assert turn.ending is not None
    assert "before CONNACK" in turn.ending.reason


@pytest.mark.parametrize(
    "packet",
    [
        encoded(0x20, b"\x00\x00\x00"),  # a second CONNACK
        encoded(0x50, b"\x00\x07"),  # PUBREC: nothing of ours has QoS 2
        encoded(0x62, b"\x00\x07"),  # PUBREL
        encoded(0xF0, b"\x18\x00"),  # AUTH, which we did not begin
        encoded(0x10, b""),  # a client's packet
        encoded(0x00, b""),  # reserved
        encoded(0x34, b"\x00\x01t\x00\x07\x00"),  # QoS 2
        encoded(0x40, b"\x00"),
        b"\x30\xff\xff\xff\xff\x01",
    ],
)
def test_what_is_not_mqtt_ends_the_connection_after_what_came_before_it(packet: bytes) -> None:
    exchange = accepted()
    turn = fed(exchange, encode_publish(MESSAGE, 7, 5) + packet + encode_publish(MESSAGE, 8, 5))
    if turn.ending is None:
        turn.ending = exchange.advance(9).ending
    assert [message.packet_id for message in turn.messages] == [7]
    assert turn.ending is not None
    assert turn.ending.reason_code is None, "it is our word, not the broker's"
    assert exchange.output(0.0) == b"\xe0\x01\x81", "§4.13: DISCONNECT with the reason"
    exchange.acknowledge([7])
    assert exchange.output(0.0) == b""
    assert fed(exchange, encode_publish(MESSAGE, 9, 5)) == Turn()
    assert not exchange.more


def test_mqtt_3_1_1_has_no_goodbye_of_the_broker() -> None:
    assert fed(accepted(5), encoded(0xE0, b"\x8e\x00")).ending == Ending(reason="Session taken over", reason_code=0x8E)
    ending = fed(accepted(4), encoded(0xE0, b"")).ending
    assert ending is not None
    assert ending.reason_code is None


def test_goodbye_is_said_once_and_only_to_who_let_us_in() -> None:
    for exchange, said in ((accepted(), b"\xe0\x00"), (begun(), b"")):
        exchange.disconnect()
        exchange.disconnect()
        assert exchange.output(0.0) == said
    refused = begun()
    assert fed(refused, encoded(0x20, b"\x00\x87\x00")).accepted == Connack(reason_code=0x87)
    refused.disconnect()
    assert refused.output(0.0) == b""


def test_silence_is_broken_at_half_of_the_keep_alive() -> None:
    exchange = accepted()
    assert exchange.tick(14.9, reading=True) is None
    assert exchange.output(14.9) == b""
    exchange.tick(15.0, reading=True)
    assert exchange.output(15.0) == PINGREQ
    exchange.tick(16.0, reading=True)
    assert exchange.output(16.0) == b"", "one ping at a time"
    fed(exchange, PINGRESP, now=16.0)
    exchange.tick(30.0, reading=True)
    assert exchange.output(30.0) == PINGREQ


def test_a_broker_that_does_not_answer_a_ping_is_gone() -> None:
    exchange = accepted()
    exchange.tick(15.0, reading=True)
    exchange.output(15.0)
    assert exchange.tick(44.9, reading=True) is None
    assert exchange.tick(45.0, reading=True) == Ending(reason="the broker does not answer any more")


def test_a_broker_that_says_something_else_after_a_ping_is_there() -> None:
    exchange = accepted()
    exchange.tick(15.0, reading=True)
    fed(exchange, encode_publish(MESSAGE, 7, 5), now=40.0)
    assert exchange.tick(60.0, reading=True) is None


def test_while_we_do_not_read_we_ping_and_expect_nothing() -> None:
    exchange = accepted()
    for now in (20.0, 40.0, 60.0, 80.0):
        assert exchange.tick(now, reading=False) is None
        assert exchange.output(now) == PINGREQ
    assert exchange.tick(81.0, reading=True) is None
    assert exchange.output(81.0) == PINGREQ, "whether it is still there shows once we read again"


def test_the_broker_s_keep_alive_holds_instead_of_ours() -> None:
    # §3.2.2.3.14
    exchange = accepted(connack=encoded(0x20, b"\x00\x00\x03\x13\x00\x04"))
    exchange.tick(2.0, reading=True)
    assert exchange.output(2.0) == PINGREQ
    never = accepted(connack=encoded(0x20, b"\x00\x00\x03\x13\x00\x00"))
    assert never.tick(999.0, reading=True) is None
    assert never.output(999.0) == b""


def test_before_the_broker_has_answered_nothing_is_pinged() -> None:
    exchange = begun()
    assert exchange.tick(99.0, reading=True) is None
    assert exchange.output(99.0) == b""
