"""What is declared is drawn up: filters that are named must be there, in lists and in stages."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import outlines
from orchestrator.application.documents import declarations
from orchestrator.application.problems import FilterUnknownError, PlacedError
from orchestrator.application.records import Registration, StageMark
from orchestrator.domain.policies import RolloutPolicy, Stage
from orchestrator.domain.rollouts import Phase, Rollout
from orchestrator.domain.versions import Version
from protocol import payloads
from tests.contract.storages import NOW
from tests.unit.orchestrator.application.desks import LIMITS, definition

if TYPE_CHECKING:
    from orchestrator.application.documents.software import Definition
    from orchestrator.application.records import SoftwareRecord

STAGED = {"version": "1.0.0", "rolloutStrategy": "general", "rollout": {"stages": [{"count": 5}, {"filter": "canary"}]}}
LISTED = {"version": "1.1.0", "rolloutStrategy": "targeted", "filters": [{"filterId": "lab"}, {"filterId": "field"}]}


def draw(**catalogue: object) -> outlines.Outline:
    text = json.dumps({"appVersions": ["kettle-v1"], **catalogue})
    declaration = declarations.read(payloads.members(text, LIMITS), LIMITS)
    return outlines.draw(declaration, "kettle", None, frozen={}, registration=Registration.CLOSED, now=NOW)


def test_filters_that_are_declared_beside_the_software_are_there() -> None:
    known = dict.fromkeys(("canary", "lab", "field"), "attributes.ring == 1")
    outline = draw(filters=known, software=[STAGED, LISTED])
    assert outline.software[Version.parse("1.0.0")].software.policy == RolloutPolicy(
        stages=(Stage(count=5), Stage(filter_id="canary"))
    )


@pytest.mark.parametrize(
    ("known", "path", "missing"),
    [
        (["lab", "field"], "software[0].rollout.stages[1].filter", "canary"),
        (["canary", "lab"], "software[1].filters[1].filterId", "field"),
    ],
)
def test_a_filter_that_is_not_there_is_named_with_its_place(known: list[str], path: str, missing: str) -> None:
    filters = dict.fromkeys(known, "attributes.ring == 1")
    with pytest.raises(PlacedError) as caught:
        draw(filters=filters, software=[STAGED, LISTED])
    assert (caught.value.path, caught.value.code, caught.value.status_code) == (path, "filter-unknown", 422)
    assert str(caught.value) == f"'{path}': there is no filter '{missing}'"


def staged(*percentages: float) -> SoftwareRecord:
    """A software in such stages, newly defined."""
    return outlines.software(Version.parse("1.0.0"), _definition(*percentages), None, now=NOW)


def _definition(*percentages: float) -> Definition:
    stages = [{"percent": percent} for percent in percentages]
    return definition(json.dumps({"rolloutStrategy": "general", "rollout": {"stages": stages}}))


def edited(present: SoftwareRecord, *percentages: float) -> SoftwareRecord:
    return outlines.software(present.software.version, _definition(*percentages), present, now=NOW)


def test_an_edit_forgets_how_large_stages_were_that_may_have_another_size_now() -> None:
    marks = tuple(StageMark(passed_at=NOW, endpoints=size, acknowledged=size) for size in (10, 90, 400))
    present = staged(1, 10, 50, 100)
    present = replace(
        present,
        software=replace(present.software, rollout=Rollout(stage=3)),
        status=replace(present.status, marks=marks),
    )
    after = edited(present, 1, 20, 50, 100)
    assert [(mark.endpoints, mark.acknowledged) for mark in after.status.marks] == [(10, 10), (None, 90), (None, 400)]
    assert edited(present, 1, 10, 50).status == present.status


def test_a_stage_that_runs_anew_by_an_edit_has_not_passed() -> None:
    present = staged(50)
    finished = replace(
        present,
        software=replace(present.software, rollout=Rollout(phase=Phase.FINISHED)),
        status=present.status.marked(0, StageMark(passed_at=NOW, endpoints=5)),
    )
    after = edited(finished, 50, 100)
    assert (after.software.rollout.phase, after.status.mark(0)) == (Phase.RUNNING, StageMark(endpoints=5))


def test_one_definition_is_checked_by_its_list_and_its_stages() -> None:
    members = {name: value for name, value in STAGED.items() if name != "version"}
    given = definition(json.dumps({**members, "filters": [{"filterId": "lab"}]}))
    outlines.check_filters(given, {"lab", "canary"})
    for known, sentence in (
        ({"lab"}, "'rollout.stages[1].filter': there is no filter 'canary'"),
        ({"canary"}, "'filters[0].filterId': there is no filter 'lab'"),
        (set[str](), "'filters[0].filterId': there is no filter 'lab'"),
    ):
        with pytest.raises(FilterUnknownError) as caught:
            outlines.check_filters(given, known)
        assert str(caught.value) == sentence
