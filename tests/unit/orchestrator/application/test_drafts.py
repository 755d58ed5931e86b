from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import drafts
from orchestrator.application.records import Draft, EndpointRecord, PushMode
from orchestrator.domain.attempts import AttemptState, move
from orchestrator.domain.endpoints import HistoryKind, TokenState
from orchestrator.domain.facts import Consented, HealthReported, Heard, ObserveAsked, Progressed, Reported
from protocol.topics import Instances
from tests.contract.storages import APP, MINUTE, NOW, entry_of
from tests.unit.orchestrator.domain.builders import endpoint, general, offer, suspended, v

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.facts import Fact

KETTLE = replace(APP, key=1)
TOPIC = "kp1/kettle-v1/cmx_ota/tok/config/json/status"
AT = NOW + MINUTE
OFFERED = endpoint("1.0.0", offer("1.1.0"))
CHAIN = [general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0")]


def entry(push: PushMode = PushMode.RETAINED) -> Entry:
    return entry_of(replace(KETTLE, push=push), CHAIN)


def begin(state: Endpoint, push_revision: int = 0) -> Draft:
    return drafts.begin(
        EndpointRecord(
            key=7,
            application=1,
            endpoint_id="kettle-7",
            app_version="kettle-v1",
            token="tok",
            endpoint=state,
            push_revision=push_revision,
        )
    )


def hear(draft: Draft, fact: Fact, of: Entry | None = None, *, watermark: int = 0) -> Draft:
    drafts.hear(draft, of or entry(), fact, watermark=watermark, at=fact.at)
    return draft


def kinds(draft: Draft) -> list[HistoryKind]:
    return [item.kind for item in draft.entries]


def test_a_draft_to_which_nothing_happened_needs_no_write() -> None:
    draft = begin(OFFERED)
    assert not drafts.changed(draft)
    assert drafts.offered(draft) == set()
    assert (draft.entries, draft.superseded, draft.push) == ([], [], False)


def test_a_report_moves_the_endpoint_to_its_next_offer() -> None:
    draft = hear(begin(OFFERED), Reported(version=v("1.1.0"), at=AT))
    assert draft.after.running == v("1.1.0")
    assert draft.after.offer is not None
    assert (draft.after.offer.version, draft.after.offer.sequence) == (v("2.0.0"), 2)
    assert kinds(draft) == [HistoryKind.REPORTED, HistoryKind.CONFIRMED, HistoryKind.OFFERED]
    assert [(attempt.version, attempt.state) for attempt in draft.superseded] == [(v("1.1.0"), AttemptState.CONFIRMED)]
    assert draft.push
    assert drafts.changed(draft)
    assert drafts.offered(draft) == {v("2.0.0")}


def test_what_happens_one_after_the_other_adds_up() -> None:
    draft = begin(endpoint("1.0.0"))
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        hear(draft, Reported(version=v(version), at=AT))
    assert draft.after.running == v("2.0.0")
    assert draft.after.sequence == 2
    assert [attempt.version for attempt in draft.superseded] == [v("1.1.0")]
    assert draft.after.attempt is not None
    assert draft.after.attempt.state is AttemptState.CONFIRMED
    assert drafts.offered(draft) == {v("1.1.0"), v("2.0.0")}


def test_an_offer_that_another_one_replaces_is_kept_as_withdrawn() -> None:
    draft = begin(endpoint("1.1.0", offer("1.1.5", "1.1.0")))
    drafts.settle(draft, entry(), AT)
    (attempt,) = draft.superseded
    assert (attempt.version, attempt.state, attempt.settled_at) == (v("1.1.5"), AttemptState.WITHDRAWN, AT)
    assert kinds(draft) == [HistoryKind.WITHDRAWN, HistoryKind.OFFERED]


def test_settling_what_agrees_changes_nothing() -> None:
    draft = begin(OFFERED)
    drafts.settle(draft, entry(), AT)
    assert draft.after is OFFERED
    assert not drafts.changed(draft)


def test_a_stop_withdraws_and_pushes() -> None:
    draft = begin(OFFERED)
    drafts.settle(draft, entry_of(KETTLE, [general("1.0.0"), suspended("1.1.0", "1.0.0")]), AT)
    assert kinds(draft) == [HistoryKind.WITHDRAWN]
    assert draft.push
    assert draft.superseded == []


@pytest.mark.parametrize(("revision", "watermark", "reached"), [(5, 5, True), (5, 4, False), (0, 0, True)])
def test_an_attempt_is_reached_by_what_follows_its_acknowledged_push(
    revision: int, watermark: int, *, reached: bool
) -> None:
    draft = hear(begin(OFFERED, revision), Heard(at=AT), watermark=watermark)
    assert draft.after.attempt is not None
    assert (draft.after.attempt.reached_at == AT) == reached


def test_an_offer_made_in_this_batch_is_not_reached_by_the_batch() -> None:
    draft = hear(begin(endpoint("1.0.0")), Heard(at=AT), watermark=99)
    hear(draft, Heard(at=AT), watermark=99)
    assert draft.after.attempt is not None
    assert draft.after.attempt.reached_at is None


def test_only_what_the_topic_shall_hold_is_pushed() -> None:
    assert not hear(begin(OFFERED), Heard(at=AT)).push
    assert not hear(begin(OFFERED), Progressed(version=v("1.1.0"), state="downloading", at=AT)).push
    assert not hear(begin(replace(OFFERED, observe=False)), Reported(version=v("1.1.0"), at=AT)).push


def test_observe_restores_the_push_and_its_end_clears_it() -> None:
    declined = hear(begin(OFFERED), ObserveAsked(observe=False, at=AT))
    assert declined.push
    assert hear(begin(declined.after), ObserveAsked(observe=True, at=AT)).push
    # Also when it was wanted before: the endpoint asks because it has nothing.
    assert hear(begin(OFFERED), ObserveAsked(observe=True, at=AT)).push
    assert not hear(begin(endpoint("2.0.0")), ObserveAsked(observe=True, at=AT)).push


def publishes(draft: Draft) -> bool:
    return draft.push or draft.repeat or bool(draft.cleared_topics)


@pytest.mark.parametrize(
    ("fact", "pushed"),
    [
        (Heard(at=AT), True),
        (HealthReported(healthy=True, at=AT), True),
        (ObserveAsked(observe=True, at=AT), True),
        (Reported(version=v("1.0.0"), at=AT), True),
        (Progressed(version=v("1.1.0"), state="installing", at=AT), False),
    ],
)
def test_where_pushes_are_live_an_unstarted_offer_follows_every_word(fact: Fact, *, pushed: bool) -> None:
    live = entry(PushMode.LIVE)
    assert publishes(hear(begin(OFFERED), fact, live)) == pushed
    assert not publishes(hear(begin(replace(OFFERED, observe=False)), Heard(at=AT), live))
    started = endpoint("1.0.0", move(offer("1.1.0"), AttemptState.INSTALLING, NOW))
    if not isinstance(fact, ObserveAsked):
        assert not publishes(hear(begin(started), fact, live))


def test_a_live_offer_is_repeated_alone_unless_the_last_push_is_still_on_its_way() -> None:
    live = entry(PushMode.LIVE)
    draft = hear(begin(OFFERED), Heard(at=AT), live)
    assert (draft.push, draft.repeat) == (False, True)
    assert drafts.changed(draft)
    assert hear(begin(OFFERED, push_revision=7), Heard(at=AT), live, watermark=6).push
    assert not hear(begin(OFFERED, push_revision=7), Heard(at=AT), live, watermark=7).push


def test_nothing_is_cleared_where_nothing_is_retained() -> None:
    live = entry(PushMode.LIVE)
    draft = hear(begin(endpoint("1.1.0", offer("2.0.0", "1.1.0"))), Reported(version=v("2.0.0"), at=AT), live)
    assert draft.push
    assert not drafts.pushes_needed(draft, live)
    assert drafts.pushes_needed(draft, entry())


def test_a_move_to_another_application_version_clears_the_old_topic() -> None:
    draft = begin(OFFERED)
    drafts.relocate(draft, "kettle-v1", Instances())
    assert not drafts.changed(draft)
    drafts.relocate(draft, "kettle-v2", Instances())
    assert (draft.cleared_topics, draft.app_version, draft.push) == ([TOPIC], "kettle-v2", True)
    assert drafts.changed(draft)
    idle = begin(endpoint("2.0.0"))
    drafts.relocate(idle, "kettle-v2", Instances())
    assert (idle.cleared_topics, idle.push, drafts.changed(idle)) == ([TOPIC], False, True)


def test_another_way_of_pushing_writes_the_topic_anew() -> None:
    retained, live, idle = begin(OFFERED), begin(OFFERED), begin(endpoint("2.0.0"))
    drafts.push_anew(retained, entry(), Instances())
    drafts.push_anew(live, entry(PushMode.LIVE), Instances())
    drafts.push_anew(idle, entry(PushMode.LIVE), Instances())
    assert (retained.push, retained.cleared_topics) == (True, [])
    assert (live.push, live.cleared_topics) == (True, [TOPIC])
    assert not drafts.changed(idle)


def careful(push: PushMode = PushMode.RETAINED) -> Entry:
    return entry_of(replace(KETTLE, push=push, consent="required"), CHAIN)


def test_an_ask_is_pushed_once_and_its_end_clears_it() -> None:
    draft = hear(begin(endpoint("1.0.0")), Heard(at=AT), careful())
    assert (draft.after.asked, draft.after.consulted, draft.push) == (v("1.1.0"), True, True)
    assert not hear(begin(draft.after), Heard(at=AT), careful()).push
    refused = hear(begin(draft.after), Consented(version=v("1.1.0"), granted=False, at=AT), careful())
    assert (refused.after.asked, refused.push) == (None, True)


def test_an_ask_is_not_pushed_to_who_declined_pushes() -> None:
    draft = hear(begin(replace(endpoint("1.0.0"), observe=False)), Heard(at=AT), careful())
    assert (draft.after.asked, draft.push) == (v("1.1.0"), False)
    wanted = hear(begin(draft.after), ObserveAsked(observe=True, at=AT), careful())
    assert wanted.push
    assert hear(begin(wanted.after), ObserveAsked(observe=True, at=AT), careful()).push
    assert hear(begin(wanted.after), ObserveAsked(observe=False, at=AT), careful()).push


def test_asks_are_stored_and_cleared_where_offers_are_live_as_well() -> None:
    live = careful(PushMode.LIVE)
    asked = hear(begin(endpoint("1.0.0")), Heard(at=AT), live)
    assert drafts.pushes_needed(asked, live)
    refused = hear(begin(asked.after), Consented(version=v("1.1.0"), granted=False, at=AT), live)
    assert drafts.pushes_needed(refused, live)
    assert not drafts.pushes_needed(begin(refused.after), live)


def test_who_was_ever_asked_leaves_two_topics() -> None:
    was_asked = replace(endpoint("2.0.0"), consulted=True)
    moved, renamed = begin(was_asked), begin(was_asked)
    drafts.relocate(moved, "kettle-v2", Instances())
    drafts.rename(moved, "new", Instances())
    drafts.rename(renamed, "new", Instances())
    assert moved.cleared_topics == renamed.cleared_topics == [TOPIC, TOPIC.replace("config", "consent")]


def test_an_ask_stays_as_it_is_where_offers_become_live() -> None:
    for push in PushMode:
        draft = begin(replace(endpoint("1.0.0"), asked=v("1.1.0"), consulted=True))
        drafts.push_anew(draft, careful(push), Instances())
        assert not drafts.changed(draft)


@pytest.mark.parametrize(
    ("asked", "observe", "anew"), [("1.1.0", True, True), ("1.1.0", False, False), (None, True, False)]
)
def test_who_is_asked_is_asked_anew(asked: str | None, *, observe: bool, anew: bool) -> None:
    draft = begin(replace(endpoint("1.0.0"), asked=v(asked) if asked else None, consulted=True, observe=observe))
    drafts.ask_anew(draft)
    assert draft.push == anew


def test_what_a_draft_leaves_behind() -> None:
    draft = hear(begin(OFFERED), Heard(at=AT))
    draft.app_version = "kettle-v2"
    assert drafts.stored(draft, key=7, push_revision=8, last_history=9) == EndpointRecord(
        key=7,
        application=1,
        endpoint_id="kettle-7",
        app_version="kettle-v2",
        token="tok",
        endpoint=draft.after,
        push_revision=8,
        last_history=9,
    )


def test_a_retired_endpoint_loses_its_offer_and_its_next_word_brings_it_back() -> None:
    draft = begin(OFFERED)
    drafts.retire(draft, entry(), AT)
    assert (draft.after.token_state, draft.after.offer, draft.push) == (TokenState.RETIRED, None, True)
    assert kinds(draft) == [HistoryKind.RETIRED, HistoryKind.WITHDRAWN]
    again = begin(draft.after)
    drafts.awaken(again)
    hear(again, Heard(at=AT))
    assert again.after.token_state is TokenState.ACTIVE
    assert again.after.offer is not None


@pytest.mark.parametrize("state", [TokenState.SUSPENDED, TokenState.REVOKED])
def test_what_an_operator_has_ended_is_not_awakened(state: TokenState) -> None:
    draft = begin(replace(OFFERED, token_state=state))
    drafts.awaken(draft)
    assert not drafts.changed(draft)
