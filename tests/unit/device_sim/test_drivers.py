"""Devices and connections together, by hand-moved time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from device_sim import addresses, mixes
from device_sim.devices import Pace, PowerLost, State
from device_sim.drivers import Driver, identities
from device_sim.packets import Publish
from device_sim.plans import FleetPlan
from protocol import configurations
from protocol.configurations import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_sim.drivers import Connection

PLAN = FleetPlan(
    app_version="v", devices=4, versions=mixes.parse("1.0.0"), ramp_seconds=0.0, pace=Pace(download_seconds=1.0)
)
BEHIND = replace(PLAN, gateways=2)


@dataclass(slots=True)
class Line:
    """A connection that keeps what it was told."""

    number: int
    failures: int = 0
    code: int = 0
    is_open: bool = False
    is_free: bool = True
    told: list[str] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        self.told.append(f"publish {topic} {payload.decode()} {qos}")

    def subscribe(self, topic_filters: Sequence[str], qos: int) -> None:
        self.told.append(f"subscribe {topic_filters[0]} {qos}")

    def unsubscribe(self, topic_filters: Sequence[str]) -> None:
        self.told.append(f"unsubscribe {topic_filters[0]}")

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")

    def watch(self) -> float:
        self.told.append("watch")
        return 45.0

    def take(self) -> list[str]:
        taken, self.told = self.told, []
        return taken


class Stage:
    def __init__(self, plan: FleetPlan) -> None:
        self.now = 100.0
        self.dialled: list[int] = []
        self.driver = Driver(plan, lambda: self.now, self._dial)
        self.lines = [Line(number) for number in range(plan.gateways or plan.devices)]
        self.driver.carriers = self.lines

    def _dial(self, carrier: Connection) -> None:
        self.dialled.append(carrier.number)

    def after(self, seconds: float) -> list[int]:
        """Let time pass; return which connections were asked for."""
        self.now += seconds
        self.driver.pass_time()
        taken, self.dialled = self.dialled, []
        return taken

    def open(self, number: int) -> None:
        line = self.lines[number]
        line.is_open, line.is_free, line.failures = True, False, 0
        self.driver.opened(line)

    def close(self, number: int) -> None:
        line = self.lines[number]
        line.is_open, line.is_free = False, True
        self.driver.closed(line)


def push(number: int, version: str = "1.1.0") -> Publish:
    payload = configurations.offer(version, "{}", Profile.KAA)
    return Publish(topic=f"kp1/v/cmx_ota/sim-{number:05d}/config/json/status", payload=payload)


def report(number: int) -> str:
    return f'publish kp1/v/cmx_ota/sim-{number:05d}/applied/json/1 {{"configId":"1.0.0"}} 1'


def test_each_device_has_its_own_credentials_and_a_gateway_those_of_all() -> None:
    address = addresses.parse("mqtt://{token}:s-{token}@h")
    own = identities(PLAN, address)
    assert [(one.client_id, one.username, one.password) for one in own[:2]] == [
        ("sim-00000", "sim-00000", "s-sim-00000"),
        ("sim-00001", "sim-00001", "s-sim-00001"),
    ]
    shared = identities(BEHIND, addresses.parse("mqtt://gw:secret@h"))
    assert [(one.client_id, one.username) for one in shared] == [("sim-gateway-0", "gw"), ("sim-gateway-1", "gw")]


def test_a_device_that_is_switched_on_gets_its_connection_and_reports() -> None:
    stage = Stage(PLAN)
    assert stage.after(0) == [0, 1, 2, 3]
    stage.open(2)
    assert stage.lines[2].take() == ["watch", "subscribe kp1/v/cmx_ota/sim-00002/config/json/status 1", report(2)]
    assert stage.driver.tally.progress(stage.now).connected == 1
    stage.after(44)
    assert "watch" not in stage.lines[2].take()
    stage.after(1)
    assert "watch" in stage.lines[2].take()


def test_a_message_is_for_the_device_of_its_connection() -> None:
    stage = Stage(PLAN)
    stage.after(0)
    stage.open(2)
    stage.driver.received(stage.lines[2], push(1))
    assert stage.driver.devices[2].state is State.IDLE
    stage.driver.received(stage.lines[2], push(2))
    assert [device.state for device in stage.driver.devices].count(State.DOWNLOADING) == 1


def test_a_lost_connection_is_made_again_later_and_later() -> None:
    stage = Stage(PLAN)
    stage.after(0)
    stage.open(0)
    stage.close(0)
    assert stage.driver.tally.progress(stage.now).connections_lost == 1
    assert stage.after(0.2) == [0]
    waits = []
    for _ in range(12):
        stage.close(0)
        began = stage.now
        while not stage.after(0.05):
            pass
        waits.append(stage.now - began)
    assert max(waits[:2]) <= 0.9
    assert 1 < max(waits) <= 5.1
    assert stage.driver.tally.progress(stage.now).connections_lost == 1


def test_a_broker_that_refuses_is_asked_only_now_and_then() -> None:
    stage = Stage(PLAN)
    stage.after(0)
    stage.lines[0].code = 5
    stage.close(0)
    assert stage.after(14.9) == []
    assert stage.after(15.2) == [0]


def test_a_connection_that_is_not_wanted_is_not_made_again() -> None:
    stage = Stage(PLAN)
    stage.after(0)
    stage.open(0)
    stage.driver.happen(0, PowerLost())
    assert "abort" in stage.lines[0].take()
    stage.close(0)
    assert stage.driver.tally.progress(stage.now).connections_lost == 0
    assert stage.after(0.4) == []
    # Power comes back after half a second at the earliest.
    assert stage.after(1.2) == [0]


def test_everybody_is_told_when_a_connection_has_ended() -> None:
    stage = Stage(PLAN)
    ended: list[bool] = []
    stage.driver.on_closed = lambda: ended.append(stage.lines[0].is_free)
    stage.close(0)
    assert ended == [True]


def test_gateways_are_connected_first_and_bring_their_devices() -> None:
    stage = Stage(BEHIND)
    assert sorted(stage.after(0)) == [0, 1]
    stage.open(1)
    assert stage.lines[1].take() == [
        "watch",
        *[told for n in (1, 3) for told in (f"subscribe kp1/v/cmx_ota/sim-{n:05d}/config/json/status 1", report(n))],
    ]


def test_a_gateway_hands_on_only_what_is_for_its_devices() -> None:
    stage = Stage(BEHIND)
    stage.after(0)
    stage.open(0)
    stage.open(1)
    for message in (push(1), push(9), replace(push(0), topic="x"), replace(push(0), topic="kp1/v/cmx_ota/sim-00000")):
        stage.driver.received(stage.lines[0], message)
    assert {device.state for device in stage.driver.devices} == {State.IDLE}
    stage.driver.received(stage.lines[1], push(1))
    assert stage.driver.devices[1].state is State.DOWNLOADING
    assert stage.driver.tally.progress(stage.now).received == 5


def test_behind_a_gateway_a_device_leaves_by_unsubscribing() -> None:
    stage = Stage(BEHIND)
    stage.after(0)
    stage.open(0)
    stage.lines[0].take()
    stage.driver.happen(2, PowerLost())
    assert stage.lines[0].take() == ["unsubscribe kp1/v/cmx_ota/sim-00002/config/json/status"]
    stage.after(1.6)
    assert stage.lines[0].take()[0] == "subscribe kp1/v/cmx_ota/sim-00002/config/json/status 1"


def test_a_gateway_that_is_lost_takes_its_devices_along() -> None:
    stage = Stage(BEHIND)
    stage.after(0)
    stage.open(0)
    stage.close(0)
    assert not any(device.connected for device in stage.driver.devices)
    assert stage.driver.tally.progress(stage.now).connections_lost == 2
    assert stage.after(0.3) == [0]


def test_a_device_that_loses_its_gateway_finds_it_again() -> None:
    plan = replace(BEHIND, faults=mixes.parse("drops=100%"), seed=3)
    stage = Stage(plan)
    stage.after(0)
    stage.open(0)
    stage.open(1)
    for _ in range(40):
        stage.after(10)
    told = stage.lines[0].take() + stage.lines[1].take()
    lost = sum(command.startswith("unsubscribe") for command in told)
    assert lost > 0
    assert sum(command.startswith("subscribe") for command in told) >= lost
    assert not [command for command in told if command in {"abort", "close"}]


def test_a_connection_that_comes_up_while_its_device_restarts_is_closed_and_made_again_when_it_is_wanted() -> None:
    stage = Stage(replace(PLAN, devices=1))
    stage.after(0.1)
    stage.open(0)
    stage.driver.received(stage.lines[0], push(0))
    stage.close(0)
    # The install goes on without a connection, while the next one is being made.
    assert 0 in stage.after(5.0)
    for _ in range(40):
        stage.after(0.1)
        if _state(stage) is State.REBOOTING:
            break
    assert _state(stage) is State.REBOOTING
    stage.lines[0].take()
    stage.open(0)
    assert stage.lines[0].take() == ["close"]
    stage.after(5.0)
    assert _state(stage) is State.CHECKING
    stage.close(0)
    stage.after(5.0)
    stage.open(0)
    stage.after(5.0)
    assert (_state(stage), stage.driver.devices[0].running) == (State.IDLE, "1.1.0")


def _state(stage: Stage) -> State:
    return stage.driver.devices[0].state
