"""Updates, as scripts: from an offer to the new version, or back to the old one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_sim.devices import (
    CancelTimer,
    Connect,
    Connected,
    CutOff,
    Disconnect,
    Disconnected,
    Event,
    PowerLost,
    Publish,
    Received,
    SetTimer,
    State,
    Timer,
)
from device_sim.faults import Fault
from tests.unit.device_sim.scripts import HEALTH, PACE, PUSH, RETRY, Script, report, spoken, subscribe


def test_it_updates_in_steps_and_says_so() -> None:
    script = Script().started()
    assert script.offered("1.1.0")[1:] == [SetTimer(timer=Timer.STEP, seconds=1)]
    script.when(Timer.STEP, Timer.STEP, Timer.STEP)
    assert script.device.state is State.INSTALLING
    assert script.when(Timer.STEP)[1:] == [Disconnect(), SetTimer(timer=Timer.BOOT, seconds=1)]
    assert script.device.running == "1.1.0"
    assert script.when(Timer.BOOT) == [Connect()]
    # The offer is still retained when it comes back, and its health is not yet known.
    assert script.when(Connected()) == [subscribe(), SetTimer(timer=Timer.STEP, seconds=0.5)]
    assert script.offered("1.1.0") == []
    assert script.when(Timer.STEP) == [report(2, "1.1.0"), RETRY, HEALTH]
    script.confirm()
    assert script.device.settled
    assert script.said() == [
        ("applied/json/1", "1.0.0"),
        ("downloading 0", "1.1.0"),
        ("downloading 50", "1.1.0"),
        ("downloaded", "1.1.0"),
        ("installing", "1.1.0"),
        ("rebooting", "1.1.0"),
        ("applied/json/2", "1.1.0"),
    ]


def test_an_offer_of_what_it_runs_is_answered_and_not_installed() -> None:
    script = Script().started()
    assert script.offered("1.0.0") == [report(2), RETRY]
    # Once is enough until the answer is there.
    assert script.offered("1.0.0") == []
    assert script.device.state is State.IDLE


def test_a_download_goes_on_without_a_connection() -> None:
    script = Script().started()
    script.offered("1.1.0")
    assert script.when(Disconnected()) == []
    assert script.when(Timer.STEP) == [SetTimer(timer=Timer.STEP, seconds=1)]
    script.when(Connected())
    assert script.offered("1.1.0") == []
    assert script.device.state is State.DOWNLOADING


def test_a_newer_offer_waits_for_the_end_of_the_install() -> None:
    script = Script().started()
    script.offered("1.1.0")
    assert script.offered("2.0.0") == []
    script.when(Timer.STEP, Timer.STEP, Timer.STEP, Timer.STEP, Timer.BOOT, Connected())
    script.when(Timer.STEP)
    assert script.device.state is State.DOWNLOADING
    assert script.device.installing == "2.0.0"


def test_an_offer_that_is_withdrawn_while_it_waits_is_forgotten_and_a_begun_one_is_not() -> None:
    script = Script().started()
    script.offered("1.1.0")
    script.offered("2.0.0")
    assert script.when(Received(topic=PUSH, payload=b"")) == []
    assert script.device.waiting is None
    assert script.device.installing == "1.1.0"


@pytest.mark.parametrize(
    "payload",
    [b"rubbish", b'{"configId":"1.1.0","statusCode":500,"config":{}}', b'{"configId":"new","config":{}}', b"[]"],
)
def test_a_push_that_is_no_offer_is_counted_and_ignored(payload: bytes) -> None:
    script = Script().started()
    assert script.when(Received(topic=PUSH, payload=payload)) == []
    assert script.device.refused == 1
    assert script.device.state is State.IDLE


@pytest.mark.parametrize("steps", range(4))
def test_power_lost_before_the_new_slot_is_written_starts_the_old_one_again(steps: int) -> None:
    script = Script().started()
    script.offered("1.1.0")
    script.when(*[Timer.STEP] * steps)
    commands = script.when(PowerLost())
    assert commands[0] == CutOff(again=False)
    assert commands[-1] == SetTimer(timer=Timer.BOOT, seconds=1)
    assert script.when(Timer.BOOT) == [Connect()]
    assert script.when(Connected())[1] == report(2)


@pytest.mark.parametrize("events", [[], [Timer.BOOT], [Timer.BOOT, Connected()]])
def test_power_lost_before_the_new_version_has_proven_itself_goes_back(events: list[Event | Timer]) -> None:
    script = Script().started().installed("1.1.0")
    script.when(*events, PowerLost(), Timer.BOOT)
    assert script.when(Connected())[1] == report(2, "1.0.0")


def test_power_lost_without_power_changes_nothing() -> None:
    script = Script()
    assert script.when(PowerLost()) == []


def test_stall_stops_in_the_middle_of_its_download() -> None:
    script = Script(Fault.STALL).started()
    script.offered("1.1.0")
    assert [spoken(command) for command in script.when(Timer.STEP) if isinstance(command, Publish)] == [
        ("downloading 50", "1.1.0")
    ]
    assert not [command for command in script.done[-1:] if isinstance(command, SetTimer)]
    assert script.device.state is State.DOWNLOADING


def test_power_cut_comes_once_and_the_second_install_succeeds() -> None:
    script = Script(Fault.POWER_CUT).started()
    script.offered("1.1.0")
    assert script.when(Timer.STEP, Timer.STEP, Timer.STEP, Timer.STEP)[0] == CutOff(again=False)
    assert script.device.state is State.OFF
    script.when(Timer.BOOT, Connected())
    script.confirm()
    script.installed("1.1.0").when(Timer.BOOT, Connected(), Timer.STEP)
    script.confirm()
    assert script.device.settled
    assert script.device.running == "1.1.0"


def test_failing_install_says_so_and_goes_on_with_the_old_version() -> None:
    script = Script(Fault.FAILING_INSTALL).started().installed("1.1.0")
    assert script.said()[-1] == ("applied/json/2", (507, "1.1.0"))
    assert script.device.running == "1.0.0"
    script.confirm()
    # What Otao has confirmed is still the report of what runs.
    assert script.device.settled
    assert script.device.failures == 1
    script.offered("1.1.0")
    assert script.device.state is State.DOWNLOADING


def test_fall_back_reports_the_new_version_and_then_the_old() -> None:
    script = Script(Fault.FALL_BACK).started().installed("1.1.0")
    script.when(Timer.BOOT, Connected())
    assert script.when(Timer.STEP) == [report(2, "1.1.0"), RETRY, HEALTH, SetTimer(timer=Timer.WATCHDOG, seconds=2)]
    script.confirm()
    assert script.when(Timer.WATCHDOG) == [
        CancelTimer(timer=Timer.STEP),
        CancelTimer(timer=Timer.HEALTH),
        Disconnect(),
        SetTimer(timer=Timer.BOOT, seconds=1),
    ]
    script.when(Timer.BOOT)
    assert script.when(Connected())[1] == report(3, "1.0.0")


def test_fall_back_takes_as_long_as_the_pace_says() -> None:
    script = Script(Fault.FALL_BACK, pace=replace(PACE, watchdog_seconds=90)).started().installed("1.1.0")
    assert script.when(Timer.BOOT, Connected(), Timer.STEP)[-1] == SetTimer(timer=Timer.WATCHDOG, seconds=90)


def test_fall_back_strikes_a_download_as_well_but_not_a_restart() -> None:
    script = Script(Fault.FALL_BACK).started().installed("1.1.0")
    assert script.when(Timer.WATCHDOG) == []
    script.when(Timer.BOOT, Connected(), Timer.STEP)
    script.offered("2.0.0")
    script.when(Timer.WATCHDOG)
    assert script.device.state is State.FALLING_BACK
    assert script.device.running == "1.0.0"


def test_no_bump_reports_the_old_version_and_flashes_for_ever() -> None:
    script = Script(Fault.NO_BUMP).started()
    for number in range(2, 5):
        script.installed("1.1.0").when(Timer.BOOT, Connected())
        script.offered("1.1.0")
        assert report(number) in script.when(Timer.STEP)
        assert script.device.state is State.DOWNLOADING
        script.confirm()
        assert script.device.installs == number - 1
