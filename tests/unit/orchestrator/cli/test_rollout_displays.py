"""How rollouts are shown: lines, rows and bars."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from orchestrator.cli import outputs, rollout_displays
from orchestrator.cli.outputs import Output

if TYPE_CHECKING:
    from orchestrator.cli.documents import Document

# Members of a stage, which tests override as they please.
Json = Any

ZEROS = dict.fromkeys((*rollout_displays.COUNTS, "waiting", "offline"), 0)


_MIXED = "█" * 20 + "▓" * 10 + "▒" * 5 + "✗" * 5


def stage(**members: Json) -> Document:
    known = {"percent": 10.0, "state": "running", "endpoints": 40, "failureRate": None, "bounds": None}
    return {**known, **ZEROS, "maxFailureRate": 0.02, **members}


def rollout(*stages: Document, **members: Json) -> Document:
    known = {"version": "1.1.0", "state": "running", "stage": 0, "since": "t1", "by": None, "reason": None}
    return {**known, "summary": "stage 1: waits", "stages": list(stages), "failures": [], **members}


def drawn(document: Document, trouble: str = "") -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=160, color_system=None).print(rollout_displays.picture(document, trouble))
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_a_line_sums_the_stages_and_says_why_it_waits() -> None:
    line = rollout_displays.line(rollout(stage(confirmed=3, failed=1), stage(offered=2, confirmed=1), stage=1))
    counts = "offered=2 installing=0 soaking=0 confirmed=4 failed=1 reverted=0 expired=0"
    assert line.split("\t") == ["running", "2/2", counts, "stage 1: waits"]


def test_a_rollout_is_shown_with_its_stages_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    rated = stage(failureRate=0.029, bounds=[0.005, 0.149], confirmed=33, failed=1)
    failures = [
        {"reason": "no room left", "endpoints": 1},
        {"reason": "runs hot", "endpoints": 2, "unhealthy": True},
    ]
    document = rollout(rated, stage(percent=None, filter="lab"), stage(percent=None, count=5), failures=failures)
    rollout_displays.show(Output(as_json=False), document)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert ["stage", "1/3"] in lines
    assert lines[-2:] == [["1", "failed", "no room left"], ["2", "unhealthy", "runs hot"]]
    rows = [dict(zip(rollout_displays.STAGE_COLUMNS, line, strict=False)) for line in lines]
    first, second, third = (next(row for row in rows if row["stage"] == name) for name in ("1", "2", "3"))
    assert rollout_displays.admits({"count": 1}) == "1 endpoint"
    assert (first["admits"], second["admits"], third["admits"]) == ("10 %", "filter lab", "5 endpoints")
    assert (first["failure rate"], first["limit"]) == ("2.9 % (0.5-14.9 %)", "2.0 %")
    assert (second["failure rate"], second["confirmed"]) == ("-", "0")


def test_on_a_terminal_only_numbers_are_shown_that_are_not_0(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")
    busy = stage(waiting=2, offered=12, soaking=5, confirmed=33, failed=1, offline=4)
    rollout_displays.show(Output(as_json=False), rollout(busy, stage()))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    numbers = "waiting 2, offered 12, soaking 5, confirmed 33, failed 1, offline 4"
    assert ["1", "10", "%", "running", "40", *numbers.split(), "-", "2.0", "%"] in rows
    assert ["2", "10", "%", "running", "40", "-", "-", "2.0", "%"] in rows


@pytest.mark.parametrize(
    ("members", "bar"),
    [
        ({}, "·" * 40),
        ({"confirmed": 40}, "█" * 40),
        ({"confirmed": 20, "soaking": 10, "offered": 4, "installing": 1, "reverted": 5}, _MIXED),
        ({"endpoints": None, "confirmed": 1, "expired": 1}, "█" * 20 + "✗" * 20),
        ({"endpoints": 1_000_000, "confirmed": 1}, "·" * 40),
    ],
)
def test_a_bar_is_as_long_whatever_it_holds(members: dict[str, Json], bar: str) -> None:
    assert drawn(rollout(stage(**members)))[2].split()[3] == bar


def test_a_picture_says_where_it_is_what_failed_and_what_is_wrong() -> None:
    failures = [{"reason": "no\x1b room", "endpoints": 2}]
    lines = drawn(rollout(stage(failed=2), failures=failures))
    assert lines[:2] == ["1.1.0: running, stage 1/1", "stage 1: waits"]
    assert lines[2].endswith("failed 2")
    assert lines[3] == "failed  2  no\\x1b room"
    assert lines[4] == "Ctrl-C ends"
    assert drawn(rollout(), "gone\n")[-1] == "gone\\n"


def test_what_another_version_of_the_server_leaves_out_is_a_dash() -> None:
    assert rollout_displays.list_row({}) == (None, None, "1/0", None, None)
    assert rollout_displays.line({"stages": [{}]}).split("\t")[0] == "-"
    assert drawn({"stages": [{}]})[2].split()[:3] == ["1", "-", "·" * 40]
