"""What is seen while it goes on."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from orchestrator.cli.demos.displays import Bars, Lines, numbers

if TYPE_CHECKING:
    import pytest

EARLY = {"endpoints": 10, "byVersion": {"1.0.0": 10}, "failures": []}
LATER = {"endpoints": 10, "byVersion": {"1.0.0": 3, "2.0.0": 7}, "failures": [{"endpoints": 2}, {"endpoints": 1}]}


def test_numbers_in_one_line() -> None:
    assert numbers(EARLY) == "1.0.0: 10"
    assert numbers(LATER) == "1.0.0: 3  2.0.0: 7  failed: 3"
    assert numbers({}) == "no endpoint yet"


def test_lines_come_when_the_numbers_changed_and_not_too_often(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.say("a step")
    for seconds, summary in ((0.0, EARLY), (5.0, EARLY), (5.5, LATER), (6.0, EARLY), (7.5, LATER)):
        lines.show(seconds, summary)
    assert capsys.readouterr().out.splitlines() == [
        "a step",
        "  0.0 s  1.0.0: 10",
        "  5.5 s  1.0.0: 3  2.0.0: 7  failed: 3",
    ]


def test_lines_go_to_standard_error_where_a_document_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(to_errors=True).say("a step")
    assert capsys.readouterr() == ("", "a step\n")


def test_bars_move_and_a_version_that_nobody_runs_any_more_stands_at_zero() -> None:
    progress = Progress(console=Console(file=io.StringIO(), force_terminal=True, highlight=False))
    bars = Bars(progress)
    bars.show(0.0, EARLY)
    bars.show(1.0, {"endpoints": 10, "byVersion": {"2.0.0": 10}})
    assert [(task.description, task.completed, task.total) for task in progress.tasks] == [
        ("1.0.0", 0, 10),
        ("2.0.0", 10, 10),
    ]
    bars.say("[bold]as it is[/bold]")
    assert isinstance(progress.console.file, io.StringIO)
    assert "[bold]as it is[/bold]" in progress.console.file.getvalue()
