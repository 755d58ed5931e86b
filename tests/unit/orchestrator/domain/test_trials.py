"""What an endpoint's own words, and its silence, do to its attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain import trials
from orchestrator.domain.attempts import OPEN, Attempt, AttemptState
from orchestrator.domain.endpoints import Consent, HistoryEntry, HistoryKind, Setback
from orchestrator.domain.facts import DeadlinePassed, HealthReported, Progressed, Reported
from orchestrator.domain.policies import DEFAULT_POLICY, Attempts, Limits, RolloutPolicy, Stage
from orchestrator.domain.trials import Change, Term
from tests.unit.orchestrator.domain.builders import DAY, HOUR, MINUTE, NOW, endpoint, offer, v

if TYPE_CHECKING:
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.trials import PolicyOf
    from orchestrator.domain.versions import Version

SECOND = timedelta(seconds=1)
POLICY = RolloutPolicy(attempts=Attempts(max=2, backoff=10 * MINUTE, returns=3), installing=2 * HOUR)
SOAKING = replace(
    POLICY, stages=(Stage(percent=1, soak=HOUR), Stage(percent=50, soak=HOUR, soak_reports=2), Stage(percent=100))
)
"""A stage that soaks, one that asks for reports besides, and one that does neither."""
CLAIMING = replace(POLICY, limits=Limits(in_progress=5, claim=10 * MINUTE))


def policy_of(_: Version) -> RolloutPolicy:
    return POLICY


def soaks(_: Version) -> RolloutPolicy:
    return SOAKING


def claims(_: Version) -> RolloutPolicy:
    return CLAIMING


def said(version: str, code: int = 200, at: datetime = NOW, reason: str | None = None) -> Reported:
    return Reported(version=v(version), status_code=code, reason=reason, at=at)


def reporting(
    before: Endpoint, *facts: Reported, policies: PolicyOf = policy_of, acknowledged: bool = False
) -> Endpoint:
    for fact in facts:
        before = trials.report(before, fact, policies, acknowledged=acknowledged).endpoint
    return before


def telling(before: Endpoint, version: str, state: str = "downloading", percent: int | None = None) -> Change:
    fact = Progressed(version=v(version), state=state, percent=percent, at=NOW)
    return trials.progress(trials.hear(before, NOW, fact.version, acknowledged=False), fact)


def waiting(before: Endpoint, until: datetime, policies: PolicyOf = policy_of) -> Change:
    return trials.elapse(before, DeadlinePassed(at=until), policies)


def kinds(change: Change) -> list[str]:
    return [entry.kind.value for entry in change.entries]


def latest(endpoint: Endpoint) -> Attempt:
    assert endpoint.attempt is not None
    return endpoint.attempt


def in_stage(stage: int | None, version: str = "1.1.0") -> Attempt:
    return replace(offer(version), stage=stage)


def soaked(stage: int = 1, reports: int = 0, since: datetime = NOW) -> Endpoint:
    """An endpoint in its soak."""
    attempt = replace(
        in_stage(stage), state=AttemptState.SOAKING, reached_at=since, soaking_at=since, soak_reports=reports
    )
    return endpoint("1.1.0", attempt)


# Reports.


def test_a_report_of_success_moves_the_version_offered_or_not() -> None:
    change = trials.report(endpoint("1.0.0"), said("3.0.0", 204, reason="fine"), policy_of, acknowledged=False)
    assert (change.endpoint.running, change.endpoint.running_since) == (v("3.0.0"), NOW)
    assert change.entries == (
        HistoryEntry(at=NOW, kind=HistoryKind.REPORTED, version=v("3.0.0"), status_code=204, reason="fine"),
    )


def test_the_same_version_again_keeps_since_when_it_runs() -> None:
    found = reporting(endpoint("1.0.0+a"), said("1.0.0+b"))
    assert found.running_since == NOW - DAY
    assert found.running is not None
    assert found.running.text == "1.0.0+b"


@pytest.mark.parametrize("stage", [None, 0])
def test_the_report_of_the_offered_version_confirms_and_reaches(stage: int | None) -> None:
    change = trials.report(endpoint(attempt=in_stage(stage)), said("1.1.0+build"), policy_of, acknowledged=False)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.settled_at, attempt.reached_at) == (AttemptState.CONFIRMED, NOW, NOW)
    assert change.endpoint.offer is None
    assert kinds(change) == ["reported", "confirmed"]


def test_a_withdrawn_offer_that_took_all_the_same_is_confirmed() -> None:
    withdrawn = replace(offer(), state=AttemptState.WITHDRAWN, settled_at=NOW - HOUR)
    change = trials.report(endpoint(attempt=withdrawn), said("1.1.0"), policy_of, acknowledged=False)
    assert latest(change.endpoint).state is AttemptState.CONFIRMED
    assert kinds(change) == ["reported", "confirmed"]


@pytest.mark.parametrize("state", [AttemptState.FAILED, AttemptState.EXPIRED, AttemptState.REVERTED])
def test_a_late_success_moves_the_version_and_leaves_the_verdict(state: AttemptState) -> None:
    before = endpoint(attempt=replace(offer(), state=state))
    change = trials.report(before, said("1.1.0"), policy_of, acknowledged=False)
    assert change.endpoint.running == v("1.1.0")
    assert latest(change.endpoint).state is state
    assert kinds(change) == ["reported"]


@pytest.mark.parametrize("state", [AttemptState.SOAKING, AttemptState.CONFIRMED])
def test_an_older_version_after_the_offered_one_is_a_revert(state: AttemptState) -> None:
    done = replace(offer(), state=state, reached_at=NOW - HOUR)
    change = trials.report(endpoint("1.1.0", done), said("0.9.0"), policy_of, acknowledged=True)
    assert latest(change.endpoint).state is AttemptState.REVERTED
    assert latest(change.endpoint).reason == "went back to 0.9.0"
    assert change.endpoint.setbacks == {
        v("1.1.0"): Setback(failures=1, retry_at=NOW + 10 * MINUTE, reason="went back to 0.9.0")
    }
    assert kinds(change) == ["reported", "reverted"]


def test_the_same_or_a_newer_version_after_the_confirmed_one_is_no_revert() -> None:
    done = replace(offer(), state=AttemptState.CONFIRMED, settled_at=NOW - HOUR)
    found = reporting(endpoint("1.1.0", done), said("1.1.0"), said("2.0.0"), acknowledged=True)
    assert found.attempt == done
    assert found.setbacks == {}


@pytest.mark.parametrize("code", [100, 199, 300, 301, 404, 500])
def test_any_other_code_fails_the_offered_attempt(code: int) -> None:
    change = trials.report(endpoint(attempt=offer()), said("1.1.0", code), policy_of, acknowledged=False)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.reason, attempt.reached_at) == (AttemptState.FAILED, f"status code {code}", NOW)
    assert change.endpoint.running == v("1.0.0")
    assert change.endpoint.setbacks[v("1.1.0")].retry_at == NOW + 10 * MINUTE
    assert kinds(change) == ["reported", "failed"]


def test_failures_count_up_to_exhaustion_and_keep_the_last_reason() -> None:
    first = reporting(endpoint(attempt=offer()), said("1.1.0", 500, reason="no room left"))
    second = reporting(replace(first, attempt=offer()), said("1.1.0", 500, reason="bad checksum"))
    assert second.setbacks[v("1.1.0")] == Setback(failures=2, exhausted=True, reason="bad checksum")


def test_a_success_does_not_clear_the_failures() -> None:
    first = reporting(endpoint(attempt=offer()), said("1.1.0", 500))
    assert reporting(replace(first, attempt=offer()), said("1.1.0")).setbacks == first.setbacks


@pytest.mark.parametrize("state", [state for state in AttemptState if state not in {*OPEN, AttemptState.SOAKING}])
def test_a_failure_that_is_not_the_offers_is_history_only(state: AttemptState) -> None:
    long_ago = replace(offer(), state=state, settled_at=NOW - DAY)
    soak = latest(soaked())
    for attempt, version in ((long_ago, "1.1.0"), (offer(), "3.0.0"), (soak, "3.0.0"), (None, "1.1.0")):
        before = endpoint(attempt=attempt)
        change = trials.report(before, said(version, 500), policy_of, acknowledged=False)
        assert latest_state(change.endpoint) == latest_state(before)
        assert change.endpoint.setbacks == {}
        assert kinds(change) == ["reported"]


def latest_state(endpoint: Endpoint) -> AttemptState | None:
    return None if endpoint.attempt is None else endpoint.attempt.state


@pytest.mark.parametrize(
    ("reached_at", "settled_at", "expected"),
    [
        (NOW - 2 * HOUR, NOW - HOUR, AttemptState.FAILED),
        (NOW - 2 * HOUR - SECOND, NOW - HOUR, AttemptState.WITHDRAWN),
        (None, NOW - 2 * HOUR, AttemptState.FAILED),
        (None, NOW - 2 * HOUR - SECOND, AttemptState.WITHDRAWN),
    ],
)
def test_a_failure_after_a_withdrawal_counts_until_the_deadline(
    reached_at: datetime | None, settled_at: datetime, expected: AttemptState
) -> None:
    withdrawn = replace(offer(reached_at=reached_at), state=AttemptState.WITHDRAWN, settled_at=settled_at)
    assert latest(reporting(endpoint(attempt=withdrawn), said("1.1.0", 500))).state is expected


def test_consent_is_used_up_by_the_report_of_success_only() -> None:
    granted = {v(text): Consent(granted=True, at=NOW) for text in ("1.1.0", "2.0.0")}
    given = replace(endpoint(attempt=offer()), consents=granted)
    assert reporting(given, said("1.1.0", 500)).consents == granted
    assert reporting(given, said("1.0.0")).consents == granted
    assert reporting(given, said("1.1.0")).consents.keys() == {v("2.0.0")}


# Progress, and being reached.


def test_progress_of_the_offer_starts_it_and_is_history_once() -> None:
    change = telling(endpoint(attempt=offer()), "1.1.0", percent=10)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.percent, attempt.progress) == (AttemptState.INSTALLING, 10, "downloading")
    assert attempt.reached_at == NOW
    assert kinds(change) == ["installing"]
    later = telling(change.endpoint, "1.1.0", "rebooting")
    assert (latest(later.endpoint).percent, latest(later.endpoint).progress) == (None, "rebooting")
    assert latest(later.endpoint).reached_at == NOW
    assert kinds(later) == []


def test_progress_of_a_withdrawn_offer_is_kept_and_moves_nothing() -> None:
    withdrawn = replace(offer(), state=AttemptState.WITHDRAWN, settled_at=NOW - HOUR)
    attempt = latest(telling(endpoint(attempt=withdrawn), "1.1.0", "installing", 50).endpoint)
    assert (attempt.state, attempt.percent, attempt.reached_at) == (AttemptState.WITHDRAWN, 50, NOW)


def test_progress_of_anything_else_changes_nothing_but_that_it_was_heard() -> None:
    settled = replace(offer(), state=AttemptState.FAILED)
    for attempt, version in ((offer(), "3.0.0"), (settled, "1.1.0"), (latest(soaked()), "1.1.0"), (None, "1.1.0")):
        before = endpoint(attempt=attempt)
        assert telling(before, version) == Change(endpoint=replace(before, last_seen_at=NOW))


@pytest.mark.parametrize(("acknowledged", "reached_at"), [(True, NOW), (False, None)])
def test_any_message_reaches_an_offer_that_the_broker_has_taken(
    acknowledged: bool, reached_at: datetime | None
) -> None:
    before = endpoint(attempt=offer())
    heard = [
        trials.hear(before, NOW, None, acknowledged=acknowledged),
        reporting(before, said("1.0.0"), acknowledged=acknowledged),
        reporting(before, said("3.0.0", 500), acknowledged=acknowledged),
    ]
    assert {latest(found).reached_at for found in heard} == {reached_at}
    assert {found.last_seen_at for found in heard} == {NOW}


def test_reached_is_the_first_time_and_only_of_open_offers() -> None:
    earlier = endpoint(attempt=offer(reached_at=NOW - MINUTE))
    assert latest(trials.hear(earlier, NOW, None, acknowledged=True)).reached_at == NOW - MINUTE
    withdrawn = endpoint(attempt=replace(offer(), state=AttemptState.WITHDRAWN))
    assert latest(trials.hear(withdrawn, NOW, None, acknowledged=True)).reached_at is None
    assert latest(trials.hear(withdrawn, NOW, v("1.1.0"), acknowledged=False)).reached_at == NOW


# Returns to the old version.


def test_returns_a_minute_apart_count_and_closer_ones_do_not() -> None:
    times = [NOW, NOW + SECOND, NOW + MINUTE - SECOND, NOW + MINUTE]
    found = reporting(endpoint(attempt=offer()), *(said("1.0.0", at=at) for at in times), acknowledged=True)
    assert (latest(found).returns, latest(found).returned_at) == (2, NOW + MINUTE)


def test_too_many_returns_fail_the_attempt() -> None:
    before = reporting(endpoint(attempt=offer()), said("1.0.0"), said("1.0.0", at=NOW + MINUTE), acknowledged=True)
    change = trials.report(before, said("1.0.0", at=NOW + 2 * MINUTE), policy_of, acknowledged=True)
    assert (latest(change.endpoint).state, latest(change.endpoint).reason) == (AttemptState.FAILED, "did not take")
    assert change.endpoint.setbacks[v("1.1.0")].reason == "did not take"
    assert kinds(change) == ["reported", "returned", "failed"]


def test_an_offer_that_was_not_reached_counts_no_return() -> None:
    assert latest(reporting(endpoint(attempt=offer()), said("1.0.0"))).returns == 0


def test_another_version_is_no_return_but_repeating_what_runs_is() -> None:
    moved = reporting(endpoint(None, offer(origin=None, reached_at=NOW - HOUR)), said("0.9.0"))
    assert latest(moved).returns == 0
    assert latest(reporting(moved, said("0.9.0"))).returns == 1


def test_a_first_report_of_the_asserted_version_is_no_return_and_the_next_one_is() -> None:
    asserted = replace(endpoint(attempt=offer()), running_since=None)
    first = trials.report(asserted, said("1.0.0"), policy_of, acknowledged=True)
    assert kinds(first) == ["reported"]
    assert kinds(trials.report(first.endpoint, said("1.0.0"), policy_of, acknowledged=True)) == ["reported", "returned"]


# Soaks.


@pytest.mark.parametrize("state", [AttemptState.OFFERED, AttemptState.INSTALLING, AttemptState.WITHDRAWN])
@pytest.mark.parametrize("stage", [0, 1])
def test_where_its_stage_soaks_a_report_of_the_offered_version_begins_the_soak(state: AttemptState, stage: int) -> None:
    before = endpoint(attempt=replace(in_stage(stage), state=state))
    change = trials.report(before, said("1.1.0+build"), soaks, acknowledged=False)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.soaking_at, attempt.reached_at) == (AttemptState.SOAKING, NOW, NOW)
    assert (attempt.settled_at, attempt.soak_reports) == (None, 0)
    assert change.endpoint.running == v("1.1.0")
    assert kinds(change) == ["reported", "soaking"]


@pytest.mark.parametrize("stage", [None, 2])
def test_outside_stages_and_in_one_without_a_soak_the_report_confirms(stage: int | None) -> None:
    assert latest(reporting(endpoint(attempt=in_stage(stage)), said("1.1.0"), policies=soaks)).state is (
        AttemptState.CONFIRMED
    )


def test_a_stage_that_is_no_more_soaks_as_the_last_one() -> None:
    shorter = replace(POLICY, stages=(Stage(percent=100, soak=HOUR),))
    change = trials.report(endpoint(attempt=in_stage(4)), said("1.1.0"), lambda _: shorter, acknowledged=False)
    assert latest(change.endpoint).state is AttemptState.SOAKING


def test_time_alone_confirms_where_no_report_is_asked_for() -> None:
    before = soaked(stage=0)
    assert trials.term(before.attempt, soaks) == Term(NOW, NOW + HOUR)
    assert waiting(before, NOW + HOUR - SECOND, soaks) == Change(endpoint=before)
    change = waiting(before, NOW + HOUR, soaks)
    assert (latest(change.endpoint).state, latest(change.endpoint).settled_at) == (
        AttemptState.CONFIRMED,
        NOW + HOUR,
    )
    assert kinds(change) == ["confirmed"]
    assert change.endpoint.setbacks == {}


def test_further_reports_confirm_when_the_soak_is_over_and_not_before() -> None:
    early = reporting(soaked(), *(said("1.1.0", at=NOW + HOUR - SECOND) for _ in range(3)), policies=soaks)
    assert (latest(early).state, latest(early).soak_reports) == (AttemptState.SOAKING, 3)
    assert trials.term(early.attempt, soaks) == Term(NOW, NOW + HOUR)
    change = waiting(early, NOW + HOUR, soaks)
    assert kinds(change) == ["confirmed"]


def test_a_soak_that_wants_reports_ends_with_the_last_of_them() -> None:
    one = reporting(soaked(), said("1.1.0", at=NOW + 2 * HOUR), policies=soaks)
    assert (latest(one).state, latest(one).soak_reports) == (AttemptState.SOAKING, 1)
    assert trials.term(one.attempt, soaks) == Term(NOW, NOW + 3 * HOUR)
    change = trials.report(one, said("1.1.0", at=NOW + 2 * HOUR + SECOND), soaks, acknowledged=True)
    assert latest(change.endpoint).state is AttemptState.CONFIRMED
    assert kinds(change) == ["reported", "confirmed"]


def test_who_falls_silent_in_its_soak_expires_by_the_deadline_after_it() -> None:
    before = soaked(reports=1)
    assert waiting(before, NOW + 3 * HOUR - SECOND, soaks) == Change(endpoint=before)
    change = waiting(before, NOW + 3 * HOUR, soaks)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.reason) == (AttemptState.EXPIRED, "fell silent in its soak")
    assert change.endpoint.setbacks[v("1.1.0")].failures == 1
    assert kinds(change) == ["expired"]


def test_a_failure_in_the_soak_fails_it() -> None:
    change = trials.report(soaked(), said("1.1.0", 500, reason="sensor gone"), soaks, acknowledged=True)
    assert (latest(change.endpoint).state, latest(change.endpoint).reason) == (AttemptState.FAILED, "sensor gone")
    assert change.endpoint.setbacks[v("1.1.0")].failures == 1
    assert kinds(change) == ["reported", "failed"]


def test_going_back_in_the_soak_is_a_revert() -> None:
    change = trials.report(soaked(), said("1.0.0"), soaks, acknowledged=True)
    assert latest(change.endpoint).state is AttemptState.REVERTED
    assert kinds(change) == ["reported", "reverted"]


def test_going_on_in_the_soak_is_no_verdict() -> None:
    change = trials.report(soaked(), said("2.0.0"), soaks, acknowledged=True)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.settled_at, attempt.reason) == (AttemptState.WITHDRAWN, NOW, "went on to 2.0.0")
    assert change.endpoint.setbacks == {}
    assert kinds(change) == ["reported", "withdrawn"]


def test_who_comes_back_to_a_soak_that_it_left_begins_it_again() -> None:
    left = reporting(soaked(reports=2), said("2.0.0", at=NOW + MINUTE), policies=soaks)
    back = latest(reporting(left, said("1.1.0", at=NOW + 2 * MINUTE), policies=soaks))
    assert (back.state, back.soaking_at, back.soak_reports) == (AttemptState.SOAKING, NOW + 2 * MINUTE, 0)


# Health.


def healthy(before: Endpoint, *, well: bool, version: str | None = None, reason: str | None = None) -> Change:
    fact = HealthReported(healthy=well, version=None if version is None else v(version), reason=reason, at=NOW)
    return trials.well(before, fact)


@pytest.mark.parametrize("state", [AttemptState.SOAKING, AttemptState.CONFIRMED])
@pytest.mark.parametrize("version", [None, "1.1.0"])
def test_what_an_endpoint_says_of_its_health_is_kept_while_it_runs_the_version(
    state: AttemptState, version: str | None
) -> None:
    before = endpoint("1.1.0", replace(offer(), state=state))
    ill = healthy(before, well=False, version=version, reason="too hot")
    assert latest(ill.endpoint).healthy is False
    assert ill.entries == (HistoryEntry(at=NOW, kind=HistoryKind.UNHEALTHY, version=v("1.1.0"), reason="too hot"),)
    assert healthy(ill.endpoint, well=False, version=version) == Change(endpoint=ill.endpoint)
    better = healthy(ill.endpoint, well=True, version=version)
    assert latest(better.endpoint).healthy is True
    assert kinds(better) == ["recovered"]
    assert latest(better.endpoint).state is state
    assert (latest(ill.endpoint).reason, latest(better.endpoint).reason) == ("too hot", None)


def test_why_an_endpoint_is_not_well_is_kept_when_its_soak_is_over_and_has_a_name_where_it_gave_none() -> None:
    ill = healthy(soaked(), well=False).endpoint
    assert latest(ill).reason == "unhealthy"
    hot = healthy(soaked(0), well=False, reason="too hot").endpoint
    confirmed = waiting(hot, NOW + 2 * DAY, soaks).endpoint
    assert (latest(confirmed).state, latest(confirmed).reason) == (AttemptState.CONFIRMED, "too hot")


def test_another_reason_for_being_unwell_takes_the_place_of_the_first_one_and_so_does_one_where_there_was_none() -> (
    None
):
    hot = healthy(soaked(), well=False, reason="too hot").endpoint
    dark = healthy(hot, well=False, reason="dark")
    assert (latest(dark.endpoint).healthy, latest(dark.endpoint).reason) == (False, "dark")
    assert dark.entries == (HistoryEntry(at=NOW, kind=HistoryKind.UNHEALTHY, version=v("1.1.0"), reason="dark"),)
    assert healthy(dark.endpoint, well=False, reason="dark") == Change(endpoint=dark.endpoint)
    before = replace(soaked(), attempt=replace(latest(soaked()), healthy=False))
    assert latest(healthy(before, well=False, reason="dark").endpoint).reason == "dark"
    assert latest(healthy(before, well=False).endpoint).reason == "unhealthy"


@pytest.mark.parametrize("policies", [soaks, policy_of], ids=["it soaks again", "no soak is asked for any more"])
def test_who_comes_back_to_a_version_that_it_had_left_unwell_has_not_said_yet_how_it_is(policies: PolicyOf) -> None:
    ill = healthy(soaked(), well=False, reason="too hot").endpoint
    left = reporting(ill, said("2.0.0"), policies=soaks)
    assert (latest(left).state, latest(left).reason) == (AttemptState.WITHDRAWN, "went on to 2.0.0")
    back = reporting(left, said("1.1.0"), policies=policies)
    assert (latest(back).healthy, latest(back).reason) == (None, None)
    again = healthy(back, well=False, reason="too hot").endpoint
    assert (latest(again).healthy, latest(again).reason) == (False, "too hot")


def test_who_was_never_ill_does_not_recover() -> None:
    change = healthy(soaked(), well=True)
    assert latest(change.endpoint).healthy is True
    assert change.entries == ()


@pytest.mark.parametrize(
    ("before", "version"),
    [
        (endpoint("1.1.0"), None),
        (endpoint("1.0.0", offer()), None),
        (endpoint("1.0.0", offer()), "1.1.0"),
        (soaked(), "1.0.0"),
        (replace(soaked(), running=v("2.0.0")), None),
        (endpoint("1.1.0", replace(offer(), state=AttemptState.FAILED)), None),
        (endpoint("1.1.0", replace(offer(), state=AttemptState.WITHDRAWN)), None),
    ],
)
def test_health_that_is_not_about_the_version_of_the_attempt_changes_nothing(
    before: Endpoint, version: str | None
) -> None:
    assert healthy(before, well=False, version=version) == Change(endpoint=before)


# Time.


def test_a_reached_offer_expires_at_its_deadline() -> None:
    before = endpoint(attempt=offer(reached_at=NOW))
    due = NOW + 2 * HOUR
    assert trials.term(before.attempt, policy_of) == Term(NOW, due)
    assert waiting(before, due - SECOND) == Change(endpoint=before)
    change = waiting(before, due)
    assert (latest(change.endpoint).state, latest(change.endpoint).reason) == (
        AttemptState.EXPIRED,
        "no verdict by the deadline",
    )
    assert change.endpoint.setbacks[v("1.1.0")].failures == 1
    assert change.endpoint.last_seen_at is None
    assert kinds(change) == ["expired"]


@pytest.mark.parametrize("attempt", [None, offer(), replace(offer(reached_at=NOW), state=AttemptState.WITHDRAWN)])
def test_what_was_never_reached_or_is_not_open_does_not_expire(attempt: Attempt | None) -> None:
    before = endpoint(attempt=attempt)
    assert trials.term(attempt, policy_of) is None
    assert waiting(before, NOW + 99 * DAY) == Change(endpoint=before)


def test_who_is_not_reached_gives_its_slot_back_where_slots_are_counted() -> None:
    attempt = replace(offer(), offered_at=NOW)
    before = endpoint(attempt=attempt)
    assert trials.term(attempt, claims) == Term(NOW, NOW + 10 * MINUTE)
    assert waiting(before, NOW + 10 * MINUTE - SECOND, claims) == Change(endpoint=before)
    change = waiting(before, NOW + 10 * MINUTE, claims)
    assert change == Change(endpoint=replace(before, attempt=replace(attempt, lapsed=True)))
    assert change.endpoint.offer is not None
    assert not change.endpoint.offer.holds_slot
    assert trials.term(change.endpoint.attempt, claims) is None
    assert waiting(change.endpoint, NOW + 99 * DAY, claims) == Change(endpoint=change.endpoint)


def test_who_is_reached_after_its_slot_lapsed_takes_one_again_and_has_the_whole_deadline() -> None:
    lapsed = endpoint(attempt=replace(offer(), lapsed=True))
    heard = latest(trials.hear(lapsed, NOW, None, acknowledged=True))
    assert heard.holds_slot
    assert trials.term(heard, claims) == Term(NOW, NOW + 2 * HOUR)


def test_nothing_is_waited_for_by_default_before_an_offer_is_reached() -> None:
    assert trials.term(offer(), lambda _: DEFAULT_POLICY) is None
