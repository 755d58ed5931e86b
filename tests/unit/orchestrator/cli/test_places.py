"""Paths in a server's errors lead back to lines of a file."""

from __future__ import annotations

import pytest

from orchestrator.cli import yaml_texts
from orchestrator.cli.places import Fault, FileError, Place, find

CATALOGUE = b"""\
application: kettle
filters:
  canary: attributes.ring <= 1
software:
  - version: 1.0.0
    rolloutStrategy: suspended
  - version: 1.1.0
    upgradableFrom: [1.0.0, ^0.9]
    metadata: {notes.v1: x}
"""


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ("application", 1, 14),
        ("filters.canary", 3, 11),
        ("filters", 2, 1),
        ("software[1].upgradableFrom[1]", 8, 29),
        ("software[1].version", 7, 14),
        ("software[1]", 7, 5),
        ("software[1].rolloutStrategy", 7, 5),
        ("software[0].rollout.attempts.max", 5, 5),
        ("software[1].metadata.notes", 9, 5),
        ("software[7].version", 4, 1),
        ("filters.canary.expression", 3, 11),
    ],
)
def test_a_path_leads_to_its_value_or_what_comes_nearest(path: str, line: int, column: int) -> None:
    assert find(yaml_texts.read(CATALOGUE), path) == Place(line=line, column=column)


@pytest.mark.parametrize("path", ["", "appVersions", "[0]", "1.1.0"])
def test_a_path_that_begins_nowhere_leads_nowhere(path: str) -> None:
    assert find(yaml_texts.read(CATALOGUE), path) is None


def test_errors_are_lines_that_editors_follow_in_the_order_of_places(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Fault(place=Place(line=line, column=2), reason=f"r{line}\x1b") for line in range(30, 0, -1)]
    error = FileError("a.yaml", faults)
    assert error.exit_code == 2
    error.show()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a.yaml:1:2: r1\\x1b"
    assert lines[-1] == "a.yaml: and 10 errors more"
    assert len(lines) == 21
