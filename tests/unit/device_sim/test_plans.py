"""A plan is checked once, and gives the same fleet each time."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from device_sim import mixes
from device_sim.devices import State
from device_sim.errors import PlanError
from device_sim.faults import Fault
from device_sim.plans import FleetPlan, plan_attributes

PLAN = FleetPlan(
    app_version="kettle-v1",
    devices=200,
    versions=mixes.parse("1.0.0=60%,1.1.0=40%"),
    faults=mixes.parse("failing-install=2%,offline=1"),
    attributes={"ring": mixes.parse("0=10%,1=90%"), "site": mixes.parse("lab=5%")},
    seed=7,
)


def test_the_same_plan_gives_the_same_fleet() -> None:
    assert PLAN.build() == PLAN.build()
    assert PLAN.build() != replace(PLAN, seed=8).build()
    assert PLAN.chance(3).random() == PLAN.chance(3).random() != PLAN.chance(4).random()


def test_more_faults_do_not_change_what_devices_run() -> None:
    other = replace(PLAN, faults=mixes.parse("drops=50%")).build()
    assert [device.running for device in other] == [device.running for device in PLAN.build()]


def test_the_fleet_is_as_planned() -> None:
    fleet = PLAN.build()
    assert Counter(device.running for device in fleet) == {"1.0.0": 120, "1.1.0": 80}
    faults = Counter(device.model.fault for device in fleet)
    assert faults == {None: 195, Fault.FAILING_INSTALL: 4, Fault.OFFLINE: 1}
    assert {device.state for device in fleet} == {State.OFF}
    assert [device.model.token for device in fleet[:2]] == ["sim-00000", "sim-00001"]
    attributes = [json.loads(device.model.attributes) for device in fleet]
    assert Counter(row["ring"] for row in attributes) == {0: 20, 1: 180}
    assert Counter(row.get("site") for row in attributes) == {"lab": 10, None: 190}


def test_devices_without_attributes_send_none() -> None:
    fleet = replace(PLAN, attributes={"site": mixes.parse("lab=1")}).build()
    assert Counter(device.model.attributes for device in fleet) == {b"": 199, b'{"site":"lab"}': 1}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"devices": 0}, "1 to 1000000 devices"),
        ({"devices": 1_000_001}, "1 to 1000000 devices"),
        ({"keep_alive": 0}, "keep-alive"),
        ({"keep_alive": 65536}, "keep-alive"),
        ({"gateways": 201}, "201 gateways"),
        ({"app_version": "a/b"}, "application version"),
        ({"prefix": "a.b"}, "begin a token"),
        ({"prefix": "x" * 60}, "begin a token"),
        ({"versions": mixes.parse("1.0.0=60%")}, "for 120 of 200"),
        ({"versions": mixes.parse("one")}, "no SemVer"),
        ({"faults": mixes.parse("gremlins=1")}, "'gremlins' is no fault; there are offline, sleeper"),
        ({"faults": mixes.parse("drops=201")}, "more than the 200"),
        ({"attributes": {"a b": mixes.parse("1")}}, "cannot be sent"),
        ({"attributes": {"a": mixes.parse("1=10,99999999999999999999=5")}}, "cannot be sent"),
    ],
)
def test_what_does_not_fit_is_refused(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        replace(PLAN, **members)


def test_the_ramp_follows_the_size_unless_it_is_given() -> None:
    assert PLAN.ramp == 1.0
    assert replace(PLAN, devices=20_000).ramp == 20.0
    assert replace(PLAN, ramp_seconds=0.0).ramp == 0.0


def test_attributes_are_read_from_texts() -> None:
    assert plan_attributes(["ring:0=10%,1=90%", "site:lab"]) == {
        "ring": mixes.parse("0=10%,1=90%"),
        "site": mixes.parse("lab"),
    }


@pytest.mark.parametrize("texts", [["ring"], ["a:1", "a:2"], ["a:x=y"]])
def test_texts_that_are_no_attributes_are_refused(texts: list[str]) -> None:
    with pytest.raises(PlanError):
        plan_attributes(texts)
