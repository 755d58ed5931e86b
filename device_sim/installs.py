"""How a device updates itself: from an offer to the new version, or back to the old one.

Rules:
- An offer of what it runs is answered by reporting that, and never installed; one install at a time.
- An offer that is withdrawn before the download begins is forgotten; what has begun goes on.
- Power that is lost before a new version has proven itself goes back to the old one.

Spec: 7/CMP "Configuration resource".
Layer: device_sim; pure: time comes as events, chance as an argument.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from device_sim import reports
from device_sim.devices import CancelTimer, CutOff, Disconnect, SetTimer, State, Timer, about, moved
from device_sim.faults import Fault
from protocol import configurations
from protocol.configurations import Offer
from protocol.errors import PayloadError
from protocol.progress import ProgressState

if TYPE_CHECKING:
    import random

    from device_sim.devices import Device, Outcome

_HALF = 50
_UNPROVEN = frozenset({State.REBOOTING, State.CHECKING})
"""The new slot has not yet been found good: without power, the boot loader goes back to the old one."""
_WATCHED = frozenset({State.IDLE, State.DOWNLOADING, State.DOWNLOADED, State.INSTALLING})


def pushed(device: Device, payload: bytes, chance: random.Random) -> Outcome:
    """Take what has come on the push topic."""
    if device.model.fault is Fault.OFFLINE:
        return device, ()
    try:
        answer = configurations.decode_answer(payload)
    except PayloadError:
        return replace(device, refused=device.refused + 1), ()
    if not isinstance(answer, Offer):
        return replace(device, waiting=None), ()
    return _offered(device, answer.config_id, chance)


def stepped(device: Device, chance: random.Random) -> Outcome:
    """Go one step on the way of an update."""
    match device.state:
        case State.DOWNLOADING if device.percent < _HALF:
            device = replace(device, percent=_HALF)
            told = reports.tell(device, ProgressState.DOWNLOADING, _HALF)
            return device, told if device.model.fault is Fault.STALL else (*told, _download(device, chance))
        case State.DOWNLOADING:
            seconds = device.model.pace.verify_seconds
            return _advance(device, State.DOWNLOADED, ProgressState.DOWNLOADED, about(seconds, chance))
        case State.DOWNLOADED:
            seconds = device.model.pace.install_seconds
            return _advance(device, State.INSTALLING, ProgressState.INSTALLING, about(seconds, chance))
        case State.INSTALLING:
            return _written(device, chance)
        case State.CHECKING:
            return _checked(device, chance)
        case _:
            return device, ()


def fell(device: Device, chance: random.Random) -> Outcome:
    """Be taken back to the old slot by a watchdog."""
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
    cancelled = (CancelTimer(timer=Timer.STEP), CancelTimer(timer=Timer.HEALTH))
    return device, (*cancelled, Disconnect(), _boot(device, chance))


def power_lost(device: Device, chance: random.Random) -> Outcome:
    """Lose power, and all that is not in a slot."""
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
    cancelled = (CancelTimer(timer=timer) for timer in Timer if timer is not Timer.BOOT)
    return device, (CutOff(again=False), *cancelled, _boot(device, chance))


def _offered(device: Device, version: str, chance: random.Random) -> Outcome:
    if version == device.running:
        said = any(request.running is not None for request in device.pending)
        return (device, ()) if said or device.state is State.CHECKING else reports.report(device, chance)
    if device.state is State.IDLE:
        return _begin(device, version, chance)
    # The same offer comes again with each connection.
    again = version == device.installing and device.state is not State.CHECKING
    return replace(device, waiting=None if again else version), ()


def _begin(device: Device, version: str, chance: random.Random) -> Outcome:
    device = replace(device, state=moved(device.state, State.DOWNLOADING), installing=version, percent=0, waiting=None)
    return device, (*reports.tell(device, ProgressState.DOWNLOADING, 0), _download(device, chance))


def _download(device: Device, chance: random.Random) -> SetTimer:
    return SetTimer(timer=Timer.STEP, seconds=about(device.model.pace.download_seconds / 2, chance))


def _advance(device: Device, state: State, said: ProgressState, seconds: float) -> Outcome:
    device = replace(device, state=moved(device.state, state))
    return device, (*reports.tell(device, said), SetTimer(timer=Timer.STEP, seconds=seconds))


def _written(device: Device, chance: random.Random) -> Outcome:
    """The image is in the other slot, unless something is wrong with the device."""
    version, fault = device.installing, device.model.fault
    if fault is Fault.POWER_CUT and not device.cut:
        return power_lost(replace(device, cut=True), chance)
    if version is None or fault is Fault.FAILING_INSTALL:
        return _failed(device, chance)
    told = reports.tell(device, ProgressState.REBOOTING)
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
    return device, (*told, Disconnect(), _boot(device, chance))


def _failed(device: Device, chance: random.Random) -> Outcome:
    version = device.installing or device.running
    device = replace(device, state=moved(device.state, State.IDLE), installing=None, failures=device.failures + 1)
    device, said = reports.report_failure(device, version, chance)
    device, more = _resume(device, chance)
    return device, said + more


def _checked(device: Device, chance: random.Random) -> Outcome:
    device = replace(device, state=moved(device.state, State.IDLE), installing=None)
    pace = device.model.pace
    device, commands = reports.report(device, chance)
    commands += (SetTimer(timer=Timer.HEALTH, seconds=about(pace.health_seconds, chance)),)
    if device.model.fault is Fault.FALL_BACK:
        commands += (SetTimer(timer=Timer.WATCHDOG, seconds=about(pace.watchdog_seconds, chance)),)
    device, more = _resume(device, chance)
    return device, commands + more


def _resume(device: Device, chance: random.Random) -> Outcome:
    """Take up what was offered in the meantime."""
    version = device.waiting
    if version is None or version == device.running:
        return replace(device, waiting=None), ()
    return _begin(device, version, chance)


def _boot(device: Device, chance: random.Random) -> SetTimer:
    return SetTimer(timer=Timer.BOOT, seconds=about(device.model.pace.reboot_seconds, chance))
