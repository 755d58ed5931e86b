"""Scripts: given a device, when this happens to it, it does exactly that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_sim.devices import (
    CancelTimer,
    Connect,
    Connected,
    CutOff,
    Disconnect,
    PowerLost,
    Publish,
    SetTimer,
    State,
    Subscribe,
    Timer,
)
from device_sim.faults import Fault
from tests.unit.device_sim.scripts import BASE, RETRY, Middle, Script, offer, report, subscribe


def test_it_subscribes_and_then_says_what_it_runs() -> None:
    script = Script()
    assert script.when(Timer.BOOT) == [Connect()]
    assert script.when(Connected()) == [subscribe(), report(1), RETRY]
    assert script.confirm() == [CancelTimer(timer=Timer.RETRY)]
    assert script.device.settled


@pytest.mark.parametrize(
    "topic",
    ["kp1/kettle-v1/cmx_ota/other/config/json/status", "kp1/kettle-v2/cmx_ota/tok/config/json/status",
     f"{BASE}/config/json/5/status", f"{BASE}/applied/json/99/status", f"{BASE}/applied/json/1/other", "x"],
)  # fmt: skip
def test_what_is_not_its_own_is_ignored(topic: str) -> None:
    script = Script()
    script.when(Timer.BOOT, Connected())
    before = script.device
    assert script.when(replace(offer("1.1.0"), topic=topic)) == []
    assert script.device == before


def test_what_comes_while_it_is_away_is_not_heard() -> None:
    script = Script().started().installed("1.1.0")
    assert script.offered("2.0.0") == []
    assert script.device.waiting is None


def test_offline_reports_once_and_leaves_for_good() -> None:
    script = Script(Fault.OFFLINE)
    script.when(Timer.BOOT, Connected())
    assert script.offered("1.1.0") == []
    assert script.confirm() == [CancelTimer(timer=Timer.RETRY), Disconnect()]
    assert script.device.state is State.GONE
    assert script.when(PowerLost()) == []


def test_sleeper_sleeps_only_when_there_is_nothing_to_do() -> None:
    script = Script(Fault.SLEEPER)
    script.when(Timer.BOOT)
    assert SetTimer(timer=Timer.SLEEP, seconds=5) in script.when(Connected())
    assert script.when(Timer.SLEEP) == [SetTimer(timer=Timer.SLEEP, seconds=5)]
    script.confirm()
    assert script.when(Timer.SLEEP) == [Disconnect(), SetTimer(timer=Timer.BOOT, seconds=30)]
    assert script.device.settled
    assert script.when(Timer.BOOT) == [Connect()]
    script.when(Connected())
    script.confirm()
    script.offered("1.1.0")
    assert script.when(Timer.SLEEP) == [SetTimer(timer=Timer.SLEEP, seconds=5)]


def test_a_sleeper_that_restarts_is_awake_anew() -> None:
    script = Script(Fault.SLEEPER).started().installed("1.1.0")
    assert script.when(Timer.SLEEP) == []


def test_drops_loses_a_message_with_its_connection_and_what_follows() -> None:
    class Unlucky(Middle):
        def random(self) -> float:
            return 0.0

    script = Script(Fault.DROPS, attributes=b'{"a":1}', chance=Unlucky())
    script.when(Timer.BOOT)
    *commands, retry = script.when(Connected())
    assert commands == [Subscribe(topic_filters=script.device.model.topic_filters, qos=1), CutOff(again=True)]
    assert retry == SetTimer(timer=Timer.RETRY, seconds=5)
    assert not script.device.connected
    script.chance = Middle()
    assert [command.topic for command in script.when(Connected()) if isinstance(command, Publish)] == [
        "kp1/kettle-v1/epmx/tok/update/keys/1",
        f"{BASE}/applied/json/3",
    ]


def test_drops_still_leaves_when_it_restarts() -> None:
    class Unlucky(Middle):
        def random(self) -> float:
            return 0.0

    script = Script(Fault.DROPS).started()
    script.offered("1.1.0")
    script.when(Timer.STEP, Timer.STEP, Timer.STEP)
    script.chance = Unlucky()
    # It was about to leave anyway: there is no connection left to lose.
    assert script.when(Timer.STEP)[-2:] == [Disconnect(), SetTimer(timer=Timer.BOOT, seconds=0.5)]


def test_silent_is_never_heard_of_again() -> None:
    script = Script(Fault.SILENT).started().installed("1.1.0")
    assert script.when(Timer.BOOT) == []
    assert script.device.state is State.GONE


def test_qos0_publishes_and_subscribes_with_qos_0() -> None:
    script = Script(Fault.QOS_0).started().installed("1.1.0")
    assert script.done[1:3] == [subscribe(0), report(1, qos=0)]
    assert {command.qos for command in script.done if isinstance(command, Publish | Subscribe)} == {0}
