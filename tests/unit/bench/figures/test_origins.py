from __future__ import annotations

import sys

import pytest

from bench.figures import origins
from bench.figures.origins import Origin

ORIGIN = Origin(day="2026-01-02", cores=2, versions={"Python": "3.11.7"}, load=(0.55, 12.0))


def test_it_is_told_in_sentences() -> None:
    assert ORIGIN.markdown() == "2026-01-02: 2 cores, Python 3.11.7; load 0.6 before and 12.0 after."


def test_notes_follow_and_an_unknown_load_is_left_out() -> None:
    origin = Origin(day="2026-01-02", cores=2, versions={}, load=None, notes=("One.", "Two."))
    assert origin.markdown() == "2026-01-02: 2 cores. One. Two."


def test_here_asks_each_program_for_its_version_even_if_it_ends_badly() -> None:
    said = (sys.executable, "-c", "print('mosquitto version 2.0.11\\n\\n v5.0'); raise SystemExit(3)")
    found = origins.here(0.123, ["Quiet."], {"Mosquitto": said})
    assert found.versions["Mosquitto"] == "2.0.11"
    assert set(found.versions) == {"Python", "SQLite", "Mosquitto"}
    assert found.load is not None
    assert found.load[0] == 0.12
    assert found.notes == ("Quiet.",)


def test_a_program_that_says_no_version_is_named() -> None:
    with pytest.raises(AssertionError, match="-c"):
        origins.here(0, [], {"nothing": (sys.executable, "-c", "")})
