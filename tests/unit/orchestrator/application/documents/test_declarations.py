"""Catalogues: what is wrong inside a rollout, has its path in the catalogue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.documents import declarations
from orchestrator.application.problems import MemberError
from orchestrator.domain.policies import STANDARD
from protocol import payloads
from tests.unit.orchestrator.application.desks import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.application.documents.declarations import Declaration

ONE = {"version": "1.0.0", "rolloutStrategy": "suspended"}


def read(catalogue: Mapping[str, object]) -> Declaration:
    return declarations.read(payloads.members(json.dumps(catalogue), LIMITS), LIMITS)


def spreading(rollout: object) -> Mapping[str, object]:
    return {"software": [ONE, {"version": "1.1.0", "rolloutStrategy": "general", "rollout": rollout}]}


def test_a_rollout_is_read_as_a_software_s() -> None:
    declared = read(spreading({"stages": "standard", "start": "2026-12-01T08:00:00Z"})).software[1]
    assert declared.definition.policy.stages == STANDARD
    assert declared.definition.rollout == '{"stages":"standard","start":"2026-12-01T08:00:00Z"}'


@pytest.mark.parametrize(
    ("rollout", "code", "path"),
    [
        ({"stages": [{"percent": 5}, {"percent": 1}]}, "member-invalid", "rollout.stages[1].percent"),
        ({"stages": [{"percent": 1, "maxFailureRate": 5}]}, "member-invalid", "rollout.stages[0].maxFailureRate"),
        ({"stages": [{"soak": "PT1H"}]}, "member-invalid", "rollout.stages[0]"),
        ({"limits": {"exponential": {"base": 1, "factor": 2}}}, "member-invalid", "rollout.limits.exponential"),
        ({"window": {"cron": "x", "duration": "PT1H"}}, "window-invalid", "rollout.window.cron"),
        ({"colour": 1}, "member-unknown", "rollout.colour"),
    ],
)
def test_what_is_wrong_in_a_rollout_has_its_path_in_the_catalogue(rollout: object, code: str, path: str) -> None:
    with pytest.raises(MemberError) as caught:
        read(spreading(rollout))
    assert caught.value.code == code
    assert f"'software[1].{path}" in str(caught.value)


def test_one_software_that_is_planned_has_paths_of_its_own() -> None:
    software = {"version": "1.0.0", "rolloutStrategy": "general", "rollout": {"stages": [{"percent": 101}]}}
    with pytest.raises(MemberError, match=r"'software\.rollout\.stages\[0\]\.percent': "):
        declarations.read_software(json.dumps(software), LIMITS)
