"""Outcomes are what users see."""

from __future__ import annotations

from orchestrator.domain.outcomes import Outcome


def test_outcomes_have_the_names_of_the_wire() -> None:
    assert {outcome.value for outcome in Outcome} == {
        "offer",
        "waiting",
        "refused",
        "exhausted",
        "blocked",
        "unknown-version",
        "suspended",
        "up-to-date",
    }
