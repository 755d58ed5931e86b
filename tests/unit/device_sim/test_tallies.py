"""The running numbers are those that a recount gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from device_sim.behaviours import step
from device_sim.devices import (
    Connected,
    Device,
    Disconnected,
    Event,
    Model,
    PowerLost,
    Received,
    State,
    Timer,
    TimerFired,
)
from device_sim.faults import Fault
from device_sim.mixes import Mix, Share
from device_sim.plans import FleetPlan
from device_sim.tallies import Progress, Tally, converged
from protocol import configurations, consents
from protocol.configurations import Profile

if TYPE_CHECKING:
    import random

PLAN = FleetPlan(
    app_version="kettle-v1",
    devices=34,
    versions=Mix(shares=(Share(name="1.0.0", devices=20), Share(name="1.1.0", devices=14))),
    faults=Mix(shares=tuple(Share(name=fault, devices=2) for fault in Fault)),
)


def event(device: Device, chance: random.Random) -> Event:
    """Anything that may happen to a device."""
    pushed = Received(
        topic=f"{device.model.base}config/json/status",
        payload=configurations.offer(chance.choice(["1.1.0", "2.0.0"]), "{}", Profile.KAA),
    )
    asked = Received(topic=f"{device.model.base}consent/json/status", payload=consents.ask("2.0.0", "{}"))
    topic = device.pending[-1].topic if device.pending else "none"
    answered = Received(topic=f"{topic}/{chance.choice(['status', 'error'])}", payload=b"")
    fired: list[Event] = [TimerFired(timer=timer) for timer in Timer if timer is not Timer.BOOT]
    fired += [TimerFired(timer=Timer.STEP)] * 10
    if device.state in {State.OFF, State.REBOOTING, State.FALLING_BACK, State.ASLEEP}:
        fired = [TimerFired(timer=Timer.BOOT)]
    others: list[Event] = [Connected(), Connected(), Disconnected(), pushed, asked, answered, answered, PowerLost()]
    return chance.choice([*fired, *([] if device.state in {State.OFF, State.GONE} else others)])


def test_the_numbers_equal_a_recount_whatever_happens() -> None:
    chance = PLAN.chance(5)
    devices = PLAN.build()
    tally = Tally(devices, now=0.0)
    for _ in range(6000):
        number = chance.randrange(len(devices))
        before = devices[number]
        devices[number], _ = step(before, event(before, chance), chance)
        tally.moved(before, devices[number])
    progress = tally.progress(now=9.0)
    healthy = [device for device in devices if device.model.fault is None or device.model.fault.converges]
    assert progress.by_state == Counter(str(device.state) for device in devices)
    assert progress.by_version == Counter(device.running for device in devices)
    assert progress.settled == Counter(device.running for device in healthy if device.settled)
    assert progress.connected == sum(device.connected for device in devices)
    assert progress.installs == sum(device.installs for device in devices) > 10
    assert progress.failures == sum(device.failures for device in devices) > 0
    assert progress.refused == sum(device.refused for device in devices) > 0
    assert (progress.devices, progress.healthy, progress.seconds) == (34, len(healthy), 9.0)
    assert progress.by_fault["none"] == 4


def test_rates_are_those_since_the_last_mark() -> None:
    tally = Tally([], now=10.0)
    tally.sent, tally.received = 100, 30
    tally.mark(12.0)
    assert (tally.progress(12.0).sent_per_second, tally.progress(12.0).received_per_second) == (50.0, 15.0)
    tally.mark(12.0)
    tally.mark(13.0)
    assert tally.progress(13.0).sent_per_second == 0.0


def test_a_fleet_has_converged_when_every_healthy_device_has() -> None:
    fleet = [
        Device(model=Model(token=str(fault), app_version="v", fault=fault), slots=("1.0.0", "2.0.0"))
        for fault in (None, Fault.SLEEPER, Fault.FAILING_INSTALL)
    ]
    tally = Tally(fleet, now=0.0)
    done = converged("2.0.0")
    assert not done(tally.progress(0.0))
    for device in fleet[:2]:
        assert not done(tally.progress(0.0))
        tally.moved(device, replace(device, active=1, state=State.IDLE, confirmed="2.0.0"))
    assert done(tally.progress(0.0))
    assert not converged("1.0.0")(tally.progress(0.0))


def test_the_numbers_for_json_have_names_in_camel_case() -> None:
    members = Tally(PLAN.build(), now=0.0).progress(1.23456).members()
    assert members["seconds"] == 1.235
    assert members["byVersion"] == {"1.0.0": 20, "1.1.0": 14}
    assert set(members) == {
        "".join([first, *map(str.capitalize, rest)])
        for first, *rest in (name.split("_") for name in Progress.__slots__)
    }
