"""Differences of the numbers; a property holds them and the rows together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import counters
from orchestrator.application.counters import MAX_REASON, CounterKey
from orchestrator.application.records import Draft, EndpointRecord
from orchestrator.domain.attempts import AttemptState, move
from tests.contract.storages import NOW
from tests.unit.orchestrator.domain.builders import endpoint, offer, v

if TYPE_CHECKING:
    from orchestrator.domain.endpoints import Endpoint

OFFERED = endpoint("1.0.0", offer("1.1.0"))


def draft(before: Endpoint, after: Endpoint, key: int = 7) -> Draft:
    record = EndpointRecord(
        key=key, application=3, endpoint_id="kettle-7", app_version="kettle-v1", token="tok", endpoint=before
    )
    return Draft(before=record, after=after, app_version="kettle-v1")


def key(name: str, version: str | None = None, origin: str | None = None, label: str = "") -> CounterKey:
    versions = [None if text is None else v(text) for text in (version, origin)]
    return CounterKey(3, name, versions[0], versions[1], label)


def test_an_endpoint_that_did_not_change_changes_nothing() -> None:
    assert counters.deltas([draft(OFFERED, OFFERED), draft(OFFERED, replace(OFFERED, observe=False))]) == {}


def test_a_new_endpoint_is_counted_in() -> None:
    assert counters.deltas([draft(endpoint(None), OFFERED, key=0)]) == {
        key("running", "1.0.0"): 1,
        key("attempts", "1.1.0", "1.0.0", "offered"): 1,
        key("latest", "1.1.0", label="offered"): 1,
        key("slots", "1.1.0", "1.0.0"): 1,
    }


def test_a_report_moves_an_endpoint_and_its_attempt() -> None:
    confirmed = replace(offer("1.1.0"), state=AttemptState.CONFIRMED)
    found = counters.deltas([draft(OFFERED, endpoint("1.1.0", confirmed))])
    assert found == {
        key("running", "1.0.0"): -1,
        key("running", "1.1.0"): 1,
        key("attempts", "1.1.0", "1.0.0", "offered"): -1,
        key("attempts", "1.1.0", "1.0.0", "confirmed"): 1,
        key("latest", "1.1.0", label="offered"): -1,
        key("latest", "1.1.0", label="confirmed"): 1,
        key("slots", "1.1.0", "1.0.0"): -1,
    }


def test_a_superseded_attempt_stays_among_the_attempts_and_is_the_latest_no_more() -> None:
    confirmed = replace(offer("1.1.0"), state=AttemptState.CONFIRMED)
    item = draft(endpoint("1.1.0", confirmed), endpoint("1.1.0", replace(offer("2.0.0", "1.1.0"), sequence=2)))
    item.superseded = [confirmed]
    assert counters.deltas([item]) == {
        key("attempts", "2.0.0", "1.1.0", "offered"): 1,
        key("latest", "1.1.0", label="confirmed"): -1,
        key("latest", "2.0.0", label="offered"): 1,
        key("slots", "2.0.0", "1.1.0"): 1,
    }


@pytest.mark.parametrize("state", [AttemptState.FAILED, AttemptState.REVERTED, AttemptState.EXPIRED])
@pytest.mark.parametrize(
    ("reason", "label"), [("no room", "no room"), (None, None), ("x" * 500, "x" * MAX_REASON), ("", None)]
)
def test_a_failure_is_counted_by_the_beginning_of_its_reason(
    state: AttemptState, reason: str | None, label: str | None
) -> None:
    failed = replace(offer("1.1.0"), state=state, reason=reason)
    found = counters.deltas([draft(OFFERED, endpoint("1.0.0", failed))])
    assert found[key("failures", "1.1.0", label=label or state.value)] == 1
    assert found[key("slots", "1.1.0", "1.0.0")] == -1
    assert sum(found.values()) == 0


@pytest.mark.parametrize("state", [AttemptState.SOAKING, AttemptState.CONFIRMED])
def test_who_is_not_well_is_counted_by_reason_until_it_is_well_again_or_went_back(state: AttemptState) -> None:
    well = endpoint("1.1.0", replace(offer("1.1.0"), state=state, healthy=True))
    ill = endpoint("1.1.0", replace(offer("1.1.0"), state=state, healthy=False, reason="too hot"))
    silent = endpoint("1.1.0", replace(offer("1.1.0"), state=state, healthy=False))
    gone = endpoint("1.0.0", replace(offer("1.1.0"), state=AttemptState.REVERTED, healthy=False, reason="went back"))
    assert counters.deltas([draft(well, ill)]) == {key("unwell", "1.1.0", label="too hot"): 1}
    assert counters.deltas([draft(ill, well)]) == {key("unwell", "1.1.0", label="too hot"): -1}
    assert counters.deltas([draft(silent, well)]) == {}
    left = counters.deltas([draft(ill, gone)])
    assert left[key("unwell", "1.1.0", label="too hot")] == -1
    assert left[key("failures", "1.1.0", label="went back")] == 1


def test_who_runs_another_version_now_is_not_unwell_with_the_one_that_it_has_left() -> None:
    attempt = replace(offer("1.1.0"), state=AttemptState.CONFIRMED, healthy=False, reason="too hot")
    ill, left = endpoint("1.1.0", attempt), endpoint("1.2.0", attempt)
    assert counters.deltas([draft(ill, left)])[key("unwell", "1.1.0", label="too hot")] == -1
    assert counters.deltas([draft(left, ill)])[key("unwell", "1.1.0", label="too hot")] == 1


def test_a_withdrawal_is_no_failure() -> None:
    withdrawn = move(offer("1.1.0"), AttemptState.WITHDRAWN, NOW, reason="suspended")
    found = counters.deltas([draft(OFFERED, endpoint("1.0.0", withdrawn))])
    assert {name for _, name, *_ in found} == {"attempts", "latest", "slots"}


def test_changes_are_summed_up_by_application_and_zeros_are_left_out() -> None:
    there, back = draft(endpoint("1.0.0"), endpoint("1.1.0")), draft(endpoint("1.1.0"), endpoint("1.0.0"))
    other = draft(endpoint("1.0.0"), endpoint("1.1.0"))
    other.before = replace(other.before, application=4)
    assert counters.deltas([there, back, there, other]) == {
        key("running", "1.0.0"): -1,
        key("running", "1.1.0"): 1,
        CounterKey(4, "running", v("1.0.0")): -1,
        CounterKey(4, "running", v("1.1.0")): 1,
    }


def test_an_endpoint_is_counted_out_as_it_was_counted_in() -> None:
    total: Counter[CounterKey] = Counter()
    counters.add(total, 3, OFFERED, +1)
    assert sum(total.values()) == 4
    counters.add(total, 3, OFFERED, -1)
    assert set(total.values()) == {0}


def test_attempts_of_a_stage_are_counted_by_what_the_gates_look_at() -> None:
    staged = replace(offer("1.1.0"), stage=1)
    reached = replace(staged, reached_at=NOW)
    found = counters.deltas([draft(endpoint("1.0.0", staged), endpoint("1.0.0", reached))])
    assert found == {
        key("stages", "1.1.0", label="1 offered unreached"): -1,
        key("stages", "1.1.0", label="1 offered"): 1,
    }


def test_a_slot_is_given_back_by_who_is_not_reached_and_taken_again_by_who_is_after_all() -> None:
    lapsed = replace(offer("1.1.0"), lapsed=True)
    found = counters.deltas([draft(OFFERED, endpoint("1.0.0", lapsed))])
    assert found == {key("slots", "1.1.0", "1.0.0"): -1}
    back = counters.deltas([draft(endpoint("1.0.0", lapsed), endpoint("1.0.0", replace(lapsed, reached_at=NOW)))])
    assert back == {key("slots", "1.1.0", "1.0.0"): 1}
