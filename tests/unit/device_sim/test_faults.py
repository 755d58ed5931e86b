"""Each fault has a script that is named after it."""

from __future__ import annotations

from device_sim.faults import Fault
from tests.unit.device_sim import test_behaviours, test_installs, test_reports


def test_each_fault_is_tried() -> None:
    tried = {name for module in (test_behaviours, test_installs, test_reports) for name in vars(module)}
    named = {fault: f"test_{fault.replace('-', '_')}" for fault in Fault}
    assert [fault for fault, name in named.items() if not any(test.startswith(name) for test in tried)] == []
