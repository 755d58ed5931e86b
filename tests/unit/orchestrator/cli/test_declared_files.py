"""What the server refuses in a file is led back to the line where it stands."""

from __future__ import annotations

import json

import pytest

from orchestrator.application.documents import declarations
from orchestrator.application.problems import MemberError
from orchestrator.cli import shapes, yaml_texts
from orchestrator.cli.clients import ProblemError
from orchestrator.cli.declared_files import DeclaredFile
from orchestrator.cli.places import FileError
from protocol import payloads

LIMITS = payloads.Limits(payload_bytes=1024 * 1024, depth=64)

CATALOGUE = """\
application: kettle
software:
  - version: 1.0.0
    rolloutStrategy: suspended
  - version: 1.1.0
    rolloutStrategy: general
    rollout:
      stages:
        - {percent: 10, soak: PT1H}
        - {filter: canary, maxFailureRate: 0.02}
        - {percent: 100}
      limits:
        perMinute: 600
        exponential: {base: 50, factor: 1.5, notified: 1000}
      deadline: {installing: PT2H}
"""


def refusal(text: str) -> str:
    """What `otao apply` prints when the server refuses this file, as the server's own code does."""
    file = DeclaredFile(name="kettle.yaml", root=yaml_texts.read(text.encode()))
    file.check(shapes.CATALOGUE)
    members = payloads.members(json.dumps({**file.members(), "application": None}), LIMITS)
    del members["application"]
    with pytest.raises(MemberError) as refused:
        declarations.read(members, LIMITS)
    with pytest.raises(FileError) as caught, file.sent():
        raise ProblemError(refused.value.status_code, refused.value.code, str(refused.value))
    return caught.value.message


@pytest.mark.parametrize(
    ("right", "wrong", "line", "column", "path"),
    [
        ("percent: 100", "percent: 10", 11, 21, "stages[2].percent"),
        ("percent: 100", "percent: 101", 11, 21, "stages[2].percent"),
        ("{percent: 100}", "{soak: PT1H}", 11, 11, "stages[2]"),
        ("maxFailureRate: 0.02", "maxFailureRate: 5", 10, 44, "stages[1].maxFailureRate"),
        ("soak: PT1H", "soak: PT3H", 9, 31, "stages[0].soak"),
        ("filter: canary", "filter: canary, count: 5", 10, 20, "stages[1].filter"),
        ("base: 50", "base: 5000", 14, 29, "limits.exponential.base"),
        (", notified: 1000", "", 14, 9, "limits.exponential"),
    ],
)
def test_a_contradiction_in_a_rollout_has_its_line(right: str, wrong: str, line: int, column: int, path: str) -> None:
    printed = refusal(CATALOGUE.replace(right, wrong))
    assert printed.startswith(f"kettle.yaml:{line}:{column}: 'software[1].rollout.{path}': ")
    assert printed.endswith(" (member-invalid)")
