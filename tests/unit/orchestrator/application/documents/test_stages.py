"""Stages: what is read, and why those that cannot be are refused, each at the member that has to change."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.application.documents import stages
from orchestrator.application.documents.rollouts import RolloutBody
from orchestrator.application.problems import MemberError
from orchestrator.domain.policies import RULE_OF_THREE, STANDARD, Stage
from tests.unit.orchestrator.application.desks import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

WITHIN = "must be 1 to 1,000,000,000"
HOUR = timedelta(hours=1)


def read(given_stages: object) -> tuple[Stage, ...]:
    return RolloutBody.read({"stages": json.dumps(given_stages)}, LIMITS).policy.stages


def refused(given_stages: object) -> MemberError:
    with pytest.raises(MemberError) as caught:
        read(given_stages)
    return caught.value


@pytest.mark.parametrize(
    ("given_stage", "stage"),
    [
        ({"percent": 1}, Stage(percent=1)),
        ({"percent": 0.5}, Stage(percent=0.5)),
        ({"count": 50}, Stage(count=50)),
        ({"filter": "canary", "percent": None}, Stage(filter_id="canary")),
        ({"percent": 1, "soak": "PT0S", "minAttempted": None, "maxUnhealthyRate": None}, Stage(percent=1)),
        (
            {"percent": 1, "maxFailureRate": 0, "minAttempted": 20},
            Stage(percent=1, max_failure_rate=0, min_attempted=20),
        ),
        ({"percent": 1, "maxFailureRate": 1}, Stage(percent=1, max_failure_rate=1)),
        ({"percent": 1, "approval": "automatic"}, Stage(percent=1)),
        (
            {
                "percent": 20,
                "soak": "PT1H",
                "soakReports": 2,
                "maxFailureRate": 0.02,
                "minAttempted": 50,
                "maxUnhealthyRate": 0.1,
                "approval": "manual",
            },
            Stage(
                percent=20,
                soak=HOUR,
                soak_reports=2,
                max_failure_rate=0.02,
                min_attempted=50,
                max_unhealthy_rate=0.1,
                approval=True,
            ),
        ),
    ],
)
def test_a_stage_is_read(given_stage: Mapping[str, object], stage: Stage) -> None:
    assert read([given_stage]) == (stage,)


def test_the_preset_stands_for_the_standard_stages() -> None:
    assert read("standard") == STANDARD
    assert read(None) == ()


def test_kinds_of_stages_mix_and_each_grows_for_itself() -> None:
    mixed = [{"count": 10}, {"filter": "a"}, {"percent": 1}, {"count": 100}, {"filter": "b"}, {"percent": 100}]
    assert [(stage.count, stage.filter_id, stage.percent) for stage in read(mixed)] == [
        (10, None, None),
        (None, "a", None),
        (None, None, 1),
        (100, None, None),
        (None, "b", None),
        (None, None, 100),
    ]


@pytest.mark.parametrize(
    ("given_stages", "at", "code", "sentence"),
    [
        ("canary", "", "member-invalid", "must be 'standard', or a list of stages"),
        (5, "", "member-type", "must be 'standard', or a list of stages"),
        ({"percent": 1}, "", "member-type", "must be 'standard', or a list of stages"),
        ([], "", "member-invalid", "must have a stage; leave it out to offer the software to all endpoints at once"),
        ([{"percent": 1}] * 101, "", "member-invalid", "must have at most 100 items"),
        (["standard"], "[0]", "member-type", "must be an object"),
    ],
)
def test_what_are_no_stages_is_refused(given_stages: object, at: str, code: str, sentence: str) -> None:
    error = refused(given_stages)
    assert error.code == code
    assert str(error).startswith(f"'stages{at}': {sentence}")


@pytest.mark.parametrize(
    ("given_stage", "member", "code", "sentence"),
    [
        ({}, "", "member-invalid", "must say whom it admits: add one of percent, count and filter"),
        ({"soak": "PT1H"}, "", "member-invalid", "must say whom it admits"),
        ({"percent": 1, "count": 5}, ".count", "member-invalid", "stands beside percent: a stage has one of the two"),
        ({"percent": 1, "filter": "a"}, ".filter", "member-invalid", "stands beside percent"),
        ({"count": 1, "filter": "a"}, ".filter", "member-invalid", "stands beside count"),
        ({"percent": 0}, ".percent", "member-invalid", "must be above 0 and at most 100: 5 % is 5"),
        ({"percent": -1}, ".percent", "member-invalid", "must be above 0 and at most 100: 5 % is 5"),
        ({"percent": 100.1}, ".percent", "member-invalid", "must be above 0 and at most 100: 5 % is 5"),
        ({"percent": True}, ".percent", "member-type", "must be a number"),
        ({"percent": "1 %"}, ".percent", "member-type", "must be a number"),
        ({"count": 0}, ".count", "member-invalid", "must be 1 to 10,000: of more endpoints give a percent"),
        ({"count": 1.5}, ".count", "member-type", "must be a whole number"),
        ({"count": 10_001}, ".count", "member-invalid", "must be 1 to 10,000: of more endpoints give a percent"),
        ({"filter": "a b"}, ".filter", "member-invalid", "must be the ID of a filter: 1 to 64"),
        ({"filter": 1}, ".filter", "member-type", "must be a string"),
        ({"percent": 1, "soak": "-PT1H"}, ".soak", "member-invalid", "must not be negative"),
        ({"percent": 1, "soak": "1h"}, ".soak", "member-invalid", "must be an ISO 8601 duration"),
        ({"percent": 1, "soak": 3600}, ".soak", "member-type", "must be a string"),
        ({"percent": 1, "soakReports": -1}, ".soakReports", "member-invalid", "must be 0 to 1,000: 0 is none"),
        ({"percent": 1, "soakReports": 1001}, ".soakReports", "member-invalid", "must be 0 to 1,000: 0 is none"),
        (
            {"percent": 1, "maxFailureRate": 5},
            ".maxFailureRate",
            "member-invalid",
            "must be between 0 and 1: 5 % is 0.05",
        ),
        (
            {"percent": 1, "maxFailureRate": 2.5},
            ".maxFailureRate",
            "member-invalid",
            "must be between 0 and 1: 2.5 % is 0.025",
        ),
        (
            {"percent": 1, "maxFailureRate": 101},
            ".maxFailureRate",
            "member-invalid",
            "must be between 0 and 1: 5 % is 0.05",
        ),
        ({"percent": 1, "maxFailureRate": -0.1}, ".maxFailureRate", "member-invalid", "must be between 0 and 1"),
        ({"percent": 1, "maxFailureRate": None}, ".maxFailureRate", "member-type", "must be a number"),
        (
            {"percent": 1, "maxFailureRate": 0},
            ".maxFailureRate",
            "member-invalid",
            "no number of verdicts tells 0 from more: add minAttempted, such as 50",
        ),
        ({"percent": 1, "maxFailureRate": 1e-300}, ".maxFailureRate", "member-invalid", "no number of verdicts tells"),
        (
            {"percent": 1, "minAttempted": 0},
            ".minAttempted",
            "member-invalid",
            f"{WITHIN}: leave it out for 3",
        ),
        (
            {"percent": 1, "soak": "PT1H", "maxUnhealthyRate": 5},
            ".maxUnhealthyRate",
            "member-invalid",
            "must be between 0 and 1: 5 % is 0.05",
        ),
        (
            {"percent": 1, "maxUnhealthyRate": 0.1},
            ".maxUnhealthyRate",
            "member-invalid",
            "endpoints say how they are while they soak, and this stage has no soak: add one, or soakReports",
        ),
        (
            {"percent": 1, "maxUnhealthyRate": 0, "soak": "PT1H"},
            ".maxUnhealthyRate",
            "member-invalid",
            "no number of verdicts tells 0 from more: add minAttempted",
        ),
        ({"percent": 1, "approval": True}, ".approval", "member-invalid", "must be 'manual' or 'automatic'"),
        ({"percent": 1, "approval": "maybe"}, ".approval", "member-invalid", "must be 'manual' or 'automatic'"),
    ],
)
def test_a_stage_that_contradicts_itself_is_refused_at_the_member(
    given_stage: Mapping[str, object], member: str, code: str, sentence: str
) -> None:
    error = refused([{"count": 1}, given_stage] if given_stage.get("count") != 1 else [{"percent": 1}, given_stage])
    assert error.code == code
    assert str(error).startswith(f"'stages[1]{member}': {sentence}")


def test_a_member_that_stages_do_not_have_is_unknown() -> None:
    error = refused([{"percent": 1, "percentage": 2}])
    assert (error.code, str(error)) == ("member-unknown", "the member 'stages[0].percentage' is unknown here")


@pytest.mark.parametrize(
    ("given_stages", "at", "sentence"),
    [
        (
            [{"percent": 20}, {"percent": 10}],
            "[1].percent",
            "must be above the 20 of stage 1, by 0.0001 at least: stages grow",
        ),
        ([{"percent": 20}, {"percent": 20}], "[1].percent", "must be above the 20 of stage 1"),
        ([{"percent": 20}, {"count": 5}, {"percent": 1}], "[2].percent", "must be above the 20 of stage 1"),
        ([{"percent": 1}, {"percent": 2.5}, {"percent": 2}], "[2].percent", "must be above the 2.5 of stage 2"),
        ([{"percent": 0.00001}, {"percent": 0.00002}], "[1].percent", "must be above the 1e-05 of stage 1, by 0.0001"),
        ([{"percent": 100}, {"percent": 100}], "[1].percent", "must be above the 100 of stage 1"),
        ([{"count": 50}, {"count": 50}], "[1].count", "must be above the 50 of stage 1: stages grow"),
        ([{"count": 50}, {"percent": 1}, {"count": 5}], "[2].count", "must be above the 50 of stage 1"),
        (
            [{"filter": "a"}, {"filter": "a"}],
            "[1].filter",
            "stage 1 admits its endpoints already: remove one of the two stages",
        ),
        (
            [{"percent": 100}, {"count": 5}],
            "[1].count",
            "stage 1 admits all endpoints already: remove this stage, or put it before that one",
        ),
        ([{"percent": 100}, {"filter": "a"}], "[1].filter", "stage 1 admits all endpoints already"),
    ],
)
def test_a_stage_that_admits_nobody_new_is_refused(given_stages: object, at: str, sentence: str) -> None:
    error = refused(given_stages)
    assert error.code == "member-invalid"
    assert str(error).startswith(f"'stages{at}': {sentence}")


@given(st.lists(st.floats(0, 100, exclude_min=True), min_size=1, max_size=5))
def test_percentages_are_taken_when_each_admits_more_ranks(percentages: list[float]) -> None:
    limits = [Stage(percent=percent).rank_limit for percent in percentages]
    given_stages = [{"percent": percent} for percent in percentages]
    if limits == sorted(set(limits)):
        assert [stage.percent for stage in read(given_stages)] == percentages
    else:
        assert ".percent'" in str(refused(given_stages))


@given(st.floats(0, 1))
def test_every_stage_that_is_taken_has_a_sample(rate: float) -> None:
    given_stages = [{"percent": 1, "maxFailureRate": rate}]
    if rate * stages.MOST_ENDPOINTS >= RULE_OF_THREE:
        assert read(given_stages)[0].sample <= stages.MOST_ENDPOINTS + 1
    else:
        assert "add minAttempted" in str(refused(given_stages))
