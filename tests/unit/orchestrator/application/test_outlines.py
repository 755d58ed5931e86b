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


def staged(*percentages: float) -> Definition:
    stages = [{"percent": percent} for percent in percentages]
    return definition(json.dumps({"rolloutStrategy": "general", "rollout": {"stages": stages}}))


def in_stage(rollout: Rollout, *percentages: float) -> SoftwareRecord:
    """A software in such stages, each of which has passed."""
    given = outlines.software(Version.parse("1.0.0"), staged(*percentages), None, now=NOW)
    marks = tuple(StageMark(passed_at=NOW, endpoints=5) for _ in percentages)
    software = replace(given.software, rollout=rollout)
    return replace(given, software=software, status=replace(given.status, marks=marks))


@pytest.mark.parametrize(
    ("rollout", "percentages", "edited"),
    [
        (Rollout(phase=Phase.FINISHED), (50,), (50, 100)),
        (Rollout(stage=1), (50, 100), (50,)),
    ],
    ids=["a finished one goes on", "the present stage is gone"],
)
def test_a_stage_in_which_an_edit_lets_a_rollout_go_on_has_not_passed(
    rollout: Rollout, percentages: tuple[float, ...], edited: tuple[float, ...]
) -> None:
    present = in_stage(rollout, *percentages)
    after = outlines.software(present.software.version, staged(*edited), present, now=NOW)
    assert (after.software.rollout.phase, after.software.rollout.stage) == (Phase.RUNNING, 0)
    assert after.status.mark(0) == StageMark(endpoints=5)


def test_an_edit_that_leaves_a_rollout_where_it_is_keeps_that_its_stages_have_passed() -> None:
    present = in_stage(Rollout(phase=Phase.FINISHED, stage=1), 50, 100)
    after = outlines.software(present.software.version, staged(60, 100), present, now=NOW)
    assert after.status == present.status


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
