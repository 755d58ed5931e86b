"""What a device says, as scripts."""

from __future__ import annotations

import json
from dataclasses import replace

from device_sim.devices import CancelTimer, Connected, Disconnected, Publish, Received, SetTimer, Timer
from device_sim.faults import Fault
from tests.unit.device_sim.scripts import ASK, BASE, PACE, RETRY, Script, answer, ask, report, spoken, subscribe


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


def test_after_an_update_it_says_that_it_fares_well() -> None:
    script = Script().started().updated("1.1.0")
    assert script.when(Timer.HEALTH) == [
        Publish(topic=f"{BASE}/health/json/3", payload=b'{"healthy":true,"configId":"1.1.0"}', qos=1),
        RETRY,
    ]
    # What it runs is known: a fleet that has arrived would else be one fewer for a moment.
    assert script.device.settled
    assert script.confirm() == [CancelTimer(timer=Timer.RETRY)]
    assert script.device.settled


def test_unhealthy_says_why() -> None:
    script = Script(Fault.UNHEALTHY).started().updated("1.1.0")
    message, _ = script.when(Timer.HEALTH)
    assert isinstance(message, Publish)
    assert json.loads(message.payload) == {
        "healthy": False,
        "reason": "it runs too hot",
        "metrics": {"celsius": 93.5},
        "configId": "1.1.0",
    }


def test_health_is_not_said_while_it_restarts_and_is_repeated_until_it_was_heard() -> None:
    script = Script().started().installed("1.1.0")
    assert script.when(Timer.HEALTH) == []
    script.when(Timer.BOOT)
    assert script.when(Timer.HEALTH) == []
    script.when(Connected(), Timer.STEP)
    script.confirm()
    health, _ = script.when(Timer.HEALTH)
    assert script.when(Timer.RETRY)[0] == health
    assert health in script.when(Disconnected(), Connected())


def test_a_sleeper_says_how_it_fares_when_it_wakes() -> None:
    script = Script(Fault.SLEEPER).started().updated("1.1.0")
    script.when(Timer.SLEEP)
    assert script.when(Timer.HEALTH) == []
    script.when(Timer.BOOT)
    said = [spoken(command) for command in script.when(Connected()) if isinstance(command, Publish)]
    assert said == [("health/json/3", "1.1.0"), ("applied/json/4", "1.1.0")]


def test_who_is_asked_grants_consent_once_until_that_was_heard() -> None:
    script = Script().started()
    assert script.when(ask("1.1.0")) == [answer(2, "1.1.0", granted=True), RETRY]
    assert script.when(ask("1.1.0")) == []
    assert script.when(ask("1.2.0"))[-2:] == [answer(3, "1.2.0", granted=True), RETRY]
    script.confirm()
    script.confirm()
    assert script.when(Received(topic=ASK, payload=b"")) == []
    # It is for Otao to know that it has asked before.
    assert script.when(ask("1.1.0")) == [answer(4, "1.1.0", granted=True), RETRY]


def test_refuses_consent_says_why_and_installs_what_it_is_offered_all_the_same() -> None:
    script = Script(Fault.REFUSES_CONSENT).started()
    assert script.when(ask("1.1.0"))[0] == answer(2, "1.1.0", granted=False, reason="the owner said no")
    script.confirm()
    script.updated("1.1.0")
    assert script.device.settled


def test_an_ask_that_is_none_is_counted_and_ignored() -> None:
    script = Script().started()
    assert script.when(Received(topic=ASK, payload=b"rubbish")) == []
    assert script.device.refused == 1


def test_a_device_that_is_about_to_leave_answers_no_ask() -> None:
    script = Script(Fault.OFFLINE)
    script.when(Timer.BOOT, Connected())
    assert script.when(ask("1.1.0")) == []


def test_a_device_may_say_again_what_it_runs_while_it_rests() -> None:
    script = Script(pace=replace(PACE, report_every_seconds=60))
    repeat = SetTimer(timer=Timer.REPEAT, seconds=60)
    script.when(Timer.BOOT)
    assert script.when(Connected()) == [subscribe(), report(1), RETRY, repeat]
    script.confirm()
    again = Publish(topic=f"{BASE}/applied/json", payload=b'{"configId":"1.0.0"}', qos=1)
    assert script.when(Timer.REPEAT) == [again, repeat]
    assert script.device.settled
    script.offered("1.1.0")
    # Otao would take it for a return.
    assert script.when(Timer.REPEAT) == [repeat]
    assert script.when(Disconnected(), Timer.REPEAT) == []
    assert repeat in script.when(Connected())


def test_duplicates_says_again_twice() -> None:
    script = Script(Fault.DUPLICATES, pace=replace(PACE, report_every_seconds=60)).started()
    again, twice, _ = script.when(Timer.REPEAT)
    assert again == twice
