"""What a device says, and how it hears that it was heard.

Rules:
- What has to arrive carries a request ID and is repeated until Otao has answered it, less and less often.
- What runs is said anew after each connection and each install; progress is sent once.
- What is said every so often needs no answer: the next time is its repetition. It is not said during an install, when a
  report of the old version would count as a return.
- A refused message is not repeated: it would be refused again.
- Whoever is asked for consent grants it, and answers each time that it is asked.

Spec: 7/CMP "Applied configuration resource"; 10/EPMP.
Layer: device_sim; pure: time comes as events, chance as an argument.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from device_sim.devices import CancelTimer, Disconnect, Publish, Request, SetTimer, State, Timer, about, moved
from device_sim.faults import Fault
from protocol import configurations, consents, health, progress
from protocol.errors import PayloadError

if TYPE_CHECKING:
    import random

    from device_sim.devices import Command, Device, Outcome
    from protocol.progress import ProgressState

FAILED = 507
"""The status code of an install that fails: insufficient storage."""
FAILURE = "no room left"
AILMENT = "it runs too hot"
REFUSAL = "the owner said no"
_DOUBLINGS = 4
_UNFIT = frozenset({State.OFF, State.REBOOTING, State.CHECKING, State.FALLING_BACK, State.GONE})
"""It does not yet know how it fares, or no longer."""


def describe(device: Device) -> Device:
    """Have its attributes said with whatever it says next."""
    device = _pending(device, f"{device.model.metadata}update/keys", device.model.attributes)
    return replace(device, described=True)


def report(device: Device, chance: random.Random) -> Outcome:
    """Say what runs, and repeat what was not answered."""
    payload = configurations.encode_applied(config_id=_named(device))
    device = replace(device, pending=tuple(request for request in device.pending if request.running is None))
    device = _pending(device, f"{device.model.base}applied/json", payload, running=device.running)
    device, said = say(device, chance)
    return device, said + _repeat(device, chance)


def report_failure(device: Device, version: str, chance: random.Random) -> Outcome:
    """Say that a version could not be installed."""
    payload = configurations.encode_applied(config_id=version, status_code=FAILED, reason_phrase=FAILURE)
    return say(_pending(device, f"{device.model.base}applied/json", payload), chance)


def report_again(device: Device, chance: random.Random) -> Outcome:
    """Say what runs once more, if there is nothing else to do."""
    if not device.connected:
        # It reports as soon as it has a connection.
        return device, ()
    payload = configurations.encode_applied(config_id=_named(device))
    message = Publish(topic=f"{device.model.base}applied/json", payload=payload, qos=device.model.qos)
    said = (message,) * _times(device) if device.state is State.IDLE else ()
    return device, said + _repeat(device, chance)


def report_health(device: Device, chance: random.Random) -> Outcome:
    """Say how it fares with what runs; a device that sleeps does so when it wakes."""
    if device.state in _UNFIT:
        return device, ()
    if device.model.fault is Fault.UNHEALTHY:
        payload = health.encode(healthy=False, reason=AILMENT, metrics={"celsius": 93.5}, config_id=device.running)
    else:
        payload = health.encode(healthy=True, config_id=device.running)
    return say(_pending(device, f"{device.model.base}health/json", payload), chance)


def asked(device: Device, payload: bytes, chance: random.Random) -> Outcome:
    """Answer when asked for consent; once is enough until Otao has heard it."""
    if device.model.fault is Fault.OFFLINE:
        return device, ()
    try:
        ask = consents.decode_ask(payload)
    except PayloadError:
        return replace(device, refused=device.refused + 1), ()
    if ask is None:
        return device, ()
    refuses = device.model.fault is Fault.REFUSES_CONSENT
    answer = consents.encode(config_id=ask.config_id, granted=not refuses, reason_phrase=REFUSAL if refuses else None)
    if any(request.payload == answer for request in device.pending):
        return device, ()
    return say(_pending(device, f"{device.model.base}consent/json", answer), chance)


def tell(device: Device, state: ProgressState, percent: int | None = None) -> tuple[Command, ...]:
    """Say how far an install is: once, as without a connection it is not worth keeping."""
    if not device.connected or device.installing is None:
        return ()
    payload = progress.encode(config_id=device.installing, state=state, percent=percent)
    return (Publish(topic=f"{device.model.base}progress/json", payload=payload, qos=device.model.qos),)


def say(device: Device, chance: random.Random) -> Outcome:
    """Say all that was not answered."""
    if not device.connected:
        return device, ()
    sent = tuple(
        Publish(topic=request.topic, payload=request.payload, qos=device.model.qos)
        for request in device.pending
        for _ in range(_times(device))
    )
    if device.model.fault is Fault.NEVER_SUBSCRIBES:
        # It would never hear the answer.
        return replace(device, pending=()), sent
    seconds = device.model.pace.retry_seconds * (1 << min(device.retries, _DOUBLINGS))
    return device, (*sent, SetTimer(timer=Timer.RETRY, seconds=about(seconds, chance)))


def say_again(device: Device, chance: random.Random) -> Outcome:
    """Repeat what was not answered, and wait longer for the next time."""
    if not device.pending:
        return device, ()
    return say(replace(device, retries=device.retries + 1), chance)


def answered(device: Device, topic: str) -> Outcome:
    """Hear an answer, if it is one to something that was said."""
    asked, _, answer = topic.rpartition("/")
    found = next((request for request in device.pending if request.topic == asked), None)
    if found is None or answer not in {"status", "error"}:
        return device, ()
    device = replace(device, pending=tuple(request for request in device.pending if request is not found), retries=0)
    commands: tuple[Command, ...] = () if device.pending else (CancelTimer(timer=Timer.RETRY),)
    if answer == "error":
        return replace(device, refused=device.refused + 1), commands
    if found.running is None:
        return device, commands
    device = replace(device, confirmed=found.running)
    if device.model.fault is Fault.OFFLINE:
        return replace(device, connected=False, state=moved(device.state, State.GONE)), (*commands, Disconnect())
    return device, commands


def _named(device: Device) -> str:
    """What runs, by the name that it reports."""
    return f"build-{device.running}" if device.model.fault is Fault.FOREIGN_CONFIG_ID else device.running


def _times(device: Device) -> int:
    return 2 if device.model.fault is Fault.DUPLICATES else 1


def _repeat(device: Device, chance: random.Random) -> tuple[Command, ...]:
    seconds = device.model.pace.report_every_seconds
    return (SetTimer(timer=Timer.REPEAT, seconds=about(seconds, chance)),) if seconds else ()


def _pending(device: Device, resource: str, payload: bytes, *, running: str | None = None) -> Device:
    number = device.last_id + 1
    request = Request(topic=f"{resource}/{number}", payload=payload, running=running)
    return replace(device, last_id=number, pending=(*device.pending, request), retries=0)
