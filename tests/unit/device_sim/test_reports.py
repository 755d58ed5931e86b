"""What a device says, as scripts."""

from __future__ import annotations

from device_sim.devices import CancelTimer, Connected, Disconnected, Publish, Received, SetTimer, Timer
from device_sim.faults import Fault
from tests.unit.device_sim.scripts import RETRY, Script, report, subscribe


def test_an_unanswered_report_is_repeated_and_less_and_less_often() -> None:
    script = Script()
    script.when(Timer.BOOT, Connected())
    for seconds in (20, 40, 80, 160, 160):
        assert script.when(Timer.RETRY) == [report(1), SetTimer(timer=Timer.RETRY, seconds=seconds)]
    script.confirm()
    assert script.when(Timer.RETRY) == []


def test_a_connection_that_is_made_again_brings_a_new_report() -> None:
    script = Script()
    script.when(Timer.BOOT, Connected(), Disconnected())
    assert script.when(Timer.RETRY) == []
    assert script.when(Connected()) == [subscribe(), report(2), RETRY]


def test_attributes_are_sent_before_the_first_report_and_only_once() -> None:
    script = Script(attributes=b'{"ring":1}')
    script.when(Timer.BOOT)
    _, attributes, first, _ = script.when(Connected())
    assert attributes == Publish(topic="kp1/kettle-v1/epmx/tok/update/keys/1", payload=b'{"ring":1}', qos=1)
    assert first == report(2)
    script.when(Received(topic="kp1/kettle-v1/epmx/tok/update/keys/1/status", payload=b""))
    script.confirm()
    script.when(Disconnected(), Connected())
    assert sum(isinstance(command, Publish) and "epmx" in command.topic for command in script.done) == 1


def test_duplicates_sends_each_report_twice() -> None:
    script = Script(Fault.DUPLICATES)
    script.when(Timer.BOOT)
    assert script.when(Connected()) == [subscribe(), report(1), report(1), RETRY]


def test_never_subscribes_reports_and_waits_for_no_answer() -> None:
    script = Script(Fault.NEVER_SUBSCRIBES)
    script.when(Timer.BOOT)
    assert script.when(Connected()) == [report(1)]
    assert script.when(Timer.RETRY) == []


def test_foreign_config_id_is_refused_and_not_repeated() -> None:
    script = Script(Fault.FOREIGN_CONFIG_ID)
    script.when(Timer.BOOT)
    assert report(1, "build-1.0.0") in script.when(Connected())
    assert script.confirm("error") == [CancelTimer(timer=Timer.RETRY)]
    assert script.device.refused == 1
    assert not script.device.settled
    assert script.when(Timer.RETRY) == []
