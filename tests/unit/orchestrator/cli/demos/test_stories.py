"""The fleet of the story; the story itself is told in tests/system/test_demo.py."""

from __future__ import annotations

from collections import Counter

import pytest

from device_sim.errors import PlanError
from device_sim.faults import Fault
from orchestrator.cli.demos.stories import describe_canary, plan_fleet


def test_the_same_seed_makes_the_same_fleet() -> None:
    assert plan_fleet(200, 7).build() == plan_fleet(200, 7).build()
    assert plan_fleet(200, 7).build() != plan_fleet(200, 8).build()


def test_200_devices_are_mixed_a_few_are_faulty_and_some_of_those_never_arrive() -> None:
    devices = plan_fleet(200, 7).build()
    assert Counter(device.running for device in devices) == {"1.0.0": 120, "1.1.0": 80}
    faults = [device.model.fault for device in devices if device.model.fault is not None]
    assert len(faults) == 18
    assert {Fault.FAILING_INSTALL, Fault.FALL_BACK, Fault.NO_BUMP, Fault.OFFLINE} <= set(faults)
    assert sum(not fault.converges for fault in faults) == 12
    assert Counter(device.model.attributes for device in devices) == {b'{"ring":0}': 10, b'{"ring":1}': 190}


@pytest.mark.parametrize("devices", [1, 2, 10, 5000])
def test_other_sizes_are_fleets_too(devices: int) -> None:
    assert len(plan_fleet(devices, 1).build()) == devices


def test_no_fleet_is_refused() -> None:
    with pytest.raises(PlanError):
        plan_fleet(0, 1)


def test_who_runs_the_newest_version_early_is_said_as_it_is() -> None:
    assert describe_canary({"a", "b"}, {"a", "b", "c"}) == "2 run 2.0.0, all of them canaries"
    assert describe_canary({"a", "x"}, {"a", "b"}) == "2 run 2.0.0, 1 of them no canaries"
