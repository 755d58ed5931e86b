"""What is declared is drawn up: filters that are named must be there, in lists and in stages."""

from __future__ import annotations

import json

import pytest

from orchestrator.application import outlines
from orchestrator.application.documents import declarations
from orchestrator.application.problems import FilterUnknownError, PlacedError
from orchestrator.application.records import Registration
from orchestrator.domain.policies import RolloutPolicy, Stage
from orchestrator.domain.versions import Version
from protocol import payloads
from tests.contract.storages import NOW
from tests.unit.orchestrator.application.desks import LIMITS, definition

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
