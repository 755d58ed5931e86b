"""What facts do to an endpoint, and how its offer follows the decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.attempts import OPEN, Attempt, AttemptState
from orchestrator.domain.changes import Change, agrees, apply, due_at, replan
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.endpoints import Consent, Endpoint, HistoryEntry, HistoryKind, Setback, TokenState
from orchestrator.domain.facts import (
    Asserted,
    Consented,
    DeadlinePassed,
    Fact,
    Heard,
    ObserveAsked,
    Progressed,
    Reported,
    Retried,
)
from orchestrator.domain.policies import Attempts, RolloutPolicy
from tests.unit.orchestrator.domain.builders import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    catalogue,
    endpoint,
    general,
    offer,
    recalled,
    suspended,
    v,
)

if TYPE_CHECKING:
    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.versions import Version

POLICY = RolloutPolicy(attempts=Attempts(max=2, backoff=10 * MINUTE, returns=3), installing=2 * HOUR)
SECOND = timedelta(seconds=1)
STEPS = (general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))


def policy_of(_: Version) -> RolloutPolicy:
    return POLICY


def after(before: Endpoint, *facts: Fact, acknowledged: bool = True) -> Endpoint:
    for fact in facts:
        before = apply(before, fact, policy_of, acknowledged=acknowledged).endpoint
    return before


def report(version: str, code: int = 200, at: datetime = NOW, reason: str | None = None) -> Reported:
    return Reported(version=v(version), status_code=code, reason=reason, at=at)


def kinds(change: Change) -> list[str]:
    return [entry.kind.value for entry in change.entries]


def latest(endpoint: Endpoint) -> Attempt:
    assert endpoint.attempt is not None
    return endpoint.attempt


def planned(before: Endpoint, made: Catalogue) -> Change:
    return replan(before, decide(standing(before, made, NOW), made, NOW), made, NOW)


# What an endpoint's messages do.


def test_a_report_of_success_moves_the_version_offered_or_not() -> None:
    change = apply(endpoint("1.0.0"), report("3.0.0", 204, reason="fine"), policy_of, acknowledged=False)
    assert (change.endpoint.running, change.endpoint.running_since) == (v("3.0.0"), NOW)
    assert change.entries == (
        HistoryEntry(at=NOW, kind=HistoryKind.REPORTED, version=v("3.0.0"), status_code=204, reason="fine"),
    )


def test_the_same_version_again_keeps_since_when_it_runs() -> None:
    found = after(endpoint("1.0.0+a"), report("1.0.0+b"))
    assert found.running_since == NOW - DAY
    assert found.running is not None
    assert found.running.text == "1.0.0+b"


def test_the_report_of_the_offered_version_confirms_and_reaches() -> None:
    change = apply(endpoint(attempt=offer()), report("1.1.0+build"), policy_of, acknowledged=False)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.settled_at, attempt.reached_at) == (AttemptState.CONFIRMED, NOW, NOW)
    assert change.endpoint.offer is None
    assert kinds(change) == ["reported", "confirmed"]


def test_a_withdrawn_offer_that_took_all_the_same_is_confirmed() -> None:
    withdrawn = replace(offer(), state=AttemptState.WITHDRAWN, settled_at=NOW - HOUR)
    change = apply(endpoint(attempt=withdrawn), report("1.1.0"), policy_of, acknowledged=False)
    assert latest(change.endpoint).state is AttemptState.CONFIRMED
    assert kinds(change) == ["reported", "confirmed"]


@pytest.mark.parametrize("state", [AttemptState.FAILED, AttemptState.EXPIRED, AttemptState.REVERTED])
def test_a_late_success_moves_the_version_and_leaves_the_verdict(state: AttemptState) -> None:
    change = apply(endpoint(attempt=replace(offer(), state=state)), report("1.1.0"), policy_of, acknowledged=False)
    assert change.endpoint.running == v("1.1.0")
    assert latest(change.endpoint).state is state
    assert kinds(change) == ["reported"]


@pytest.mark.parametrize("state", [AttemptState.SOAKING, AttemptState.CONFIRMED])
def test_an_older_version_after_the_offered_one_is_a_revert(state: AttemptState) -> None:
    done = replace(offer(), state=state, reached_at=NOW - HOUR)
    change = apply(endpoint("1.1.0", done), report("0.9.0"), policy_of, acknowledged=True)
    assert latest(change.endpoint).state is AttemptState.REVERTED
    assert latest(change.endpoint).reason == "went back to 0.9.0"
    assert change.endpoint.setbacks == {
        v("1.1.0"): Setback(failures=1, retry_at=NOW + 10 * MINUTE, reason="went back to 0.9.0")
    }
    assert kinds(change) == ["reported", "reverted"]


def test_the_same_or_a_newer_version_after_the_offered_one_is_no_revert() -> None:
    done = replace(offer(), state=AttemptState.CONFIRMED, settled_at=NOW - HOUR)
    found = after(endpoint("1.1.0", done), report("1.1.0"), report("2.0.0"))
    assert found.attempt == done
    assert found.setbacks == {}


@pytest.mark.parametrize("code", [100, 199, 300, 301, 404, 500])
def test_any_other_code_fails_the_offered_attempt(code: int) -> None:
    change = apply(endpoint(attempt=offer()), report("1.1.0", code), policy_of, acknowledged=False)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.reason, attempt.reached_at) == (AttemptState.FAILED, f"status code {code}", NOW)
    assert change.endpoint.running == v("1.0.0")
    assert change.endpoint.setbacks[v("1.1.0")].retry_at == NOW + 10 * MINUTE
    assert kinds(change) == ["reported", "failed"]


def test_failures_count_up_to_exhaustion_and_keep_the_last_reason() -> None:
    first = after(endpoint(attempt=offer()), report("1.1.0", 500, reason="no room left"))
    second = after(replace(first, attempt=offer()), report("1.1.0", 500, reason="bad checksum"))
    assert second.setbacks[v("1.1.0")] == Setback(failures=2, exhausted=True, reason="bad checksum")


def test_a_success_does_not_clear_the_failures() -> None:
    first = after(endpoint(attempt=offer()), report("1.1.0", 500))
    assert after(replace(first, attempt=offer()), report("1.1.0")).setbacks == first.setbacks


@pytest.mark.parametrize("state", [state for state in AttemptState if state not in OPEN])
def test_a_failure_that_is_not_the_offers_is_history_only(state: AttemptState) -> None:
    long_ago = replace(offer(), state=state, settled_at=NOW - DAY)
    for attempt, version in ((long_ago, "1.1.0"), (offer(), "3.0.0"), (None, "1.1.0")):
        before = endpoint(attempt=attempt)
        change = apply(before, report(version, 500), policy_of, acknowledged=False)
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
    assert latest(after(endpoint(attempt=withdrawn), report("1.1.0", 500))).state is expected


def test_progress_of_the_offer_starts_it_and_is_history_once() -> None:
    first = Progressed(version=v("1.1.0"), state="downloading", percent=10, at=NOW)
    change = apply(endpoint(attempt=offer()), first, policy_of, acknowledged=False)
    attempt = latest(change.endpoint)
    assert (attempt.state, attempt.percent, attempt.progress) == (AttemptState.INSTALLING, 10, "downloading")
    assert attempt.reached_at == NOW
    assert kinds(change) == ["installing"]
    again = replace(first, state="rebooting", percent=None, at=NOW + MINUTE)
    later = apply(change.endpoint, again, policy_of, acknowledged=False)
    assert (latest(later.endpoint).percent, latest(later.endpoint).progress) == (None, "rebooting")
    assert latest(later.endpoint).reached_at == NOW
    assert kinds(later) == []


def test_progress_of_a_withdrawn_offer_is_kept_and_moves_nothing() -> None:
    withdrawn = replace(offer(), state=AttemptState.WITHDRAWN, settled_at=NOW - HOUR)
    fact = Progressed(version=v("1.1.0"), state="installing", percent=50, at=NOW)
    attempt = latest(after(endpoint(attempt=withdrawn), fact, acknowledged=False))
    assert (attempt.state, attempt.percent, attempt.reached_at) == (AttemptState.WITHDRAWN, 50, NOW)


def test_progress_of_anything_else_changes_nothing_but_that_it_was_heard() -> None:
    settled = replace(offer(), state=AttemptState.FAILED)
    for attempt, version in ((offer(), "3.0.0"), (settled, "1.1.0"), (None, "1.1.0")):
        before = endpoint(attempt=attempt)
        fact = Progressed(version=v(version), state="downloading", at=NOW)
        change = apply(before, fact, policy_of, acknowledged=False)
        assert change == Change(endpoint=replace(before, last_seen_at=NOW))


@pytest.mark.parametrize(("acknowledged", "reached_at"), [(True, NOW), (False, None)])
def test_any_message_reaches_an_offer_that_the_broker_has_taken(
    acknowledged: bool, reached_at: datetime | None
) -> None:
    for fact in (Heard(at=NOW), ObserveAsked(observe=True, at=NOW), report("1.0.0"), report("3.0.0", 500)):
        found = after(endpoint(attempt=offer()), fact, acknowledged=acknowledged)
        assert latest(found).reached_at == reached_at
        assert found.last_seen_at == NOW


def test_reached_is_the_first_time_and_only_of_open_offers() -> None:
    earlier = endpoint(attempt=offer(reached_at=NOW - MINUTE))
    assert latest(after(earlier, Heard(at=NOW))).reached_at == NOW - MINUTE
    withdrawn = endpoint(attempt=replace(offer(), state=AttemptState.WITHDRAWN))
    assert latest(after(withdrawn, Heard(at=NOW))).reached_at is None


def test_observe_is_kept_as_asked() -> None:
    assert after(endpoint(), ObserveAsked(observe=False, at=NOW)).observe is False


# Returns to the old version.


def test_returns_a_minute_apart_count_and_closer_ones_do_not() -> None:
    times = [NOW, NOW + SECOND, NOW + MINUTE - SECOND, NOW + MINUTE]
    found = after(endpoint(attempt=offer()), *(report("1.0.0", at=at) for at in times))
    assert (latest(found).returns, latest(found).returned_at) == (2, NOW + MINUTE)


def test_too_many_returns_fail_the_attempt() -> None:
    before = after(endpoint(attempt=offer()), report("1.0.0"), report("1.0.0", at=NOW + MINUTE))
    change = apply(before, report("1.0.0", at=NOW + 2 * MINUTE), policy_of, acknowledged=True)
    assert (latest(change.endpoint).state, latest(change.endpoint).reason) == (AttemptState.FAILED, "did not take")
    assert change.endpoint.setbacks[v("1.1.0")].reason == "did not take"
    assert kinds(change) == ["reported", "returned", "failed"]


def test_an_offer_that_was_not_reached_counts_no_return() -> None:
    assert latest(after(endpoint(attempt=offer()), report("1.0.0"), acknowledged=False)).returns == 0


def test_another_version_is_no_return_but_repeating_what_runs_is() -> None:
    attempt = offer(origin=None, reached_at=NOW - HOUR)
    moved = after(endpoint(None, attempt), report("0.9.0"))
    assert latest(moved).returns == 0
    assert latest(after(moved, report("0.9.0"))).returns == 1


# Time and operators.


def test_a_reached_offer_expires_at_its_deadline() -> None:
    before = endpoint(attempt=offer(reached_at=NOW))
    due = NOW + 2 * HOUR
    assert due_at(before, policy_of, NOW) == due
    early = apply(before, DeadlinePassed(at=due - SECOND), policy_of, acknowledged=True)
    assert early == Change(endpoint=before)
    change = apply(before, DeadlinePassed(at=due), policy_of, acknowledged=True)
    assert latest(change.endpoint).state is AttemptState.EXPIRED
    assert change.endpoint.setbacks[v("1.1.0")].failures == 1
    assert change.endpoint.last_seen_at is None
    assert kinds(change) == ["expired"]
    assert due_at(change.endpoint, policy_of, due) == due + 10 * MINUTE
    assert due_at(change.endpoint, policy_of, due + 10 * MINUTE) is None


@pytest.mark.parametrize("attempt", [None, offer(), replace(offer(reached_at=NOW), state=AttemptState.WITHDRAWN)])
def test_what_was_never_reached_or_is_not_open_does_not_expire(attempt: Attempt | None) -> None:
    before = endpoint(attempt=attempt)
    assert due_at(before, policy_of, NOW) is None
    change = apply(before, DeadlinePassed(at=NOW + 99 * DAY), policy_of, acknowledged=True)
    assert change == Change(endpoint=before)


def test_the_earliest_moment_is_due_first_and_an_overdue_one_stays_due() -> None:
    waiting = {v("3.0.0"): Setback(failures=1, retry_at=NOW + HOUR), v("4.0.0"): Setback(failures=2, exhausted=True)}
    before = replace(endpoint(attempt=offer(reached_at=NOW)), setbacks=waiting)
    assert due_at(before, policy_of, NOW) == NOW + HOUR
    assert due_at(before, policy_of, NOW + 3 * HOUR) == NOW + 2 * HOUR


def test_a_retry_forgets_one_version_or_all() -> None:
    setbacks = {v("1.1.0"): Setback(failures=3, exhausted=True), v("2.0.0"): Setback(failures=1)}
    before = replace(endpoint(), setbacks=setbacks)
    one = apply(before, Retried(at=NOW, version=v("1.1.0")), policy_of, acknowledged=False)
    assert set(one.endpoint.setbacks) == {v("2.0.0")}
    assert one.entries == (HistoryEntry(at=NOW, kind=HistoryKind.RETRIED, version=v("1.1.0")),)
    assert one.endpoint.last_seen_at is None
    assert after(before, Retried(at=NOW)).setbacks == {}


# How the offer follows the decision.


def test_a_first_offer_is_made_with_the_next_sequence() -> None:
    change = planned(replace(endpoint(), sequence=4), catalogue(*STEPS))
    assert change.endpoint.offer == Attempt(version=v("1.1.0"), number=1, sequence=5, origin=v("1.0.0"), offered_at=NOW)
    assert change.endpoint.sequence == 5
    assert kinds(change) == ["offered"]


def test_the_number_of_an_attempt_goes_on_from_the_failures() -> None:
    setbacks = {v("1.1.0"): Setback(failures=2, retry_at=NOW)}
    assert latest(planned(replace(endpoint(), setbacks=setbacks), catalogue(*STEPS)).endpoint).number == 3


def test_an_offer_that_is_still_the_hop_is_kept() -> None:
    before = endpoint(attempt=offer())
    assert planned(before, catalogue(*STEPS)) == Change(endpoint=before)


def test_a_confirmed_hop_leads_to_the_next() -> None:
    made = catalogue(*STEPS)
    change = planned(after(endpoint(attempt=offer()), report("1.1.0")), made)
    assert latest(change.endpoint).version == v("2.0.0")
    assert latest(change.endpoint).origin == v("1.1.0")
    assert kinds(change) == ["offered"]


def test_a_better_hop_replaces_an_unstarted_offer() -> None:
    change = planned(endpoint(attempt=offer()), catalogue(*STEPS, general("3.0.0", "1.0.0")))
    assert change.entries == (
        HistoryEntry(at=NOW, kind=HistoryKind.WITHDRAWN, version=v("1.1.0"), reason="3.0.0 is offered instead"),
        HistoryEntry(at=NOW, kind=HistoryKind.OFFERED, version=v("3.0.0")),
    )
    assert (latest(change.endpoint).version, change.endpoint.sequence) == (v("3.0.0"), 2)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (catalogue(suspended("1.1.0", "1.0.0")), "blocked"),
        (catalogue(recalled("1.1.0", "1.0.0")), "its software was recalled"),
        (catalogue(), "its software was deleted"),
        (catalogue(general("1.1.0", "0.9.0")), "up-to-date"),
        (catalogue(general("1.1.0", "1.0.0", rollout_date=NOW + DAY)), "waiting"),
    ],
)
def test_an_unstarted_offer_that_is_no_hop_any_more_is_withdrawn(made: Catalogue, reason: str) -> None:
    change = planned(endpoint(attempt=offer()), made)
    assert (latest(change.endpoint).state, latest(change.endpoint).reason) == (AttemptState.WITHDRAWN, reason)
    assert latest(change.endpoint).settled_at == NOW
    assert kinds(change) == ["withdrawn"]


def test_a_suspended_token_loses_its_unstarted_offer() -> None:
    before = replace(endpoint(attempt=offer()), token_state=TokenState.SUSPENDED)
    assert latest(planned(before, catalogue(*STEPS)).endpoint).reason == "suspended"


INSTALLING = replace(offer(reached_at=NOW), state=AttemptState.INSTALLING)


@pytest.mark.parametrize(
    "made",
    [
        catalogue(suspended("1.1.0", "1.0.0")),
        catalogue(*STEPS, general("3.0.0", "1.0.0")),
        catalogue(general("1.1.0", "0.9.0")),
    ],
)
def test_a_started_install_is_let_end(made: Catalogue) -> None:
    before = endpoint(attempt=INSTALLING)
    assert planned(before, made) == Change(endpoint=before)


@pytest.mark.parametrize(
    "made",
    [catalogue(), catalogue(recalled("1.1.0", "1.0.0")), catalogue(general("1.1.0", "1.0.0", given=False))],
)
def test_a_started_install_of_what_is_gone_or_recalled_is_withdrawn(made: Catalogue) -> None:
    assert latest(planned(endpoint(attempt=INSTALLING), made).endpoint).state is AttemptState.WITHDRAWN


def test_a_started_install_is_withdrawn_when_no_edge_leads_from_what_it_runs_now() -> None:
    stays = catalogue(suspended("1.1.0", "1.0.0", "0.9.0"))
    assert planned(endpoint("0.9.0", INSTALLING), stays).entries == ()
    goes = catalogue(suspended("1.1.0", "1.0.0"))
    assert kinds(planned(endpoint("0.9.0", INSTALLING), goes)) == ["withdrawn"]


def test_what_an_endpoint_runs_is_never_offered_even_by_a_stale_decision() -> None:
    made = catalogue(*STEPS)
    stale = decide(standing(endpoint("1.0.0"), made, NOW), made, NOW)
    change = replan(endpoint("1.1.0", offer()), stale, made, NOW)
    assert change.endpoint.offer is None
    assert kinds(change) == ["withdrawn"]


@pytest.mark.parametrize("running", [None, "1.0.0", "1.1.0", "2.0.0"])
@pytest.mark.parametrize("offered", [None, "1.1.0", "2.0.0"])
@pytest.mark.parametrize("state", AttemptState)
def test_replanning_leaves_an_endpoint_alone_that_agrees(
    running: str | None, offered: str | None, state: AttemptState
) -> None:
    made = catalogue(*STEPS)
    attempt = None if offered is None else replace(offer(offered), state=state)
    before = endpoint(running, attempt)
    decision = decide(standing(before, made, NOW), made, NOW)
    if agrees(before, decision):
        assert replan(before, decision, made, NOW) == Change(endpoint=before)
    else:
        # A started install goes on although another hop would be decided now.
        assert replan(before, decision, made, NOW).entries or state is AttemptState.INSTALLING


def test_consent_is_kept_and_told_once() -> None:
    said = Consented(version=v("1.1.0"), reason="the owner agreed", at=NOW)
    change = apply(endpoint(), said, policy_of, acknowledged=True)
    assert change.endpoint.consents == {v("1.1.0"): Consent(granted=True, at=NOW, reason="the owner agreed")}
    assert change.entries == (
        HistoryEntry(at=NOW, kind=HistoryKind.CONSENTED, version=v("1.1.0"), reason="the owner agreed"),
    )
    again = apply(change.endpoint, replace(said, at=NOW + HOUR), policy_of, acknowledged=True)
    assert again == Change(endpoint=change.endpoint)


def test_consent_can_be_taken_back() -> None:
    given = after(endpoint(), Consented(version=v("1.1.0"), at=NOW))
    change = apply(given, Consented(version=v("1.1.0"), granted=False, at=NOW), policy_of, acknowledged=True)
    assert not change.endpoint.consents[v("1.1.0")].granted
    assert kinds(change) == ["refused"]


def test_consent_is_used_up_by_the_report_of_success_only() -> None:
    given = after(endpoint(attempt=offer()), *(Consented(version=v(text), at=NOW) for text in ("1.1.0", "2.0.0")))
    assert after(given, report("1.1.0", 500)).consents.keys() == {v("1.1.0"), v("2.0.0")}
    assert after(given, report("1.0.0")).consents.keys() == {v("1.1.0"), v("2.0.0")}
    assert after(given, report("1.1.0")).consents.keys() == {v("2.0.0")}


def test_what_is_asserted_counts_until_the_first_report() -> None:
    new = Endpoint(registered_at=NOW)
    change = apply(new, Asserted(version=v("1.0.0"), at=NOW), policy_of, acknowledged=True)
    assert (change.endpoint.running, change.endpoint.reported) == (v("1.0.0"), False)
    assert kinds(change) == ["asserted"]
    heard = after(change.endpoint, Heard(at=NOW + HOUR))
    assert (heard.running, heard.reported, heard.last_seen_at) == (v("1.0.0"), False, NOW + HOUR)
    told = after(heard, report("1.0.0", at=NOW + HOUR))
    assert (told.reported, told.running_since) == (True, NOW + HOUR)
    assert apply(told, Asserted(version=v("2.0.0"), at=NOW), policy_of, acknowledged=True) == Change(endpoint=told)


def test_nothing_is_asserted_of_an_endpoint_that_has_said_that_an_install_failed() -> None:
    offered = endpoint(running="1.0.0", attempt=offer())
    told = after(replace(offered, running_since=None), report("1.1.0", 500))
    assert told.reported
    assert apply(told, Asserted(version=v("1.1.0"), at=NOW), policy_of, acknowledged=True) == Change(endpoint=told)


def test_a_first_report_of_the_asserted_version_is_no_return_and_the_next_one_is() -> None:
    asserted = replace(endpoint(attempt=offer()), running_since=None)
    first = apply(asserted, report("1.0.0"), policy_of, acknowledged=True)
    assert kinds(first) == ["reported"]
    assert kinds(apply(first.endpoint, report("1.0.0"), policy_of, acknowledged=True)) == ["reported", "returned"]
