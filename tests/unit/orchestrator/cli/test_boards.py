"""The live picture: what it shows of numbers and events."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from orchestrator.cli.boards import NEWEST, Board, columns

FREEZE = {"frozen": True, "since": "2026-03-01T12:00:00Z", "by": "alice", "reason": "smoke", "everywhere": True}


def shown(board: Board) -> str:
    screen = io.StringIO()
    Console(file=screen, width=120, color_system=None).print(board.draw())
    return screen.getvalue()


def happening(number: int, **data: object) -> dict[str, object]:
    return {"time": f"t{number}", "type": "endpoint.failed", "subject": f"endpoints/e{number}", "data": data}


@pytest.fixture
def board() -> Board:
    return Board(application="kettle")


def test_numbers_become_bars(board: Board) -> None:
    data = {"endpoints": 8, "byVersion": {"1.0.0": 6, "1.1.0": 1}, "unknownVersion": 1, "byState": {"failed": 2}}
    board.take("summary", {"type": "summary", "data": {**data, "frozen": FREEZE}})
    lines = shown(board).splitlines()
    assert lines[0] == "kettle: 8 endpoints"
    assert "everything is frozen since 2026-03-01T12:00:00Z by alice: smoke" in lines[1]
    assert [line.split()[0] for line in lines[2:5]] == ["1.0.0", "1.1.0", "unknown"]
    assert lines[2].endswith("75.0 %")
    assert lines[2].count("━") > lines[3].count("━")
    assert "latest attempts: failed 2" in lines[5]


def test_the_newest_events_are_kept_and_obeyed_by_no_terminal(board: Board) -> None:
    for number in range(NEWEST + 5):
        board.take("endpoint.failed", happening(number, version="1.1.0", reason="\x1b[2J[red]no room", statusCode=None))
    text = shown(board)
    assert "t4 " not in text
    assert f"t{NEWEST + 4} " in text
    assert "reason=\\x1b[2J[red]no room" in text
    assert "statusCode" not in text


def test_a_lost_connection_is_said_until_something_comes(board: Board) -> None:
    assert "Ctrl-C ends" in shown(board)
    board.lose("gone; trying again")
    assert "gone; trying again" in shown(board)
    board.take("endpoint.failed", happening(1))
    assert "trying again" not in shown(board)


@pytest.mark.parametrize(
    ("document", "line"),
    [
        (happening(1, endpointId="e1", version="1.1.0", statusCode=507), ("version=1.1.0 statusCode=507",)),
        ({"type": "summary", "data": {"endpoints": 3, "byVersion": {"1.0.0": 2}}}, ("endpoints=3 1.0.0=2",)),
        ({}, ("-",)),
    ],
)
def test_an_event_is_four_cells(document: dict[str, object], line: tuple[str]) -> None:
    assert columns(document)[3:] == line
    assert len(columns(document)) == 4
