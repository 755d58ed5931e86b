"""What a device does: events in, commands out.

Rules:
- It subscribes to its offer first, then says what it runs; a report carries a request ID and is repeated until Otao
  has answered it.
- An offer of what it runs is answered by reporting that, and never installed.
- An offer that is withdrawn before the download begins is forgotten; what has begun goes on.
- What does not belong to its own topics is ignored: some brokers deliver other clients' retained messages.
- A faulty device does all that as well, save for what its fault says (`faults`).

Spec: 7/CMP "Configuration resource", "Applied configuration resource"; 10/EPMP.
Layer: device_sim; pure: time comes as events, chance as an argument.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, assert_never

from device_sim.devices import (
    CancelTimer,
    Connect,
    Connected,
    CutOff,
    Device,
    Disconnect,
    Disconnected,
    PowerLost,
    Publish,
    Received,
    Request,
    SetTimer,
    State,
    Subscribe,
    Timer,
    TimerFired,
    moved,
)
from device_sim.faults import Fault
from protocol import configurations, progress
from protocol.configurations import Offer
from protocol.errors import PayloadError
from protocol.progress import ProgressState

if TYPE_CHECKING:
    import random

    from device_sim.devices import Command, Event

    Outcome: TypeAlias = tuple[Device, tuple[Command, ...]]

FAILED = 507
"""The status code of an install that fails: insufficient storage."""
FAILURE = "no room left"
_LOST = 0.25
"""The share of messages that `Fault.DROPS` loses."""
_HALF = 50
_DOUBLINGS = 4
_AWAY = frozenset({State.OFF, State.REBOOTING, State.FALLING_BACK, State.ASLEEP, State.GONE})
_UNPROVEN = frozenset({State.REBOOTING, State.CHECKING})
"""The new slot has not yet been found good: without power, the boot loader goes back to the old one."""
_WATCHED = frozenset({State.IDLE, State.DOWNLOADING, State.DOWNLOADED, State.INSTALLING})


def step(device: Device, event: Event, chance: random.Random) -> Outcome:
    """Return the device after an event, and what it does then, in this order."""
    match event:
        case Connected():
            outcome = _connected(device, chance)
        case Disconnected():
            outcome = replace(device, connected=False), ()
        case Received():
            outcome = _received(device, event, chance)
        case TimerFired():
            outcome = _fired(device, event.timer, chance)
        case PowerLost():
            outcome = _power_lost(device, chance)
        case _:
            assert_never(event)
    return _lossy(*outcome, chance) if device.model.fault is Fault.DROPS else outcome


def _lossy(device: Device, commands: tuple[Command, ...], chance: random.Random) -> Outcome:
    """Lose one message in four, and with it the connection and whatever was to be sent after it."""
    kept: list[Command] = []
    for command in commands:
        if isinstance(command, Publish) and device.connected and chance.random() < _LOST:
            device = replace(device, connected=False)
            kept.append(CutOff(again=True))
        elif device.connected or not isinstance(command, Publish | Subscribe):
            kept.append(command)
    return device, tuple(kept)


def _connected(device: Device, chance: random.Random) -> Outcome:
    model = device.model
    device = replace(device, connected=True)
    commands: tuple[Command, ...] = (Subscribe(topic_filters=model.topic_filters, qos=_qos(device)),)
    if model.fault is Fault.NEVER_SUBSCRIBES:
        commands = ()
    if model.fault is Fault.SLEEPER:
        commands += (SetTimer(timer=Timer.SLEEP, seconds=_about(model.pace.awake_seconds, chance)),)
    if model.attributes and not device.described:
        device = _describe(device)
    if device.state is State.CHECKING:
        return device, (*commands, SetTimer(timer=Timer.STEP, seconds=_about(model.pace.check_seconds, chance)))
    device, reports = _report(device, chance)
    return device, commands + reports


def _describe(device: Device) -> Device:
    number = device.last_id + 1
    request = Request(topic=f"{device.model.metadata}update/keys/{number}", payload=device.model.attributes)
    return replace(device, described=True, last_id=number, pending=(*device.pending, request))


def _report(device: Device, chance: random.Random) -> Outcome:
    """Say what runs, and repeat what was not answered."""
    reported = f"build-{device.running}" if device.model.fault is Fault.FOREIGN_CONFIG_ID else device.running
    others = tuple(request for request in device.pending if request.running is None)
    number = device.last_id + 1
    request = Request(
        topic=f"{device.model.base}applied/json/{number}",
        payload=configurations.encode_applied(config_id=reported),
        running=device.running,
    )
    return _say(replace(device, last_id=number, pending=(*others, request), retries=0), chance)


def _say(device: Device, chance: random.Random) -> Outcome:
    if not device.connected:
        return device, ()
    times = 2 if device.model.fault is Fault.DUPLICATES else 1
    sent = tuple(
        Publish(topic=request.topic, payload=request.payload, qos=_qos(device))
        for request in device.pending
        for _ in range(times)
    )
    if device.model.fault is Fault.NEVER_SUBSCRIBES:
        # It would never hear the answer.
        return replace(device, pending=()), sent
    seconds = device.model.pace.retry_seconds * (1 << min(device.retries, _DOUBLINGS))
    return device, (*sent, SetTimer(timer=Timer.RETRY, seconds=_about(seconds, chance)))


def _received(device: Device, event: Received, chance: random.Random) -> Outcome:
    if device.state in _AWAY or not device.connected:
        return device, ()
    if event.topic == f"{device.model.base}config/json/status":
        return _pushed(device, event.payload, chance)
    return _answered(device, event.topic)


def _answered(device: Device, topic: str) -> Outcome:
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


def _pushed(device: Device, payload: bytes, chance: random.Random) -> Outcome:
    if device.model.fault is Fault.OFFLINE:
        return device, ()
    try:
        answer = configurations.decode_answer(payload)
    except PayloadError:
        return replace(device, refused=device.refused + 1), ()
    if not isinstance(answer, Offer):
        return replace(device, waiting=None), ()
    return _offered(device, answer.config_id, chance)


def _offered(device: Device, version: str, chance: random.Random) -> Outcome:
    if version == device.running:
        said = any(request.running is not None for request in device.pending)
        return (device, ()) if said or device.state is State.CHECKING else _report(device, chance)
    if device.state is State.IDLE:
        return _begin(device, version, chance)
    # The same offer comes again with each connection.
    again = version == device.installing and device.state is not State.CHECKING
    return replace(device, waiting=None if again else version), ()


def _begin(device: Device, version: str, chance: random.Random) -> Outcome:
    device = replace(device, state=moved(device.state, State.DOWNLOADING), installing=version, percent=0, waiting=None)
    return device, (*_tell(device, ProgressState.DOWNLOADING, 0), _download(device, chance))


def _download(device: Device, chance: random.Random) -> SetTimer:
    return SetTimer(timer=Timer.STEP, seconds=_about(device.model.pace.download_seconds / 2, chance))


def _tell(device: Device, state: ProgressState, percent: int | None = None) -> tuple[Command, ...]:
    """Progress is sent once: without a connection it is not worth keeping."""
    if not device.connected or device.installing is None:
        return ()
    payload = progress.encode(config_id=device.installing, state=state, percent=percent)
    return (Publish(topic=f"{device.model.base}progress/json", payload=payload, qos=_qos(device)),)


def _fired(device: Device, timer: Timer, chance: random.Random) -> Outcome:
    match timer:
        case Timer.BOOT:
            return _booted(device)
        case Timer.STEP:
            return _stepped(device, chance)
        case Timer.RETRY:
            if not device.pending:
                return device, ()
            return _say(replace(device, retries=device.retries + 1), chance)
        case Timer.SLEEP:
            return _tired(device, chance)
        case Timer.WATCHDOG:
            return _fell(device, chance)
        case _:
            assert_never(timer)


def _booted(device: Device) -> Outcome:
    if device.state is State.REBOOTING:
        if device.model.fault is Fault.SILENT:
            return replace(device, state=moved(device.state, State.GONE)), ()
        return replace(device, state=moved(device.state, State.CHECKING)), (Connect(),)
    return replace(device, state=moved(device.state, State.IDLE)), (Connect(),)


def _stepped(device: Device, chance: random.Random) -> Outcome:
    match device.state:
        case State.DOWNLOADING if device.percent < _HALF:
            device = replace(device, percent=_HALF)
            told = _tell(device, ProgressState.DOWNLOADING, _HALF)
            return device, told if device.model.fault is Fault.STALL else (*told, _download(device, chance))
        case State.DOWNLOADING:
            seconds = device.model.pace.verify_seconds
            return _advance(device, State.DOWNLOADED, ProgressState.DOWNLOADED, _about(seconds, chance))
        case State.DOWNLOADED:
            seconds = device.model.pace.install_seconds
            return _advance(device, State.INSTALLING, ProgressState.INSTALLING, _about(seconds, chance))
        case State.INSTALLING:
            return _written(device, chance)
        case State.CHECKING:
            return _checked(device, chance)
        case _:
            return device, ()


def _advance(device: Device, state: State, said: ProgressState, seconds: float) -> Outcome:
    device = replace(device, state=moved(device.state, state))
    return device, (*_tell(device, said), SetTimer(timer=Timer.STEP, seconds=seconds))


def _written(device: Device, chance: random.Random) -> Outcome:
    """The image is in the other slot, unless something is wrong with the device."""
    version, fault = device.installing, device.model.fault
    if fault is Fault.POWER_CUT and not device.cut:
        return _power_lost(replace(device, cut=True), chance)
    if version is None or fault is Fault.FAILING_INSTALL:
        return _failed(device, chance)
    told = _tell(device, ProgressState.REBOOTING)
    image = device.running if fault is Fault.NO_BUMP else version
    device = replace(
        device,
        slots=(image, device.slots[1]) if device.active else (device.slots[0], image),
        active=1 - device.active,
        state=moved(device.state, State.REBOOTING),
        connected=False,
        installs=device.installs + 1,
        # What runs is said anew after the restart.
        pending=tuple(request for request in device.pending if request.running is None),
    )
    return device, (*told, Disconnect(), *_boot(device, chance))


def _failed(device: Device, chance: random.Random) -> Outcome:
    number = device.last_id + 1
    request = Request(
        topic=f"{device.model.base}applied/json/{number}",
        payload=configurations.encode_applied(
            config_id=device.installing or device.running, status_code=FAILED, reason_phrase=FAILURE
        ),
    )
    device = replace(
        device,
        state=moved(device.state, State.IDLE),
        installing=None,
        failures=device.failures + 1,
        last_id=number,
        pending=(*device.pending, request),
        retries=0,
    )
    device, said = _say(device, chance)
    device, more = _resume(device, chance)
    return device, said + more


def _checked(device: Device, chance: random.Random) -> Outcome:
    device = replace(device, state=moved(device.state, State.IDLE), installing=None)
    device, commands = _report(device, chance)
    if device.model.fault is Fault.FALL_BACK:
        commands += (SetTimer(timer=Timer.WATCHDOG, seconds=_about(device.model.pace.watchdog_seconds, chance)),)
    device, more = _resume(device, chance)
    return device, commands + more


def _resume(device: Device, chance: random.Random) -> Outcome:
    """Take up what was offered in the meantime."""
    version = device.waiting
    if version is None or version == device.running:
        return replace(device, waiting=None), ()
    return _begin(device, version, chance)


def _tired(device: Device, chance: random.Random) -> Outcome:
    pace = device.model.pace
    if device.state is not State.IDLE or device.pending:
        if device.state in _AWAY:
            return device, ()
        return device, (SetTimer(timer=Timer.SLEEP, seconds=_about(pace.awake_seconds, chance)),)
    device = replace(device, state=moved(device.state, State.ASLEEP), connected=False, waiting=None)
    return device, (Disconnect(), SetTimer(timer=Timer.BOOT, seconds=_about(pace.asleep_seconds, chance)))


def _fell(device: Device, chance: random.Random) -> Outcome:
    if device.state not in _WATCHED:
        return device, ()
    device = replace(
        device,
        active=1 - device.active,
        state=moved(device.state, State.FALLING_BACK),
        connected=False,
        installing=None,
        waiting=None,
        failures=device.failures + 1,
    )
    return device, (CancelTimer(timer=Timer.STEP), Disconnect(), *_boot(device, chance))


def _power_lost(device: Device, chance: random.Random) -> Outcome:
    if device.state in {State.OFF, State.ASLEEP, State.GONE}:
        return device, ()
    device = replace(
        device,
        active=1 - device.active if device.state in _UNPROVEN else device.active,
        state=moved(device.state, State.OFF),
        connected=False,
        installing=None,
        waiting=None,
        pending=(),
        described=False,
    )
    cancelled = (CancelTimer(timer=timer) for timer in (Timer.STEP, Timer.RETRY, Timer.SLEEP, Timer.WATCHDOG))
    return device, (CutOff(again=False), *cancelled, *_boot(device, chance))


def _boot(device: Device, chance: random.Random) -> tuple[SetTimer]:
    return (SetTimer(timer=Timer.BOOT, seconds=_about(device.model.pace.reboot_seconds, chance)),)


def _qos(device: Device) -> int:
    return 0 if device.model.fault is Fault.QOS_0 else 1


def _about(seconds: float, chance: random.Random) -> float:
    return seconds * chance.uniform(0.5, 1.5)
