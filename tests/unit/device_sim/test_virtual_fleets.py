"""A fleet in virtual time: who can be reached, who says what, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from device_sim import mixes, paces
from device_sim.errors import PlanError
from device_sim.habits import DAY, HOUR, USUAL
from device_sim.plans import FleetPlan
from device_sim.virtual_fleets import VirtualFleet
from protocol import configurations
from protocol.configurations import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_sim.virtual_fleets import Message

BASE = "kp1/kettle-v1/cmx_ota/sim-00000/"
PUSH = f"{BASE}config/json/status"
OFFER = configurations.offer("1.1.0", '{"link": "x"}', Profile.KAA)


def make(habits: str = "steady", faults: str = "", devices: int = 1, attributes: str = "") -> VirtualFleet:
    plan = FleetPlan(
        app_version="kettle-v1",
        devices=devices,
        versions=mixes.parse("1.0.0"),
        faults=mixes.parse(faults),
        attributes={"ring": mixes.parse(attributes)} if attributes else {},
        pace=paces.REAL,
    )
    return VirtualFleet(plan, mixes.parse(habits))


def introduced(fleet: VirtualFleet) -> list[Message]:
    """Introduce the fleet, answer what it says, and begin."""
    said = fleet.introduce()
    answer(fleet, said)
    fleet.begin()
    return said


def answer(fleet: VirtualFleet, said: Sequence[Message]) -> None:
    for topic, _ in said:
        if not topic.endswith("progress/json"):
            fleet.hear(f"{topic}/status", b"")


def names(said: Sequence[Message]) -> list[str]:
    return [topic.removeprefix(BASE).partition("/")[0] for topic, _ in said]


def run(fleet: VirtualFleet, until: float, step: float = 300) -> list[Message]:
    """Let time go by; every request is answered at the end of its step, and an offer that was reported is cleared."""
    said: list[Message] = []
    while fleet.at < until:
        now = fleet.act(min(fleet.at + step, until))
        answer(fleet, now)
        for topic in [
            topic.partition("applied/")[0] for topic, payload in now if b'"1.1.0"' in payload and "applied/" in topic
        ]:
            fleet.hear(f"{topic}config/json/status", b"")
        said += now
    return said


def test_all_devices_are_known_at_the_beginning_wherever_they_are() -> None:
    fleet = make(habits="stored", devices=3)
    said = introduced(fleet)
    assert [payload for _, payload in said] == [b'{"configId":"1.0.0"}'] * 3
    assert all(device.settled for device in fleet.devices)
    assert fleet.next_at() is None


def test_attributes_are_said_with_the_introduction() -> None:
    said = make(attributes="1").introduce()
    assert [payload for topic, payload in said if "/epmx/" in topic] == [b'{"ring":1}']


def test_an_update_takes_minutes_and_only_its_beginning_and_end_are_said() -> None:
    fleet = make()
    introduced(fleet)
    fleet.hear(PUSH, OFFER)
    said = run(fleet, HOUR, step=10)
    assert names(said) == ["progress", "applied"]
    assert fleet.devices[0].settled
    assert fleet.devices[0].running == "1.1.0"
    assert fleet.next_at() is None


def test_what_a_device_says_is_given_once_and_at_its_time() -> None:
    fleet = make()
    introduced(fleet)
    fleet.hear(PUSH, OFFER)
    assert names(fleet.act(1)) == ["progress"]
    assert fleet.act(2) == []
    assert fleet.at == 2


def test_a_device_that_cannot_be_reached_finds_its_offer_when_it_can() -> None:
    fleet = make(habits="nightly")
    introduced(fleet)
    fleet.act(16 * HOUR)
    fleet.hear(PUSH, OFFER)
    assert run(fleet, 20 * HOUR) == []
    said = run(fleet, DAY + HOUR)
    # It comes back, says what it runs, and then goes about its offer.
    assert names(said) == ["applied", "progress", "applied"]
    assert fleet.devices[0].running == "1.1.0"


def test_an_offer_that_is_withdrawn_meanwhile_is_not_found() -> None:
    fleet = make(habits="nightly")
    introduced(fleet)
    fleet.act(16 * HOUR)
    fleet.hear(PUSH, OFFER)
    fleet.hear(PUSH, b"")
    run(fleet, 2 * DAY)
    assert fleet.devices[0].running == "1.0.0"


def test_who_is_never_reachable_never_hears_of_anything() -> None:
    fleet = make(habits="stored")
    introduced(fleet)
    fleet.hear(PUSH, OFFER)
    assert not fleet.ever_reachable(0)
    assert fleet.next_at() is None


def test_a_sleeper_stays_awake_until_it_was_heard() -> None:
    fleet = make(habits="sleeping")
    introduced(fleet)
    fleet.hear(PUSH, OFFER)
    said = run(fleet, DAY)
    assert names(said)[-2:] == ["progress", "applied"]
    assert fleet.devices[0].settled
    assert fleet.next_at() is None


def test_a_device_that_nobody_wants_anything_of_is_left_alone() -> None:
    fleet = make(habits=USUAL, devices=100)
    introduced(fleet)
    assert run(fleet, 3 * DAY, step=DAY) == []


def test_an_answer_to_a_device_that_went_away_is_lost_and_asked_for_again() -> None:
    fleet = make(habits="nightly")
    introduced(fleet)
    fleet.act(16 * HOUR)
    fleet.hear(f"{BASE}applied/json/1/status", b"")
    assert not fleet.devices[0].connected


@pytest.mark.parametrize(
    ("fault", "said", "running"),
    [
        ("failing-install", ["progress", "applied"], "1.0.0"),
        ("fall-back", ["progress", "applied", "applied"], "1.0.0"),
        ("silent", ["progress"], "1.1.0"),
        ("stall", ["progress"], "1.0.0"),
        ("unhealthy", ["progress", "applied", "health"], "1.1.0"),
        ("offline", [], "1.0.0"),
        ("never-subscribes", [], "1.0.0"),
    ],
)
def test_faults_are_those_of_devices_on_a_broker(fault: str, said: list[str], running: str) -> None:
    fleet = make(faults=fault)
    introduced(fleet)
    if fault != "never-subscribes":
        fleet.hear(PUSH, OFFER)
    assert names(run(fleet, DAY, step=10)) == said
    assert fleet.devices[0].running == running


def test_a_connection_that_the_network_breaks_is_made_again() -> None:
    fleet = make(faults="drops", devices=20)
    introduced(fleet)
    run(fleet, DAY)
    assert all(device.settled for device in fleet.devices)


def test_the_same_seed_says_the_same() -> None:
    outcomes = []
    for _ in range(2):
        fleet = make(habits=USUAL, devices=50, faults="drops=10%,fall-back=10%")
        introduced(fleet)
        for device in fleet.devices:
            fleet.hear(f"{device.model.base}config/json/status", OFFER)
        outcomes.append((run(fleet, 3 * DAY), fleet.progress()))
    assert outcomes[0] == outcomes[1]


def test_other_topics_are_nobodys() -> None:
    fleet = make()
    introduced(fleet)
    for topic in ("otao/v1/fleet/summary", "kp1/kettle-v1/cmx_ota/stranger/config/json/status"):
        fleet.hear(topic, OFFER)
    assert fleet.next_at() is None


@pytest.mark.parametrize(
    ("habits", "complaint"),
    [("nocturnal", "'nocturnal' is no habit; there are steady, nightly"), ("steady=50%", "are for 5 of 10 devices")],
)
def test_habits_that_cannot_be_are_refused(habits: str, complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        make(habits=habits, devices=10)
