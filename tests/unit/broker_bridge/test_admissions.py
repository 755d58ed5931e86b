"""Who may come in to the embedded broker, by the bytes of CONNECT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_bridge.admissions import Admitted, Refused, admit, begins, remaining_length

CLEAN, PERSISTENT = 0x02, 0x00


def connect(
    client_id: bytes = b"tok7", *, name: bytes = b"MQTT", level: int = 4, flags: int = CLEAN, keep_alive: int = 60
) -> bytes:
    """What follows the fixed header, with a user as the rest of the payload."""
    head = len(name).to_bytes(2) + name + bytes((level, flags | 0x80)) + keep_alive.to_bytes(2)
    return head + len(client_id).to_bytes(2) + client_id + b"\x00\x04user"


def admitted(body: bytes) -> Admitted:
    verdict = admit(body, new_id="unnamed-1")
    assert isinstance(verdict, Admitted), verdict
    return verdict


def test_an_ordinary_client_comes_in_with_the_packet_it_sent() -> None:
    body = connect()
    assert admitted(body) == Admitted(client_id="tok7", packet=bytes((0x10, len(body))) + body)


def test_keep_alive_0_becomes_the_longest() -> None:
    assert admitted(connect(keep_alive=0)).packet[2:] == connect(keep_alive=0xFFFF)


def test_a_client_without_an_id_gets_one() -> None:
    verdict = admitted(connect(b""))
    assert verdict.client_id == "unnamed-1"
    assert verdict.packet[2:] == connect(b"unnamed-1")


@pytest.mark.parametrize(
    ("body", "answer", "word"),
    [
        (connect(level=5), b"\x20\x03\x00\x84\x00", "level 5"),
        (connect(name=b"MQIsdp", level=3), b"\x20\x02\x00\x01", "level 3"),
        (connect(b"", flags=PERSISTENT), b"\x20\x02\x00\x02", "no client ID"),
        (connect(b"\xff"), b"\x20\x02\x00\x02", "UTF-8"),
        (connect()[:8], b"", "malformed"),
        (connect()[:13], b"", "malformed"),
        (b"", b"", "malformed"),
        (b"GET / HTTP/1.1", b"", "malformed"),
    ],
)
def test_others_are_refused_in_their_own_words(body: bytes, answer: bytes, word: str) -> None:
    verdict = admit(body, new_id="unnamed-1")
    assert isinstance(verdict, Refused)
    assert verdict.answer == answer
    assert word in verdict.reason


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(body: bytes) -> None:
    assert isinstance(admit(body, new_id="unnamed-1"), Admitted | Refused)


@pytest.mark.parametrize(
    ("size", "encoded"), [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (16_384, b"\x80\x80\x01")]
)
def test_remaining_lengths_of_the_specification(size: int, encoded: bytes) -> None:
    assert remaining_length(size) == encoded


def test_only_a_connect_begins() -> None:
    assert begins(0x10)
    assert not begins(0x30)
    assert not begins(ord("G"))
