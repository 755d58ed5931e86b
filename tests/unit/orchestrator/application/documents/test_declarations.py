"""Catalogues: what is wrong inside a rollout, or in the application's limits, has its path in the catalogue."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.documents import declarations
from orchestrator.application.problems import MemberError
from orchestrator.domain.policies import STANDARD, Limits
from protocol import payloads
from tests.contract.storages import APP
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


def test_the_limits_of_an_application_are_kept_unless_they_are_said() -> None:
    limited = Limits(per_minute=600)
    present = replace(APP, limits=limited)
    kept = read({"description": "x"}).application(present).limits
    assert kept is not None
    assert kept.limits == limited
    changed = read({"limits": {"inProgress": 5}}).application(present).limits
    assert changed is not None
    assert changed.limits == Limits(in_progress=5)
    assert read({"limits": None}).application(present).limits is None


def test_wrong_limits_of_an_application_have_their_path() -> None:
    for limits, path in (({"perMinute": 0}, "limits.perMinute"), ({"claim": "PT1M"}, "limits.claim"), (5, "limits")):
        with pytest.raises(MemberError, match=f"'{path}'"):
            read({"limits": limits})
