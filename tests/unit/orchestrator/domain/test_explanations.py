"""Explanations add what only the one endpoint knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.endpoints import Consent, Setback
from orchestrator.domain.explanations import explain
from tests.unit.orchestrator.domain.builders import MINUTE, NOW, catalogue, endpoint, general, offer, v

STEPS = catalogue(general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))


def test_an_explanation_holds_the_decision_and_every_rule() -> None:
    found = explain(endpoint("1.0.0"), STEPS, NOW)
    assert (found.outcome.value, found.hop, found.goal) == ("offer", v("1.1.0"), v("2.0.0"))
    assert found.path == (v("1.1.0"), v("2.0.0"))
    assert found.running == v("1.0.0")
    assert found.waits_until is None
    assert found.summary == "runs 1.0.0; offered 1.1.0, on the way to 2.0.0"
    assert [verdict.version.text for verdict in found.software] == ["2.0.0", "1.1.0", "1.0.0"]


def test_an_endpoint_that_was_not_heard_since_the_offer_is_named_so() -> None:
    assert explain(endpoint(attempt=offer()), STEPS, NOW).summary.endswith("; it has not been heard since")
    reached = endpoint(attempt=offer(reached_at=NOW))
    assert not explain(reached, STEPS, NOW).summary.endswith("heard since")


@pytest.mark.parametrize(("percent", "told"), [(None, "it is installing 1.1.0"), (40, "it is installing 1.1.0 40 %")])
def test_an_install_in_progress_is_told(percent: int | None, told: str) -> None:
    attempt = replace(offer(reached_at=NOW), state=AttemptState.INSTALLING, percent=percent)
    assert explain(endpoint(attempt=attempt), STEPS, NOW).summary.endswith(f"; {told}")


@pytest.mark.parametrize(
    ("state", "healthy", "told"),
    [
        (AttemptState.SOAKING, None, "; it soaks on 2.0.0"),
        (AttemptState.SOAKING, False, "; it soaks on 2.0.0; it has said that it is not well"),
        (AttemptState.CONFIRMED, False, "; it has said that it is not well"),
        (AttemptState.CONFIRMED, True, ""),
    ],
)
def test_how_it_fares_on_the_version_that_it_came_to_is_told(
    state: AttemptState, told: str, *, healthy: bool | None
) -> None:
    attempt = replace(offer("2.0.0", reached_at=NOW), state=state, healthy=healthy)
    found = explain(endpoint("2.0.0", attempt=attempt), STEPS, NOW)
    assert found.summary == f"runs 2.0.0; no higher version is connected to it{told}"
    below = explain(endpoint("1.1.0", attempt=replace(attempt, version=v("1.1.0"))), STEPS, NOW)
    assert ("; it soaks" in below.summary) is False
    gone_back = explain(endpoint("1.1.0", attempt=replace(attempt, state=AttemptState.REVERTED)), STEPS, NOW)
    assert gone_back.summary == "runs 1.1.0; offered 2.0.0"


@pytest.mark.parametrize(("returns", "ordinal"), [(3, "third"), (4, "4th"), (20, "20th")])
def test_a_loop_is_called_by_name_from_the_third_return(returns: int, ordinal: str) -> None:
    attempt = replace(offer(reached_at=NOW), returns=returns)
    assert explain(endpoint(attempt=attempt), STEPS, NOW).summary == (
        f"runs 1.0.0; offered 1.1.0, on the way to 2.0.0; the {ordinal} return to 1.0.0 since 1.1.0 was offered: "
        "is the version constant of the image bumped?"
    )


def test_two_returns_are_no_loop_yet() -> None:
    attempt = replace(offer(reached_at=NOW), returns=2)
    assert "return" not in explain(endpoint(attempt=attempt), STEPS, NOW).summary


def test_a_loop_after_an_offer_to_an_unknown_version_names_what_it_runs() -> None:
    attempt = replace(offer(origin=None, reached_at=NOW), returns=3)
    assert "the third return to 1.0.0 since" in explain(endpoint(attempt=attempt), STEPS, NOW).summary


@pytest.mark.parametrize(("failures", "times"), [(1, "once"), (2, "2 times")])
def test_the_last_failure_of_the_next_hop_is_told(failures: int, times: str) -> None:
    setback = Setback(failures=failures, retry_at=NOW + MINUTE, reason="no room left")
    found = explain(replace(endpoint(), setbacks={v("1.1.0"): setback, v("2.0.0"): setback}), STEPS, NOW)
    assert found.outcome.value == "waiting"
    assert found.waits_until == NOW + MINUTE
    assert found.summary.endswith(f"backOff until 2026-03-01T12:01:00Z; 1.1.0 failed here {times}, last: no room left")


def test_exhausted_versions_are_told_with_or_without_a_reason() -> None:
    found = explain(replace(endpoint(), setbacks={v("1.1.0"): Setback(failures=3, exhausted=True)}), STEPS, NOW)
    assert found.outcome.value == "exhausted"
    assert found.summary.endswith("; 1.1.0 failed here 3 times")


def test_an_install_that_goes_on_is_the_hop_whatever_would_be_offered_now() -> None:
    newer = catalogue(general("1.0.0"), general("1.1.0", "1.0.0"), general("3.0.0", "1.0.0"))
    attempt = replace(offer(reached_at=NOW), state=AttemptState.INSTALLING)
    found = explain(endpoint(attempt=attempt), newer, NOW)
    assert (found.outcome.value, found.hop, found.path) == ("offer", v("1.1.0"), (v("1.1.0"),))
    assert found.summary == "runs 1.0.0; offered 1.1.0; it is installing 1.1.0"


def test_a_refusal_is_told_with_its_reason() -> None:
    asking = Catalogue.of([general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0")], consent=True)
    for reason, told in (("tea time", ": tea time"), (None, "")):
        refused = replace(endpoint("1.0.0"), consents={v("1.1.0"): Consent(granted=False, at=NOW, reason=reason)})
        found = explain(refused, asking, NOW)
        assert found.outcome.value == "refused"
        assert found.summary == f"runs 1.0.0; consent to 1.1.0, on the way to 2.0.0, was refused{told}"
