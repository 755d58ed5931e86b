"""The sketch's carelessness is the point of it: that is what is pinned down here."""

from __future__ import annotations

import pytest

from device_sim.sketches import (
    PACKET_BYTES,
    Booted,
    Flash,
    Flashed,
    FlashFailed,
    Publish,
    Received,
    Sketch,
    Subscribe,
    step,
)

BOARD = Sketch(app_version="kettle-v1", token="tok", firmware="1.0.0")
BASE = "kp1/kettle-v1/cmx_ota/tok"
PUSH = f"{BASE}/config/json/status"
OFFER = b'{"configId":"1.1.0","statusCode":200,"reasonPhrase":"OK","config":{"link":"https://x/1.1.0.bin"}}'


def test_it_subscribes_then_reports_then_asks() -> None:
    board, commands = step(BOARD, Booted())
    assert board == BOARD
    assert commands == (
        Subscribe(topic_filter=f"{BASE}/config/json/#"),
        Subscribe(topic_filter=f"{BASE}/config/json/status/#"),
        Subscribe(topic_filter=f"{BASE}/config/json/status/error"),
        Publish(topic=f"{BASE}/applied/json", payload=b'{"configId":"1.0.0"}'),
        Publish(topic=f"{BASE}/config/json/29", payload=b'{"observe":true}'),
    )


@pytest.mark.parametrize("topic", [PUSH, f"{BASE}/config/json/29/status", f"{BASE}/config/json/status/error"])
def test_it_flashes_whatever_comes_with_status_200(topic: str) -> None:
    board, commands = step(BOARD, Received(topic=topic, payload=OFFER))
    assert commands == (Flash(link="https://x/1.1.0.bin"),)
    assert board.flashing


def test_it_flashes_the_version_that_it_runs() -> None:
    board, _ = step(BOARD, Flashed(firmware="1.1.0"))
    assert step(board, Received(topic=PUSH, payload=OFFER))[1] == (Flash(link="https://x/1.1.0.bin"),)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"null",
        b"[200]",
        b"nonsense",
        b"\xff",
        b'{"observe":true}',
        b'{"configId":"","config":null}',
        b'{"configId":"1.1.0","config":{"link":"https://x"}}',
        b'{"statusCode":404,"reasonPhrase":"no"}',
        b'{"statusCode":true}',
        b'{"statusCode":null}',
        b'{"statusCode":"OK"}',
        b'{"statusCode":1e400}',
    ],
)
def test_it_ignores_what_has_not_status_200(payload: bytes) -> None:
    assert step(BOARD, Received(topic=PUSH, payload=payload)) == (BOARD, ())


@pytest.mark.parametrize("payload", [b'{"statusCode":200}', b'{"statusCode":"200","config":{"link":7}}'])
def test_it_fetches_even_an_offer_without_a_link(payload: bytes) -> None:
    assert step(BOARD, Received(topic=PUSH, payload=payload))[1] == (Flash(link="null"),)


@pytest.mark.parametrize(("too_many", "commands"), [(0, 1), (1, 0)])
def test_a_packet_larger_than_its_buffer_is_dropped(too_many: int, commands: int) -> None:
    # Fixed header with two bytes of length, topic with two bytes of length.
    room = PACKET_BYTES - 3 - 2 - len(PUSH)
    padded = OFFER + b" " * (room - len(OFFER) + too_many)
    assert len(step(BOARD, Received(topic=PUSH, payload=padded))[1]) == commands


def test_while_it_flashes_it_hears_nothing() -> None:
    board, _ = step(BOARD, Received(topic=PUSH, payload=OFFER))
    assert step(board, Received(topic=PUSH, payload=OFFER)) == (board, ())


def test_a_flashed_image_brings_its_version_and_a_failed_one_brings_nothing() -> None:
    board, _ = step(BOARD, Received(topic=PUSH, payload=OFFER))
    assert step(board, FlashFailed()) == (BOARD, ())
    flashed, commands = step(board, Flashed(firmware="1.1.0"))
    assert (flashed.firmware, flashed.flashing, commands) == ("1.1.0", False, ())
    assert Publish(topic=f"{BASE}/applied/json", payload=b'{"configId":"1.1.0"}') in step(flashed, Booted())[1]
