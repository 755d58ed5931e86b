"""Kaa's Arduino sketch for ESP32, and its many forks, as a state machine: events in, commands out.

It is the least careful client in the field, and widely copied: it subscribes before it reports, does not remember what
it has installed, and flashes whatever comes with status code 200.

Rules:
- At each boot, in this order: three subscriptions, a report without request ID, a request with `observe`.
- Every message that arrives is taken for an offer, its own request too, which `config/json/#` brings back.
- Only `statusCode` 200 counts, then `config.link`; nothing is compared with the running version.
- A packet larger than its buffer is dropped without a word.
- While it flashes it hears nothing.
- Everything it sends, and subscribes to, has QoS 0.

Spec: Kaa, "Over-the-air updates" tutorial, ESP32 sketch; MQTT 3.1.1 §3.3 for the size of a packet.
Layer: device_sim; pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, assert_never

if TYPE_CHECKING:
    from collections.abc import Mapping

    JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

PACKET_BYTES = 1023
"""The sketch's `setBufferSize`: the largest whole PUBLISH packet that it can receive."""
REQUEST_ID = "29"
_OK = 200
_LENGTH_LIMITS = (128, 16_384, 2_097_152)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """One board: its credentials, and the version that is compiled into its image."""

    app_version: str
    token: str
    firmware: str
    flashing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """The board has power and a connection to the broker, with a clean session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message has arrived on one of its subscriptions."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Flashed:
    """The image is written; the board restarts with the version that is compiled into it."""

    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashFailed:
    """The image could not be fetched or written; the board goes on as it was, and tells nobody."""


Event: TypeAlias = Booted | Received | Flashed | FlashFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Subscribe with QoS 0."""

    topic_filter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Publish with QoS 0, not retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """Fetch this image and write it; blocks the board, which drops its connection when it restarts."""

    link: str


Command: TypeAlias = Subscribe | Publish | Flash


def step(sketch: Sketch, event: Event) -> tuple[Sketch, tuple[Command, ...]]:
    """Return the board after an event, and what it does then, in this order."""
    match event:
        case Booted():
            return replace(sketch, flashing=False), _boot(sketch)
        case Received():
            link = None if sketch.flashing or _packet_bytes(event) > PACKET_BYTES else _link(event.payload)
            return (sketch, ()) if link is None else (replace(sketch, flashing=True), (Flash(link=link),))
        case Flashed():
            return replace(sketch, firmware=event.firmware, flashing=False), ()
        case FlashFailed():
            return replace(sketch, flashing=False), ()
        case _:
            assert_never(event)


def _boot(sketch: Sketch) -> tuple[Command, ...]:
    base = f"kp1/{sketch.app_version}/cmx_ota/{sketch.token}"
    return (
        Subscribe(topic_filter=f"{base}/config/json/#"),
        Subscribe(topic_filter=f"{base}/config/json/status/#"),
        Subscribe(topic_filter=f"{base}/config/json/status/error"),
        Publish(topic=f"{base}/applied/json", payload=b'{"configId":"%s"}' % sketch.firmware.encode()),
        Publish(topic=f"{base}/config/json/{REQUEST_ID}", payload=b'{"observe":true}'),
    )


def _packet_bytes(event: Received) -> int:
    """The size of the PUBLISH, QoS 0: fixed header, topic with its length, payload."""
    rest = 2 + len(event.topic.encode()) + len(event.payload)
    return 2 + sum(rest >= limit for limit in _LENGTH_LIMITS) + rest


def _link(payload: bytes) -> str | None:
    """What the sketch would fetch; None when it does not take the message for an offer."""
    document = _members(_parsed(payload))
    if _number(document.get("statusCode")) != _OK:
        return None
    # ArduinoJson writes a missing text as "null", and the sketch fetches even that.
    link = _members(document.get("config")).get("link")
    return link if isinstance(link, str) else "null"


def _parsed(payload: bytes) -> JsonValue:
    try:
        value: JsonValue = json.loads(payload)
    except ValueError:
        return None
    return value


def _members(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _number(value: JsonValue) -> int:
    """ArduinoJson's `as<unsigned int>`: numbers in texts count, anything else is 0."""
    match value:
        case bool():
            return int(value)
        case int() | float() | str():
            try:
                return int(float(value))
            except (OverflowError, ValueError):
                return 0
        case _:
            return 0
