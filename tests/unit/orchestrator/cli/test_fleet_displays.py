"""How a fleet is shown in a pipe, and in the end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from device_sim import mixes
from device_sim.plans import FleetPlan
from device_sim.tallies import Tally
from orchestrator.cli import fleet_displays, outputs

if TYPE_CHECKING:
    import pytest

PLAN = FleetPlan(
    app_version="v",
    devices=10,
    versions=mixes.parse("1.0.0=60%,1.1.0=40%"),
    faults=mixes.parse("drops=2,stall=1"),
)


def test_a_line_says_versions_and_states() -> None:
    line = fleet_displays.line(Tally(PLAN.build(), 0.0).progress(12.34))
    assert line == "  12.3 s  0 of 10 connected; 1.0.0 6, 1.1.0 4; off 10; 0/s sent, 0/s received"


def test_the_table_has_a_row_for_each_fault_and_the_healthy_first() -> None:
    rows = fleet_displays.rows(PLAN.build())
    assert [row[:2] for row in rows] == [("none", 7), ("drops", 2), ("stall", 1)]
    runs = [re.findall(r"(\S+) (\d+)(?:, |$)", row[2]) for row in rows]
    assert sum(int(amount) for found in runs for _, amount in found) == 10
    assert all(len(row) == len(fleet_displays.COLUMNS) for row in rows)


def test_in_a_pipe_progress_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Tally(PLAN.build(), 0.0).progress(1.0)
    with fleet_displays.following(silent=False) as (show, _):
        show(progress)
    assert capsys.readouterr().out == fleet_displays.line(progress) + "\n"
    with fleet_displays.following(silent=True) as (show, _):
        show(progress)
    assert capsys.readouterr().out == ""


def test_on_a_terminal_it_is_drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "is_terminal", lambda: True)
    with fleet_displays.following(silent=False) as (show, seconds):
        show(Tally(PLAN.build(), 0.0).progress(1.0))
    assert seconds < 1
    assert isinstance(capsys.readouterr().out, str)
