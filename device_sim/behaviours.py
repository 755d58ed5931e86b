"""What a device does: events in, commands out; how it updates is in `installs`, what it says in `reports`.

Rules:
- It subscribes to its offer first, then says what it runs.
- What does not belong to its own topics is ignored: some brokers deliver other clients' retained messages.
- A faulty device does all that as well, save for what its fault says (`faults`).

Spec: 7/CMP "Configuration resource", "Applied configuration resource"; 10/EPMP.
Layer: device_sim; pure: time comes as events, chance as an argument.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from device_sim import installs, reports
from device_sim.devices import (
    Connect,
    Connected,
    CutOff,
    Disconnect,
    Disconnected,
    PowerLost,
    Publish,
    Received,
    SetTimer,
    State,
    Subscribe,
    Timer,
    TimerFired,
    about,
    moved,
)
from device_sim.faults import Fault

if TYPE_CHECKING:
    import random

    from device_sim.devices import Command, Device, Event, Outcome

_LOST = 0.25
"""The share of messages that `Fault.DROPS` loses."""
_AWAY = frozenset({State.OFF, State.REBOOTING, State.FALLING_BACK, State.ASLEEP, State.GONE})


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
            outcome = installs.power_lost(device, chance)
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
    commands: tuple[Command, ...] = (Subscribe(topic_filters=model.topic_filters, qos=model.qos),)
    if model.fault is Fault.NEVER_SUBSCRIBES:
        commands = ()
    if model.fault is Fault.SLEEPER:
        commands += (SetTimer(timer=Timer.SLEEP, seconds=about(model.pace.awake_seconds, chance)),)
    if model.attributes and not device.described:
        device = reports.describe(device)
    if device.state is State.CHECKING:
        return device, (*commands, SetTimer(timer=Timer.STEP, seconds=about(model.pace.check_seconds, chance)))
    device, said = reports.report(device, chance)
    return device, commands + said


def _received(device: Device, event: Received, chance: random.Random) -> Outcome:
    if device.state in _AWAY or not device.connected:
        return device, ()
    if event.topic == f"{device.model.base}config/json/status":
        return installs.pushed(device, event.payload, chance)
    if event.topic == f"{device.model.base}consent/json/status":
        return reports.asked(device, event.payload, chance)
    return reports.answered(device, event.topic)


def _fired(device: Device, timer: Timer, chance: random.Random) -> Outcome:
    match timer:
        case Timer.BOOT:
            return _booted(device)
        case Timer.STEP:
            return installs.stepped(device, chance)
        case Timer.RETRY:
            return reports.say_again(device, chance)
        case Timer.SLEEP:
            return _tired(device, chance)
        case Timer.WATCHDOG:
            return installs.fell(device, chance)
        case Timer.HEALTH:
            return reports.report_health(device, chance)
        case Timer.REPEAT:
            return reports.report_again(device, chance)
        case _:
            assert_never(timer)


def _booted(device: Device) -> Outcome:
    if device.state is State.REBOOTING:
        if device.model.fault is Fault.SILENT:
            return replace(device, state=moved(device.state, State.GONE)), ()
        return replace(device, state=moved(device.state, State.CHECKING)), (Connect(),)
    return replace(device, state=moved(device.state, State.IDLE)), (Connect(),)


def _tired(device: Device, chance: random.Random) -> Outcome:
    pace = device.model.pace
    if device.state is not State.IDLE or device.pending:
        if device.state in _AWAY:
            return device, ()
        return device, (SetTimer(timer=Timer.SLEEP, seconds=about(pace.awake_seconds, chance)),)
    device = replace(device, state=moved(device.state, State.ASLEEP), connected=False, waiting=None)
    return device, (Disconnect(), SetTimer(timer=Timer.BOOT, seconds=about(pace.asleep_seconds, chance)))
