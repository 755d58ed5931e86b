"""Tables, records, cells: the same on a terminal and in a pipe, but for the looks; nothing that a terminal obeys."""

from __future__ import annotations

import io
import sys

import pytest

from orchestrator.cli.documents import cell, items, number, section
from orchestrator.cli.endings import RefusedError, printable
from orchestrator.cli.outputs import Output

EVIL = "\x1b]0;owned\x07[red]bold[/red]\u202e\t\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # Not a fixture: pytest puts its own standard output in place after those.
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    return screen


def test_in_a_pipe_cells_are_parted_by_one_tab(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table(("a", "b"), [("1", None), ([], "x\ty")])
    assert capsys.readouterr().out == "a\tb\n1\t-\n-\tx\\ty\n"


def test_on_a_terminal_there_is_a_table_and_no_control_sequence_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = on_terminal(monkeypatch)
    Output(as_json=False).table(("a", "b"), [(EVIL, "[link=http://x]y[/link]")])
    shown = terminal.getvalue()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]bold[/red]" in shown
    assert "[link=http://x]y[/link]" in shown


def test_a_record_has_a_line_per_member(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    document = {"endpointId": "e1", "offer": {"version": "1.1.0"}, "pinned": None}
    Output(as_json=False).record(document)
    lines = terminal.getvalue().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["e1", '{"version": "1.1.0"}', "-"]


def test_sentences_are_not_among_documents(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).say("done")
    Output(as_json=False).say(f"done {EVIL}")
    assert capsys.readouterr().out == "done \\x1b]0;owned\\x07[red]bold[/red]\\u202e\\t\\n\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (1.5, "1.5"),
        (["a", "b"], "a, b"),
        ([1, None], "[1, null]"),
        ({}, "-"),
        ({"ä": "\x1b"}, '{"ä": "\\u001b"}'),
    ],
)
def test_a_cell_is_one_line(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_document_of_another_shape_reads_as_nothing() -> None:
    assert section({"a": {"b": {"c": 1}}}, "a", "b") == {"c": 1}
    assert section({"a": [1]}, "a", "b") == {}
    assert items({"items": [{"a": 1}, "no", 3]}, "items") == [{"a": 1}]
    assert items("text") == items({"items": "text"}, "items") == items(None, "items") == []
    assert (number({"n": 3}, "n"), number({"n": "3"}, "n"), number({}, "n")) == (3, 0, 0)


def test_printable_keeps_what_can_be_read() -> None:
    assert printable("grün ❄ 日本") == "grün ❄ 日本"


def test_an_ending_shows_each_line_behind_the_commands_name(capsys: pytest.CaptureFixture[str]) -> None:
    RefusedError("first\nsecond \x1b[2J").show()
    assert capsys.readouterr().err == "otao: first\notao: second \\x1b[2J\n"
