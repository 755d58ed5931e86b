from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import attentions
from orchestrator.domain.attentions import Trouble, TroubleKind
from orchestrator.domain.policies import DEFAULT_POLICY
from tests.unit.orchestrator.domain.builders import DAY, NOW, v

TROUBLE = Trouble(
    problem=TroubleKind.FAILED,
    endpoint_id="kettle-7",
    running=v("1.0.0"),
    version=v("1.1.0"),
    since=NOW,
    seen_at=NOW + DAY,
    times=3,
    cause="no room left",
)

SENTENCES = {
    TroubleKind.EXHAUSTED: "1.1.0 failed here 3 times and is not offered any more, last: no room left",
    TroubleKind.RECALLED: "it runs 1.0.0, which is recalled, and is offered nothing that leads off it",
    TroubleKind.REFUSED: "the broker refuses its push topic no room left (reason code 0x03)",
    TroubleKind.LOOP: "it has come back to 1.0.0 3 times since 1.1.0 was offered",
    TroubleKind.REVERTED: "it went back from 1.1.0, which failed here 3 times, last: no room left",
    TroubleKind.EXPIRED: "1.1.0 had no verdict by its deadline and failed here 3 times",
    TroubleKind.UNHEALTHY: "it runs 1.0.0 since 2026-03-01T12:00:00Z and has said that it is not well",
    TroubleKind.FAILED: "1.1.0 failed here 3 times, last: no room left",
    TroubleKind.STALLED: "it is installing 1.1.0, and has had no verdict since 2026-03-01T12:00:00Z",
    TroubleKind.NOT_TAKEN: "it runs 1.0.0 and is heard, but has not taken 1.1.0 since 2026-03-01T12:00:00Z",
    TroubleKind.UNKNOWN: "it has not said what it runs; it was last heard at 2026-03-02T12:00:00Z",
    TroubleKind.UNSEEN: "1.1.0 is offered to it since 2026-03-01T12:00:00Z; it was last heard at 2026-03-02T12:00:00Z",
}


@pytest.mark.parametrize("problem", TroubleKind)
def test_the_reason_names_the_version_and_the_value(problem: TroubleKind) -> None:
    assert attentions.reason(replace(TROUBLE, problem=problem)) == SENTENCES[problem]


@pytest.mark.parametrize("problem", TroubleKind)
def test_there_is_advice_for_everything_and_no_hole_in_it(problem: TroubleKind) -> None:
    for trouble in (TROUBLE, Trouble(problem=problem, endpoint_id="kettle-7", since=NOW)):
        for sentence in (attentions.advice(replace(trouble, problem=problem)), attentions.reason(trouble)):
            assert len(sentence) > 20
            assert "None" not in sentence
            assert "{" not in sentence


def test_what_an_endpoint_says_of_itself_is_no_template() -> None:
    assert attentions.reason(replace(TROUBLE, cause="{version} {0}")).endswith("last: {version} {0}")


def test_commands_name_the_endpoint() -> None:
    assert "`otao endpoint retry kettle-7`" in attentions.advice(replace(TROUBLE, problem=TroubleKind.EXHAUSTED))


def test_no_two_problems_are_equally_bad_and_the_worst_come_first() -> None:
    severities = [attentions.severity(problem) for problem in TroubleKind]
    assert severities == sorted(set(severities), reverse=True)
    assert all(1 <= severity <= 100 for severity in severities)


def test_a_short_deadline_makes_for_an_early_look() -> None:
    assert attentions.stalled_after(DEFAULT_POLICY) == timedelta(hours=1)
    assert attentions.stalled_after(replace(DEFAULT_POLICY, installing=timedelta(minutes=10))) == timedelta(minutes=5)


def test_who_was_never_heard_is_told_so() -> None:
    silent = replace(TROUBLE, problem=TroubleKind.UNKNOWN, seen_at=None)
    assert attentions.reason(silent) == "it has not said what it runs; it was never heard"
