"""Scripts: given a device, when this happens to it, it does exactly that; one for each fault."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace

import pytest

from device_sim.behaviours import step
from device_sim.devices import (
    CancelTimer,
    Command,
    Connect,
    Connected,
    CutOff,
    Device,
    Disconnect,
    Disconnected,
    Event,
    Model,
    Pace,
    PowerLost,
    Publish,
    Received,
    SetTimer,
    State,
    Subscribe,
    Timer,
    TimerFired,
)
from device_sim.faults import Fault
from protocol import configurations
from protocol.configurations import Profile

BASE = "kp1/kettle-v1/cmx_ota/tok"
PUSH = f"{BASE}/config/json/status"
PACE = Pace(retry_seconds=10, download_seconds=2)


class Middle(random.Random):
    """Chance that always takes the middle: times are as the pace says, and nothing is lost."""

    def random(self) -> float:
        return 0.5


@dataclass(slots=True)
class Script:
    """One device, and everything that it has done."""

    fault: Fault | None = None
    attributes: bytes = b""
    chance: random.Random = field(default_factory=Middle)
    device: Device = field(init=False)
    done: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        model = Model(token="tok", app_version="kettle-v1", fault=self.fault, attributes=self.attributes, pace=PACE)
        self.device = Device(model=model, slots=("1.0.0", "1.0.0"))

    def when(self, *events: Event | Timer) -> list[Command]:
        """Let events happen; return what the device did about the last one."""
        commands: tuple[Command, ...] = ()
        for event in events:
            given = TimerFired(timer=event) if isinstance(event, Timer) else event
            self.device, commands = step(self.device, given, self.chance)
            self.done += commands
        return list(commands)

    def started(self) -> Script:
        """Switched on, connected, and its first report confirmed."""
        self.when(Timer.BOOT, Connected())
        self.confirm()
        return self

    def confirm(self, answer: str = "status") -> list[Command]:
        """Otao answers what was said last."""
        return self.when(Received(topic=f"{self.device.pending[-1].topic}/{answer}", payload=b""))

    def offered(self, version: str) -> list[Command]:
        return self.when(offer(version))

    def installed(self, version: str) -> Script:
        """Offered a version, and restarting into it."""
        self.offered(version)
        self.when(Timer.STEP, Timer.STEP, Timer.STEP, Timer.STEP)
        return self

    def said(self) -> list[tuple[str, object]]:
        """All messages so far: resource, and version or state."""
        return [message for command in self.done if isinstance(command, Publish) for message in [spoken(command)]]


def offer(version: str) -> Received:
    return Received(topic=PUSH, payload=configurations.offer(version, '{"link":"https://x"}', Profile.KAA))


def spoken(message: Publish) -> tuple[str, object]:
    body = json.loads(message.payload)
    resource = message.topic.removeprefix(f"{BASE}/")
    if resource == "progress/json":
        return f"{body['state']} {body.get('percent', '')}".strip(), body["configId"]
    return resource, (body.get("statusCode"), body["configId"]) if "statusCode" in body else body.get("configId", body)


def report(number: int, version: str = "1.0.0", qos: int = 1) -> Publish:
    return Publish(topic=f"{BASE}/applied/json/{number}", payload=b'{"configId":"%s"}' % version.encode(), qos=qos)


def subscribe(qos: int = 1) -> Subscribe:
    return Subscribe(topic_filters=(PUSH, f"{BASE}/applied/json/+/+"), qos=qos)


RETRY = SetTimer(timer=Timer.RETRY, seconds=10)


def test_it_subscribes_and_then_says_what_it_runs() -> None:
    script = Script()
    assert script.when(Timer.BOOT) == [Connect()]
    assert script.when(Connected()) == [subscribe(), report(1), RETRY]
    assert script.confirm() == [CancelTimer(timer=Timer.RETRY)]
    assert script.device.settled


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
    assert script.when(Timer.STEP) == [report(2, "1.1.0"), RETRY]
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


@pytest.mark.parametrize(
    "payload",
    [b"rubbish", b'{"configId":"1.1.0","statusCode":500,"config":{}}', b'{"configId":"new","config":{}}', b"[]"],
)
def test_a_push_that_is_no_offer_is_counted_and_ignored(payload: bytes) -> None:
    script = Script().started()
    assert script.when(Received(topic=PUSH, payload=payload)) == []
    assert script.device.refused == 1
    assert script.device.state is State.IDLE


def test_what_comes_while_it_is_away_is_not_heard() -> None:
    script = Script().started().installed("1.1.0")
    assert script.offered("2.0.0") == []
    assert script.device.waiting is None


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


def test_duplicates_sends_each_report_twice() -> None:
    script = Script(Fault.DUPLICATES)
    script.when(Timer.BOOT)
    assert script.when(Connected()) == [subscribe(), report(1), report(1), RETRY]


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
    assert script.when(Timer.STEP) == [report(2, "1.1.0"), RETRY, SetTimer(timer=Timer.WATCHDOG, seconds=2)]
    script.confirm()
    assert script.when(Timer.WATCHDOG) == [
        CancelTimer(timer=Timer.STEP),
        Disconnect(),
        SetTimer(timer=Timer.BOOT, seconds=1),
    ]
    script.when(Timer.BOOT)
    assert script.when(Connected())[1] == report(3, "1.0.0")


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


def test_silent_is_never_heard_of_again() -> None:
    script = Script(Fault.SILENT).started().installed("1.1.0")
    assert script.when(Timer.BOOT) == []
    assert script.device.state is State.GONE


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


def test_qos0_publishes_and_subscribes_with_qos_0() -> None:
    script = Script(Fault.QOS_0).started().installed("1.1.0")
    assert script.done[1:3] == [subscribe(0), report(1, qos=0)]
    assert {command.qos for command in script.done if isinstance(command, Publish | Subscribe)} == {0}


def test_each_fault_is_tried_here() -> None:
    tried = {name for name in globals() if name.startswith("test_")}
    named = {fault: fault.replace("-", "_") for fault in Fault}
    assert [fault for fault, name in named.items() if not any(name in test for test in tried)] == []
