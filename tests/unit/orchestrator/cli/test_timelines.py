"""A timeline: lines with tabs in a pipe, documents with --json, two lines per moment on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import pytest

from device_sim import mixes
from device_sim.plans import FleetPlan
from device_sim.virtual_fleets import VirtualFleet
from orchestrator.cli import timelines
from orchestrator.cli.timelines import Timeline
from orchestrator.rehearsals import END, Moment

if TYPE_CHECKING:
    from collections.abc import Callable

BEGINS_AT = datetime(2026, 6, 1, 9, tzinfo=UTC)
ROLLOUT = {
    "version": "1.1.0",
    "state": "running",
    "stage": 1,
    "stages": [{"confirmed": 3, "failed": 1}, {"offered": 5, "confirmed": 4}],
}


def moment(what: str = "stage 1 passed", why: str | None = "4 settled", *, hours: float = 26.5) -> Moment:
    return Moment(at=BEGINS_AT + timedelta(hours=hours), what=what, why=why, rollout=ROLLOUT)


def fleet() -> VirtualFleet:
    plan = FleetPlan(app_version="v", devices=4, versions=mixes.parse("1.0.0"), faults=mixes.parse("stall=1"))
    return VirtualFleet(plan, mixes.parse("steady=3,stored=1"))


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(begins_at=BEGINS_AT, silent=False)


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(timelines, "is_terminal", lambda: True)


def test_in_a_pipe_a_moment_is_a_line_below_the_columns(timeline: Timeline, capsys: pytest.CaptureFixture[str]) -> None:
    timeline.begin(1, fleet())
    timeline.tell(moment())
    columns, line = capsys.readouterr().out.splitlines()
    assert columns.split("\t") == list(timelines.COLUMNS)
    assert line == "day 2 11:30\t1.1.0\tstage 1 passed\t5\t0\t0\t7\t1\t0\t0\t4 settled"


def test_days_begin_at_midnight(timeline: Timeline) -> None:
    assert timeline.when(BEGINS_AT + timedelta(hours=14.9)) == "day 1 23:54"
    assert timeline.when(BEGINS_AT + timedelta(hours=15)) == "day 2 00:00"


def test_the_end_itself_is_no_news(timeline: Timeline, capsys: pytest.CaptureFixture[str]) -> None:
    timeline.tell(moment(END))
    assert capsys.readouterr().out == ""
    assert timeline.documents == []


def test_documents_are_kept_and_nothing_is_printed_when_silent(capsys: pytest.CaptureFixture[str]) -> None:
    timeline = Timeline(begins_at=BEGINS_AT, silent=True)
    timeline.tell(moment(why=None))
    assert capsys.readouterr().out == ""
    assert timeline.documents == [
        {
            "at": "2026-06-02T11:30:00Z", "version": "1.1.0", "what": "stage 1 passed", "why": None,
            "state": "running", "stage": 1, "offered": 5, "installing": 0, "soaking": 0, "confirmed": 7,
            "failed": 1, "reverted": 0, "expired": 0,
        }
    ]  # fmt: skip


def test_on_a_terminal_only_the_numbers_that_there_are_are_shown(
    timeline: Timeline, on_terminal: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    on_terminal()
    timeline.begin(7, fleet())
    timeline.tell(moment("goes on"))
    head, faults, blank, line, why = capsys.readouterr().out.splitlines()
    assert head == "4 devices (seed 7): 4 run 1.0.0; 1 can never be reached"
    assert faults == "faults: stall 1; day 1 is Monday, 01 June 2026, times UTC"
    assert blank == ""
    assert line.split() == [
        "day",
        "2",
        "11:30",
        "1.1.0",
        "goes",
        "on",
        "offered",
        "5,",
        "confirmed",
        "7,",
        "failed",
        "1",
    ]
    assert why.strip() == "4 settled"


def test_a_terminal_shows_good_and_bad_in_colour_unless_told_not_to(
    timeline: Timeline, on_terminal: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal()
    shown: list[str] = []
    monkeypatch.setattr(click, "echo", lambda text="": shown.append(text))
    timeline.tell(moment("paused", None))
    monkeypatch.setenv("NO_COLOR", "1")
    timeline.tell(moment("paused", None))
    assert "\x1b[31m" in shown[0]
    assert "\x1b" not in shown[1]
