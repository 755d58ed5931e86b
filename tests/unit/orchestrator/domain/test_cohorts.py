"""Where endpoints stand in the order of rollouts."""

from __future__ import annotations

from orchestrator.domain.cohorts import COHORTS, cohort


def test_the_cohort_is_the_first_eight_bytes_of_the_digest_of_application_and_endpoint() -> None:
    assert cohort("kettle", "kettle-7") == 147_089
    assert cohort("toaster", "kettle-7") == 453_911


def test_cohorts_are_spread_evenly() -> None:
    tenths = [cohort("kettle", f"kettle-{number}") * 10 // COHORTS for number in range(10_000)]
    assert all(900 < tenths.count(tenth) < 1100 for tenth in range(10))
