"""What facts do to an endpoint, and how its offer follows the decision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.changes import Change, agrees, apply, due_at, replan
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.endpoints import Consent, Endpoint, HistoryEntry, HistoryKind, Setback, TokenState
from orchestrator.domain.facts import (
    Asserted,
    Consented,
    DeadlinePassed,
    Fact,
    HealthReported,
    Heard,
    ObserveAsked,
    Progressed,
    Reported,
    Retried,
)
from orchestrator.domain.policies import Attempts, OnClose, RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout
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
    from datetime import datetime

    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

POLICY = RolloutPolicy(attempts=Attempts(max=2, backoff=10 * MINUTE, returns=3), installing=2 * HOUR)
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


# Every fact has its way.


def test_observe_is_kept_as_asked() -> None:
    assert after(endpoint(), ObserveAsked(observe=False, at=NOW)).observe is False


@pytest.mark.parametrize(
    "fact",
    [
        Heard(at=NOW),
        ObserveAsked(observe=True, at=NOW),
        Progressed(version=v("3.0.0"), state="downloading", at=NOW),
        HealthReported(healthy=True, at=NOW),
        report("1.0.0"),
        report("3.0.0", 500),
    ],
)
def test_every_message_reaches_an_offer_that_the_broker_has_taken(fact: Fact) -> None:
    before = endpoint(attempt=offer())
    assert latest(after(before, fact, acknowledged=True)).reached_at == NOW
    assert latest(after(before, fact, acknowledged=False)).reached_at is None
    assert after(before, fact).last_seen_at == NOW


@pytest.mark.parametrize(
    "fact",
    [
        Progressed(version=v("1.1.0"), state="downloading", at=NOW),
        HealthReported(healthy=True, version=v("1.1.0"), at=NOW),
        report("1.1.0", 500),
    ],
)
def test_a_message_that_names_the_offered_version_has_reached_it(fact: Fact) -> None:
    assert latest(after(endpoint(attempt=offer()), fact, acknowledged=False)).reached_at == NOW


def test_a_message_may_start_an_install_or_make_it_fail_or_tell_of_its_health() -> None:
    before = endpoint(attempt=offer())
    started = apply(before, Progressed(version=v("1.1.0"), state="downloading", at=NOW), policy_of, acknowledged=True)
    assert kinds(started) == ["installing"]
    failed = apply(started.endpoint, report("1.1.0", 500), policy_of, acknowledged=True)
    assert kinds(failed) == ["reported", "failed"]
    done = after(started.endpoint, report("1.1.0"))
    unwell = apply(done, HealthReported(healthy=False, at=NOW), policy_of, acknowledged=True)
    assert kinds(unwell) == ["unhealthy"]


def test_a_deadline_that_passed_expires_what_was_reached() -> None:
    change = apply(
        endpoint(attempt=offer(reached_at=NOW)), DeadlinePassed(at=NOW + 2 * HOUR), policy_of, acknowledged=True
    )
    assert kinds(change) == ["expired"]
    assert due_at(change.endpoint, policy_of, NOW + 2 * HOUR) == NOW + 2 * HOUR + 10 * MINUTE
    assert due_at(change.endpoint, policy_of, NOW + 2 * HOUR + 10 * MINUTE) is None


# Time and operators.


@pytest.mark.parametrize("before", [endpoint(), endpoint(attempt=offer())])
def test_nothing_is_due_before_an_offer_is_reached(before: Endpoint) -> None:
    assert due_at(before, policy_of, NOW) is None


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
    assert change.endpoint.offer == Attempt(
        version=v("1.1.0"), number=1, sequence=5, origin=v("1.0.0"), offered_at=NOW, stage=0
    )
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
        (catalogue(suspended("1.1.0", "1.0.0")), "blocked: strategy"),
        (catalogue(recalled("1.1.0", "1.0.0")), "its software was recalled"),
        (catalogue(), "its software was deleted"),
        (catalogue(general("1.1.0", "0.9.0")), "up-to-date"),
        (catalogue(general("1.1.0", "1.0.0", rollout_date=NOW + DAY)), "waiting: rolloutDate"),
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


STAGED = replace(
    general("1.1.0", "1.0.0"),
    policy=RolloutPolicy(stages=(Stage(percent=1), Stage(percent=100), Stage(percent=100))),
    rollout=Rollout(stage=1),
)


@pytest.mark.parametrize(
    ("before", "made", "stage"),
    [
        (endpoint("1.0.0"), catalogue(STAGED), 1),
        (endpoint("1.0.0"), catalogue(replace(STAGED, rollout=Rollout(stage=7, members=(frozenset({0}),)))), 2),
        (replace(endpoint("1.0.0"), pinned=v("1.1.0")), catalogue(STAGED), None),
        (endpoint("1.0.0"), catalogue(recalled("1.0.0"), STAGED), None),
    ],
)
def test_an_offer_belongs_to_the_present_stage_unless_a_pin_or_a_rescue_set_stages_aside(
    before: Endpoint, made: Catalogue, stage: int | None
) -> None:
    assert latest(planned(before, made).endpoint).stage == stage


def test_a_rescue_comes_into_a_soak_and_ends_it() -> None:
    soaking = replace(offer(reached_at=NOW), state=AttemptState.SOAKING, soaking_at=NOW)
    before = endpoint("1.1.0", soaking)
    assert planned(before, catalogue(*STEPS)) == Change(endpoint=before)
    change = planned(before, catalogue(recalled("1.1.0", "1.0.0"), general("2.0.0", "1.1.0")))
    assert change.entries == (
        HistoryEntry(at=NOW, kind=HistoryKind.WITHDRAWN, version=v("1.1.0"), reason="its software was recalled"),
        HistoryEntry(at=NOW, kind=HistoryKind.OFFERED, version=v("2.0.0")),
    )
    assert (latest(change.endpoint).version, change.endpoint.sequence) == (v("2.0.0"), 2)


@pytest.mark.parametrize(
    ("rollout", "reason"),
    [
        (Rollout(phase=Phase.PAUSED), "its rollout is paused"),
        (Rollout(phase=Phase.ABORTED), "its rollout is aborted"),
    ],
)
def test_a_pause_and_an_abort_withdraw_what_was_not_started(rollout: Rollout, reason: str) -> None:
    stopped = catalogue(replace(general("1.1.0", "1.0.0"), rollout=rollout))
    assert latest(planned(endpoint(attempt=offer()), stopped).endpoint).reason == reason
    started = endpoint(attempt=INSTALLING)
    assert planned(started, stopped) == Change(endpoint=started)


def test_the_end_of_its_rollout_withdraws_what_was_not_started() -> None:
    ended = catalogue(replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(end=NOW)))
    assert latest(planned(endpoint(attempt=offer()), ended).endpoint).reason == "its rollout has ended"
    started = endpoint(attempt=INSTALLING)
    assert planned(started, ended) == Change(endpoint=started)


CLOSED = Window(cron="0 20 * * *", duration=4 * HOUR)


def test_a_window_that_has_closed_keeps_or_withdraws_what_was_offered() -> None:
    before = endpoint(attempt=offer())
    item = general("1.1.0", "1.0.0")
    keeping = catalogue(replace(item, policy=RolloutPolicy(window=CLOSED)))
    assert planned(before, keeping) == Change(endpoint=before)
    assert planned(endpoint(), keeping) == Change(endpoint=endpoint())
    clearing = catalogue(replace(item, policy=RolloutPolicy(window=replace(CLOSED, on_close=OnClose.WITHDRAW))))
    assert latest(planned(before, clearing).endpoint).reason == "waiting: window"


# Where there is no room, and where consent is wanting.


def refused(_endpoint: Endpoint, _version: Version) -> bool:
    return False


def without_room(before: Endpoint, *software: Software) -> Change:
    made = catalogue(*software)
    return replan(before, decide(standing(before, made, NOW), made, NOW), made, NOW, refused)


def test_an_offer_for_which_there_is_no_room_is_held() -> None:
    before = endpoint()
    assert without_room(before, *STEPS) == Change(endpoint=before, held=v("1.1.0"))


def test_an_offer_that_was_made_needs_no_room_and_another_instead_of_it_does() -> None:
    before = endpoint(attempt=offer())
    assert without_room(before, *STEPS) == Change(endpoint=before)
    change = without_room(before, *STEPS, general("3.0.0", "1.0.0"))
    assert (latest(change.endpoint).state, change.held) == (AttemptState.WITHDRAWN, v("3.0.0"))
    assert kinds(change) == ["withdrawn"]


def test_a_rescue_for_which_there_is_no_room_leaves_the_soak_alone() -> None:
    soaking = replace(offer(reached_at=NOW), state=AttemptState.SOAKING, soaking_at=NOW)
    before = endpoint("1.1.0", soaking)
    change = without_room(before, recalled("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))
    assert change == Change(endpoint=before, held=v("2.0.0"))


def test_room_is_asked_for_once_and_only_where_something_would_be_offered() -> None:
    asked: list[tuple[Version | None, Version]] = []

    def room(one: Endpoint, version: Version) -> bool:
        asked.append((one.running, version))
        return True

    for before in (endpoint(), endpoint(attempt=offer()), endpoint("2.0.0")):
        made = catalogue(*STEPS)
        replan(before, decide(standing(before, made, NOW), made, NOW), made, NOW, room)
    assert asked == [(v("1.0.0"), v("1.1.0"))]


def asking(*software: Software) -> Catalogue:
    return Catalogue.of(software, consent=True)


def test_an_endpoint_is_asked_for_consent_once_until_it_has_answered() -> None:
    made = asking(*STEPS)
    change = planned(endpoint(), made)
    assert (change.endpoint.asked, change.endpoint.consulted, change.endpoint.offer) == (v("1.1.0"), True, None)
    assert change.entries == (HistoryEntry(at=NOW, kind=HistoryKind.ASKED, version=v("1.1.0")),)
    assert planned(change.endpoint, made) == Change(endpoint=change.endpoint)
    granted = planned(after(change.endpoint, Consented(version=v("1.1.0"), at=NOW)), made)
    assert (granted.endpoint.asked, granted.endpoint.consulted) == (None, True)
    assert kinds(granted) == ["offered"]
    refused = planned(after(change.endpoint, Consented(version=v("1.1.0"), granted=False, at=NOW)), made)
    assert (refused.endpoint.asked, refused.endpoint.consulted, refused.entries) == (None, True, ())


def test_what_is_asked_follows_the_way_to_the_goal() -> None:
    asked = planned(endpoint(), asking(*STEPS)).endpoint
    change = planned(asked, asking(*STEPS, general("3.0.0", "1.0.0")))
    assert (change.endpoint.asked, kinds(change)) == (v("3.0.0"), ["asked"])
    free = planned(asked, catalogue(*STEPS))
    assert (free.endpoint.asked, kinds(free)) == (None, ["offered"])


def test_nobody_is_asked_while_an_install_goes_on() -> None:
    started = endpoint(attempt=INSTALLING)
    made = asking(*STEPS, general("3.0.0", "1.0.0"))
    assert planned(started, made) == Change(endpoint=started)
    asked = replace(started, asked=v("3.0.0"), consulted=True)
    assert planned(asked, made) == Change(endpoint=replace(started, consulted=True))


# What operators say.


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
