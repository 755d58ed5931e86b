"""How an outcome reads."""

from __future__ import annotations

import json
from dataclasses import replace

from orchestrator.cli.demos.outcomes import COLUMNS, TROUBLES, Outcome, counts

OUTCOME = Outcome(
    converged=True,
    seconds=31.46,
    broker="mosquitto",
    devices=10,
    healthy=9,
    arrived=9,
    goal="2.0.0",
    before={"1.0.0": 6, "1.1.0": 4},
    canary={"1.0.0": 6, "1.1.0": 3, "2.0.0": 1},
    after={"1.1.0": 1, "2.0.0": 9},
    failures=[{"version": "2.0.0", "reason": "no room left", "endpoints": 1}],
    attention=[{"endpointId": "k-1", "runningVersion": "1.1.0", "problem": "failed", "reason": "no room left"}],
    explanation={
        "endpointId": "k-1",
        "summary": "waits",
        "path": ["2.0.0"],
        "software": [
            {
                "version": "2.0.0",
                "rules": [
                    {"rule": "strategy", "passed": True, "detail": "general"},
                    {"rule": "backOff", "passed": False, "detail": "until later"},
                ],
            },
            {"version": "1.0.0", "rules": [{"rule": "strategy", "passed": False, "detail": "suspended"}]},
        ],
    },
)


def test_the_table_has_every_version_that_anybody_ran_the_newest_first() -> None:
    assert OUTCOME.versions() == [("2.0.0", 0, 1, 9), ("1.1.0", 4, 3, 1), ("1.0.0", 6, 6, 0)]
    assert all(len(row) == len(COLUMNS) for row in OUTCOME.versions())


def test_the_sentences_say_what_failed_and_why_one_does_not_update() -> None:
    assert list(OUTCOME.sentences()) == [
        "All 9 healthy devices run 2.0.0 after 31 s.",
        "1 failed to install 2.0.0: no room left",
        "Why k-1 does not update: waits",
        "  2.0.0: backOff: until later",
    ]
    late = replace(OUTCOME, converged=False, arrived=7, explanation={}, failures=[])
    assert list(late.sentences()) == ["7 of 9 healthy devices run 2.0.0 after 31 s."]


def test_the_troubles_are_at_most_a_dozen() -> None:
    assert OUTCOME.troubles() == [("k-1", "1.1.0", "failed", "no room left")]
    assert len(OUTCOME.troubles()[0]) == len(TROUBLES)
    assert len(replace(OUTCOME, attention=list(OUTCOME.attention) * 40).troubles()) == 12


def test_as_json_it_holds_the_same() -> None:
    members = json.loads(json.dumps(OUTCOME.members()))
    assert members["converged"] is True
    assert members["seconds"] == 31.5
    assert members["afterCanary"] == {"1.0.0": 6, "1.1.0": 3, "2.0.0": 1}
    assert members["explanation"]["endpointId"] == "k-1"
    assert replace(OUTCOME, explanation={}).members()["explanation"] is None


def test_endpoints_that_have_not_said_what_they_run_are_counted_too() -> None:
    assert counts({"byVersion": {"1.0.0": 3}, "unknownVersion": 2}) == {"1.0.0": 3, "unknown": 2}
    assert counts({"byVersion": {"1.0.0": 3}, "unknownVersion": 0}) == {"1.0.0": 3}
    assert counts({}) == {}
