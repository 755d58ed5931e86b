"""The contract of `ports.Storage`, which every implementation passes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from orchestrator.application.classes import EndpointClass, Look, Page, Renewal
from orchestrator.application.counters import CounterKey
from orchestrator.application.memberships import Belonging, Subject
from orchestrator.application.pushes import OFFER, ParkedPush
from orchestrator.application.records import Draft, PushMode
from orchestrator.domain.attempts import Attempt, AttemptState, move
from orchestrator.domain.endpoints import Consent, Endpoint, HistoryEntry, HistoryKind, Setback, TokenState
from orchestrator.domain.filters import Filter
from orchestrator.domain.policies import RolloutPolicy, Stage, Window
from tests.contract.storages import (
    APP,
    IMPLEMENTATIONS,
    MINUTE,
    NOW,
    Implementation,
    Shelf,
    attempts,
    found,
    history,
    kept,
    newcomer,
    one,
    placed,
    seen,
    store,
    verdict_on,
)
from tests.unit.orchestrator.domain.builders import endpoint, general, targeted, use, v

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from orchestrator.application.classes import Work
    from orchestrator.application.directory import Entry
    from orchestrator.application.ports import Transaction
    from orchestrator.domain.versions import Version

OFFERED = AttemptState.OFFERED
WITHDRAWN = AttemptState.WITHDRAWN
LAB = Filter(filter_id="lab", expression="attributes.site == 'lab'")
RICH = Endpoint(
    running=v("1.0.0"),
    running_since=NOW - 3 * MINUTE,
    last_seen_at=NOW - MINUTE,
    registered_at=NOW,
    observe=False,
    token_state=TokenState.SUSPENDED,
    pinned=v("3.0.0"),
    sequence=7,
    attempt=Attempt(
        version=v("2.0.0"),
        number=2,
        sequence=7,
        origin=v("0.9.0"),
        state=AttemptState.INSTALLING,
        offered_at=NOW - 2 * MINUTE,
        reached_at=NOW - MINUTE,
        percent=40,
        progress="installing",
        returns=3,
        returned_at=NOW - MINUTE,
        reason=None,
        stage=1,
        soaking_at=NOW - MINUTE,
        soak_reports=2,
        healthy=False,
        lapsed=True,
    ),
    setbacks={
        v("2.0.0"): Setback(failures=1, retry_at=NOW + MINUTE, reason="no room"),
        v("2.1.0"): Setback(failures=3, exhausted=True),
    },
    consents={v("2.1.0"): Consent(granted=False, at=NOW - MINUTE, reason="not on Sundays")},
    asked=v("2.0.0"),
    consulted=True,
)


@pytest_asyncio.fixture(params=IMPLEMENTATIONS, ids=lambda implementation: implementation.name)
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    implementation: Implementation = request.param
    async with implementation.open(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def entry(shelf: Shelf) -> Entry:
    versions = [general("0.9.0"), general("1.0.0"), general("2.0.0", "1.0.0"), targeted("2.1.0", filters=[use("lab")])]
    return await shelf.define(APP, versions, [LAB])


async def changed(shelf: Shelf, entry: Entry, token: str, endpoint: Endpoint) -> Draft:
    """The draft of a stored endpoint that has become `endpoint`."""
    before = await one(shelf, entry, token)
    after = replace(endpoint, cohort=before.endpoint.cohort)
    return Draft(before=before, after=after, app_version=before.app_version)


def offered(version: str, sequence: int = 1) -> Attempt:
    return Attempt(version=v(version), number=1, sequence=sequence, origin=v("1.0.0"), offered_at=NOW)


def on(version: str | None, attempt: Attempt | None = None) -> Endpoint:
    """An endpoint on a version."""
    running = None if version is None else v(version)
    return Endpoint(running=running, registered_at=NOW, attempt=attempt, sequence=attempt.sequence if attempt else 0)


def event(kind: HistoryKind, version: str | None = None, reason: str | None = None) -> HistoryEntry:
    return HistoryEntry(at=NOW, kind=kind, version=None if version is None else v(version), reason=reason)


def parked(topic: str, key: int = 1, *, retry_at: datetime = NOW, tries: int = 1) -> ParkedPush:
    return ParkedPush(topic=topic, key=key, reason_code=0x87, parked_at=NOW, retry_at=retry_at, tries=tries)


# Endpoints in, endpoints out


async def test_a_new_endpoint_is_found_with_all_that_it_was_stored_with(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok", RICH), newcomer(entry, "b\u00f6se 'token'"))
    first, second = await found(shelf, entry, ["tok", "b\u00f6se 'token'"])
    assert seen(first.endpoint) == placed(RICH, "tok")
    assert (first.token, first.app_version, first.application) == ("tok", "kettle-v1", entry.application.key)
    assert (first.push_revision, first.last_history) == (0, 0)
    assert seen(second.endpoint) == placed(Endpoint(registered_at=NOW), "b\u00f6se 'token'")
    async with shelf.storage.transaction() as transaction:
        assert await transaction.find_keys([second.key, -1], None) == [second]


async def test_an_endpoint_that_changed_is_found_as_it_is_now(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok"), newcomer(entry, "other"))
    draft = await changed(shelf, entry, "tok", RICH)
    draft.app_version = "kettle-v2"
    await store(shelf, entry, draft)
    record = await one(shelf, entry, "tok")
    assert seen(record.endpoint) == placed(RICH, "tok")
    assert (record.key, record.app_version) == (draft.before.key, "kettle-v2")
    assert seen((await one(shelf, entry, "other")).endpoint) == placed(Endpoint(registered_at=NOW), "other")


async def test_unknown_tokens_are_absent_and_belong_to_one_application(shelf: Shelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    await store(shelf, entry, newcomer(entry, "tok", on("1.0.0")))
    assert await found(shelf, other, ["tok"]) == []
    await store(shelf, other, newcomer(other, "tok", on("2.0.0")))
    assert (await one(shelf, entry, "tok")).endpoint.running == v("1.0.0")
    assert (await one(shelf, other, "tok")).endpoint.running == v("2.0.0")
    assert await found(shelf, entry, ["nobody"]) == []


async def test_filters_are_those_that_match_the_attributes_when_somebody_asks(shelf: Shelf, entry: Entry) -> None:
    inside, outside = newcomer(entry, "inside"), newcomer(entry, "outside")
    inside.new_attributes = '{"site":"lab"}'
    await store(shelf, entry, inside, outside)
    records = await found(shelf, entry, ["inside", "outside"])
    assert [record.endpoint.filters for record in records] == [{"lab"}, frozenset()]
    async with shelf.storage.transaction() as transaction:
        (record,) = await transaction.find([(entry.application.key, "inside")], None)
        assert record.endpoint.filters == frozenset()


async def test_everything_that_a_filter_may_look_at_is_handed_out(shelf: Shelf, entry: Entry) -> None:
    draft = newcomer(entry, "inside", replace(RICH, running=v("1.0.0+b")))
    draft.new_attributes = '{"site":"lab"}'
    await store(shelf, entry, draft)
    asked: list[tuple[int, Subject]] = []

    def membership(application: int, subject: Subject) -> Belonging:
        asked.append((application, subject))
        return Belonging(frozenset({"lab"}), None)

    async with shelf.storage.transaction() as transaction:
        (record,) = await transaction.find([(entry.application.key, "inside")], membership)
        due = await transaction.find_keys([record.key], membership)
    expected = Subject(
        attributes='{"site":"lab"}',
        endpoint_id=record.endpoint_id,
        app_version="kettle-v1",
        running=v("1.0.0"),
        registered_at=NOW,
        last_seen_at=RICH.last_seen_at,
    )
    assert asked == [(entry.application.key, expected)] * 2
    assert [subject.running.text for _, subject in asked if subject.running is not None] == ["1.0.0+b"] * 2
    assert [found.subject for found in (record, *due)] == [expected] * 2


async def test_attributes_are_replaced_by_key(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "one"), newcomer(entry, "two"))
    first, second = [record.key for record in await found(shelf, entry, ["one", "two"])]
    async with shelf.storage.transaction() as transaction:
        await transaction.save_attributes({second: '{"site":"lab"}'})
        assert await transaction.attributes([first, second, -1]) == {first: "{}", second: '{"site":"lab"}'}
    assert [record.endpoint.filters for record in await found(shelf, entry, ["two"])] == [{"lab"}]


async def test_the_endpoint_id_of_a_new_endpoint_is_its_token_and_is_taken(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok"))
    key = entry.application.key
    async with shelf.storage.transaction() as transaction:
        assert await transaction.taken([(key, "tok"), (key, "free"), (key + 1, "tok")]) == {(key, "tok")}
        assert await transaction.taken([]) == set()


async def test_due_endpoints_come_the_longest_due_first_and_not_more_than_asked_for(shelf: Shelf, entry: Entry) -> None:
    drafts = [newcomer(entry, token) for token in ("late", "none", "early", "future", "now")]
    moments = [NOW - MINUTE, None, NOW - 5 * MINUTE, NOW + MINUTE, NOW]
    async with shelf.storage.transaction() as transaction:
        await transaction.store(drafts, moments, NOW)
    async with shelf.storage.transaction() as transaction:
        due = await transaction.find_due(NOW, 10, None)
        assert sorted(record.token for record in due) == ["early", "late", "now"]
        (first,) = await transaction.find_due(NOW, 1, None)
        assert first.token == "early"
        assert await transaction.find_due(NOW - 9 * MINUTE, 10, None) == []


async def test_a_timer_is_replaced_by_every_store(shelf: Shelf, entry: Entry) -> None:
    async with shelf.storage.transaction() as transaction:
        await transaction.store([newcomer(entry, "tok")], [NOW], NOW)
    async with shelf.storage.transaction() as transaction:
        draft = await changed_in(transaction, entry, "tok")
        await transaction.store([draft], [None], NOW)
        assert await transaction.find_due(NOW, 10, None) == []


async def changed_in(transaction: Transaction, entry: Entry, token: str) -> Draft:
    (record,) = await transaction.find([(entry.application.key, token)], None)
    return Draft(before=record, after=replace(record.endpoint, observe=False), app_version=record.app_version)


# What is stored with them


async def test_history_is_a_chain_that_each_batch_makes_longer(shelf: Shelf, entry: Entry) -> None:
    first, other = newcomer(entry, "tok"), newcomer(entry, "other")
    first.entries = [event(HistoryKind.REPORTED, "1.0.0"), event(HistoryKind.OFFERED, "2.0.0")]
    other.entries = [event(HistoryKind.RETRIED)]
    await store(shelf, entry, first, other)
    draft = await changed(shelf, entry, "tok", on("2.0.0"))
    draft.entries = [replace(event(HistoryKind.REPORTED, "2.0.0", "\u00e4rgerlich"), status_code=500)]
    await store(shelf, entry, draft)
    assert await history(shelf, await one(shelf, entry, "tok")) == [*draft.entries, *reversed(first.entries)]
    assert await history(shelf, await one(shelf, entry, "other")) == other.entries


async def test_superseded_attempts_are_kept_in_order(shelf: Shelf, entry: Entry) -> None:
    old = [replace(offered("2.0.0", number), state=WITHDRAWN, settled_at=NOW, reason="why not") for number in (1, 2)]
    draft = newcomer(entry, "tok", on("1.0.0", offered("2.0.0", 3)))
    draft.superseded = list(old)
    draft.entries = [event(HistoryKind.OFFERED, "2.0.0")]
    await store(shelf, entry, draft, newcomer(entry, "other"))
    assert await attempts(shelf, await one(shelf, entry, "tok")) == [kept(attempt) for attempt in old]
    assert await attempts(shelf, await one(shelf, entry, "other")) == []


async def test_setbacks_are_replaced(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok", RICH), newcomer(entry, "other", RICH))
    fewer = replace(RICH, setbacks={v("2.1.0"): Setback(failures=4, exhausted=True, reason="again")})
    await store(shelf, entry, await changed(shelf, entry, "tok", fewer))
    assert seen((await one(shelf, entry, "tok")).endpoint) == placed(fewer, "tok")
    await store(shelf, entry, await changed(shelf, entry, "tok", replace(RICH, setbacks={})))
    assert seen((await one(shelf, entry, "tok")).endpoint) == placed(replace(RICH, setbacks={}), "tok")
    assert seen((await one(shelf, entry, "other")).endpoint) == placed(RICH, "other")


async def test_counters_move_with_what_they_count(shelf: Shelf, entry: Entry) -> None:
    key = entry.application.key
    await store(shelf, entry, newcomer(entry, "tok", on("1.0.0", offered("2.0.0"))), newcomer(entry, "other"))
    assert await shelf.counters(key) == {
        CounterKey(key, "running", v("1.0.0")): 1,
        CounterKey(key, "running", None): 1,
        CounterKey(key, "attempts", v("2.0.0"), v("1.0.0"), "offered"): 1,
        CounterKey(key, "latest", v("2.0.0"), None, "offered"): 1,
        CounterKey(key, "slots", v("2.0.0"), v("1.0.0")): 1,
    }
    failed = move(offered("2.0.0"), AttemptState.FAILED, NOW, reason="no room")
    await store(shelf, entry, await changed(shelf, entry, "tok", on("1.0.0", failed)))
    assert await shelf.counters(key) == {
        CounterKey(key, "running", v("1.0.0")): 1,
        CounterKey(key, "running", None): 1,
        CounterKey(key, "attempts", v("2.0.0"), v("1.0.0"), "failed"): 1,
        CounterKey(key, "latest", v("2.0.0"), None, "failed"): 1,
        CounterKey(key, "failures", v("2.0.0"), None, "no room"): 1,
    }


async def test_versions_that_differ_in_build_metadata_count_as_one(shelf: Shelf, entry: Entry) -> None:
    for token, version in (("a", "1.0.0+a"), ("b", "1.0.0+b"), ("c", "1.0.0")):
        await store(shelf, entry, newcomer(entry, token, on(version)))
    assert await shelf.counters(entry.application.key) == {CounterKey(entry.application.key, "running", v("1.0.0")): 3}
    records = await found(shelf, entry, ["a", "b", "c"])
    assert [str(record.endpoint.running) for record in records] == ["1.0.0+a", "1.0.0+b", "1.0.0"]


async def test_a_software_is_offered_for_the_first_time_once(shelf: Shelf, entry: Entry) -> None:
    for at in (NOW, NOW + MINUTE):
        async with shelf.storage.transaction() as transaction:
            await transaction.mark_offered([(entry.application.key, v("2.0.0"))], at)
    assert await shelf.offered(entry) == {v("2.0.0"): NOW}


# Pushes


async def test_pushes_come_in_order_with_the_present_state_of_their_topic(shelf: Shelf, entry: Entry) -> None:
    first, second = newcomer(entry, "one", on("1.0.0", offered("2.0.0"))), newcomer(entry, "two")
    first.push = second.push = True
    second.cleared_topics = ["kp1/kettle-v1/cmx_ota/gone/config/json/status"]
    await store(shelf, entry, first, second)
    again = await changed(shelf, entry, "one", on("1.0.0", move(offered("2.0.0"), WITHDRAWN, NOW)))
    again.push = True
    await store(shelf, entry, again)
    one_key, two_key = [record.key for record in await found(shelf, entry, ["one", "two"])]
    pushes = await shelf.storage.pushes(0, 10)
    assert [push.revision for push in pushes] == sorted({push.revision for push in pushes})
    assert [(push.key, push.topic) for push in pushes] == [
        (one_key, None),
        (0, second.cleared_topics[0]),
        (two_key, None),
        (one_key, None),
    ]
    superseded, _, _, latest = pushes
    assert (superseded.latest, latest.latest) == (latest.revision, latest.revision)
    assert (superseded.version, superseded.state) == (v("2.0.0"), WITHDRAWN)
    assert (latest.token, latest.app_version, latest.application) == ("one", "kettle-v1", entry.application.key)
    assert await shelf.storage.pushes(pushes[1].revision, 1) == [pushes[2]]
    assert await shelf.storage.last_revision() == shelf.storage.revision == latest.revision
    assert (await one(shelf, entry, "one")).push_revision == latest.revision


async def test_what_was_stored_is_handed_on_as_its_pushes_will_be_read(shelf: Shelf, entry: Entry) -> None:
    first, second = newcomer(entry, "one", RICH), newcomer(entry, "two")
    first.push = second.push = True
    second.cleared_topics = ["kp1/kettle-v1/cmx_ota/gone/config/json/status"]
    handed = await store(shelf, entry, first, second, newcomer(entry, "three"))
    assert list(handed) == await shelf.storage.pushes(0, 10)
    assert len(handed) == 3
    since = shelf.storage.revision
    again, moved = (
        await changed(shelf, entry, "one", first.after),
        await changed(shelf, entry, "two", replace(second.after, consulted=True)),
    )
    again.repeat, moved.push, moved.app_version = True, True, "kettle-v2"
    handed = await store(shelf, entry, again, moved)
    assert list(handed) == await shelf.storage.pushes(since, 10)
    assert [push.topic for push in handed] == [OFFER, None]
    assert not await store(shelf, entry, await changed(shelf, entry, "three", on("1.0.0")))


async def test_every_transaction_that_has_committed_is_counted_and_no_other(shelf: Shelf, entry: Entry) -> None:
    before = shelf.storage.commits
    await store(shelf, entry, newcomer(entry, "one"))
    with pytest.raises(RuntimeError):
        async with shelf.storage.transaction():
            raise RuntimeError
    assert shelf.storage.commits == before + 1


async def test_pushes_tell_whether_the_endpoint_wants_them_and_is_allowed_to(shelf: Shelf, entry: Entry) -> None:
    draft = newcomer(entry, "tok", RICH)
    draft.push = True
    await store(shelf, entry, draft)
    (push,) = await shelf.storage.pushes(0, 10)
    assert (push.observe, push.token_state, push.state) == (False, TokenState.SUSPENDED, AttemptState.INSTALLING)


async def test_the_present_state_of_topics_is_read_by_key_and_in_order_of_endpoint(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, *(newcomer(entry, f"tok{number}") for number in range(4)))
    for token in ("tok3", "tok2", "tok1"):
        draft = await changed(shelf, entry, token, on("1.0.0"))
        draft.push = True
        await store(shelf, entry, draft)
    never, *keys = [record.key for record in await found(shelf, entry, [f"tok{number}" for number in range(4)])]
    sample = await shelf.storage.push_sample(0, 2)
    assert [push.key for push in sample] == keys[:2]
    assert [push.key for push in await shelf.storage.push_sample(sample[-1].key, 2)] == keys[2:]
    assert sample[0].revision == sample[0].latest > 0
    present = await shelf.storage.pushes_of([keys[0], never, -1])
    assert {push.key: push.revision for push in present} == {keys[0]: sample[0].revision, never: 0}


async def test_residents_are_the_endpoints_that_have_a_place_now(shelf: Shelf, entry: Entry) -> None:
    consulted = replace(endpoint("1.0.0"), consulted=True)
    await store(shelf, entry, newcomer(entry, "tok"), newcomer(entry, "asked", consulted))
    key = entry.application.key
    mine, other = (key, "kettle-v1", "tok"), (key, "kettle-v1", "asked")
    asked = [mine, (key, "kettle-v2", "tok"), (key, "kettle-v1", "gone"), (key + 1, "kettle-v1", "tok"), other]
    residents = await shelf.storage.residents(asked)
    assert {place: push.consulted for place, push in residents.items()} == {mine: False, other: True}
    present = {push.place: push for push in await shelf.storage.pushes_of([push.key for push in residents.values()])}
    assert residents == present


async def test_pushes_tell_what_an_endpoint_is_asked_and_whether_it_ever_was(shelf: Shelf, entry: Entry) -> None:
    asked = replace(endpoint("1.0.0"), asked=v("1.1.0"), consulted=True)
    for token, state in (("asked", asked), ("was", replace(asked, asked=None)), ("never", endpoint("1.0.0"))):
        draft = newcomer(entry, token, state)
        draft.push = True
        await store(shelf, entry, draft)
    expected = [(v("1.1.0"), True), (None, True), (None, False)]
    pushes = await shelf.storage.pushes(0, 10)
    assert [(push.asked, push.consulted) for push in pushes] == expected
    sample, present = (
        await shelf.storage.push_sample(0, 10),
        await shelf.storage.pushes_of([item.key for item in pushes]),
    )
    assert [(push.asked, push.consulted) for push in sample] == expected
    assert [(push.asked, push.consulted) for push in present] == expected


async def prune(shelf: Shelf, after: int, upto: int, limit: int) -> int | None:
    """Drop the superseded pushes among so many; return where the look ended."""
    found = await shelf.storage.superseded(after, upto, limit)
    assert list(found.revisions) == sorted(found.revisions)
    async with shelf.storage.transaction() as transaction:
        await transaction.drop_pushes(found.revisions)
    return found.end


async def test_an_offer_that_is_sent_again_supersedes_no_push_and_is_pruned(shelf: Shelf, entry: Entry) -> None:
    draft = newcomer(entry, "tok", on("1.0.0", offered("2.0.0")))
    draft.push = True
    await store(shelf, entry, draft)
    again = await changed(shelf, entry, "tok", draft.after)
    again.repeat = True
    await store(shelf, entry, again)
    first, second = await shelf.storage.pushes(0, 10)
    assert (first.superseded, second.superseded, second.topic, second.key) == (False, False, OFFER, first.key)
    assert second == replace(first, revision=second.revision, topic=OFFER)
    both = await changed(shelf, entry, "tok", draft.after)
    both.push = both.repeat = True
    await store(shelf, entry, both)
    assert [push.superseded for push in await shelf.storage.pushes(0, 10)] == [True, True, False]
    assert await prune(shelf, 0, 10, 10) is None
    assert [push.topic for push in await shelf.storage.pushes(0, 10)] == [None]


async def test_pruning_keeps_the_latest_push_of_each_topic_and_the_topics_that_were_left(
    shelf: Shelf, entry: Entry
) -> None:
    draft = newcomer(entry, "tok")
    draft.push = True
    draft.cleared_topics = ["left"]
    await store(shelf, entry, draft)
    for _ in range(3):
        again = await changed(shelf, entry, "tok", on("1.0.0"))
        again.push = True
        await store(shelf, entry, again)
    before = await shelf.storage.pushes(0, 10)
    assert await prune(shelf, 0, before[2].revision, 2) == before[1].revision
    assert len(await shelf.storage.pushes(0, 10)) == len(before) - 1
    assert await prune(shelf, before[1].revision, before[-1].revision, 100) is None
    assert await prune(shelf, before[-1].revision, before[-1].revision + 100, 100) is None
    assert await shelf.storage.pushes(0, 10) == [push for push in before if push.topic or push is before[-1]]
    assert await shelf.storage.last_revision() == before[-1].revision


async def test_parked_pushes_are_replaced_retried_when_due_and_dropped(shelf: Shelf) -> None:
    async with shelf.storage.transaction() as transaction:
        await transaction.park([parked("a", retry_at=NOW + MINUTE), parked("b", 2, retry_at=NOW - MINUTE), parked("c")])
    assert await shelf.storage.all_parked_topics() == {"a", "b", "c"}
    assert [push.topic for push in await shelf.storage.parked(NOW, 10)] == ["b", "c"]
    assert [push.topic for push in await shelf.storage.parked(NOW, 1)] == ["b"]
    async with shelf.storage.transaction() as transaction:
        again = replace(parked("b", 3, retry_at=NOW, tries=2), parked_at=NOW + MINUTE)
        await transaction.park([again])
        await transaction.unpark(["c", "unheard of"])
    # Since when it is refused is what operators want to know.
    assert await shelf.storage.parked(NOW, 10) == [replace(again, parked_at=NOW)]
    assert await shelf.storage.all_parked_topics() == {"a", "b"}


# What the engine keeps for itself


async def test_deliveries_are_remembered_by_packet_identifier_until_they_are_forgotten(shelf: Shelf) -> None:
    async with shelf.storage.transaction() as transaction:
        await transaction.remember([(1, 2**63 - 1), (65_535, 0)])
        await transaction.store([], [], NOW, [(1, 5)])
        await transaction.remember([])
    assert await shelf.storage.deliveries() == {1: 5, 65_535: 0}
    async with shelf.storage.transaction() as transaction:
        await transaction.forget_deliveries()
    assert await shelf.storage.deliveries() == {}


async def test_dead_letters_are_kept_as_they_came(shelf: Shelf) -> None:
    letters = [("kp1/a", b"\xff\x00", "ValueError: no", NOW), ("kp1/a", b"", "again", NOW + MINUTE)]
    for letter in letters:
        async with shelf.storage.transaction() as transaction:
            await transaction.bury(*letter)
    assert await shelf.dead_letters() == letters


async def test_watermark_dates_and_outages_are_kept(shelf: Shelf) -> None:
    storage = shelf.storage
    assert (await storage.watermark(), await storage.last_revision()) == (0, 0)
    assert (await storage.alive_at(), await storage.dates_at(), await storage.outages()) == (None, None, [])
    async with storage.transaction() as transaction:
        await transaction.raise_watermark(7, NOW)
        await transaction.note_dates(NOW + MINUTE)
        await transaction.add_outage(NOW, NOW + MINUTE)
        await transaction.add_outage(NOW - 5 * MINUTE, NOW - 4 * MINUTE)
        await transaction.add_outage(NOW, NOW + 2 * MINUTE)
    # The pushes up to the watermark may be pruned: revisions go on after it.
    assert (await storage.watermark(), await storage.last_revision()) == (7, 7)
    assert (await storage.alive_at(), await storage.dates_at()) == (NOW, NOW + MINUTE)
    assert await storage.outages() == [(NOW - 5 * MINUTE, NOW - 4 * MINUTE), (NOW, NOW + 2 * MINUTE)]


# Sweeps


async def only_work(shelf: Shelf) -> Work:
    (work,) = await shelf.storage.works()
    return work


async def test_work_items_are_kept_in_order_with_their_cursor_until_they_are_done(shelf: Shelf, entry: Entry) -> None:
    key = entry.application.key
    await store(shelf, entry, newcomer(entry, "tok", on("1.0.0")))
    await shelf.add_work(key, {v("1.0.0"), None})
    await shelf.add_work(key, None)
    first, second = await shelf.storage.works()
    assert (first.application, first.running, first.cursor) == (key, frozenset({v("1.0.0"), None}), 0)
    assert second.running is None
    async with shelf.storage.transaction() as transaction:
        await transaction.advance(first, 17)
        await transaction.advance(second, None)
    assert await shelf.storage.works() == [replace(first, cursor=17)]


async def test_renewals_come_before_other_work(shelf: Shelf, entry: Entry) -> None:
    key = entry.application.key
    await store(shelf, entry, newcomer(entry, "tok", on("1.0.0")))
    await shelf.add_work(key, {v("1.0.0")})
    await shelf.renew(key, Renewal.SHOWN, {v("1.0.0")})
    await shelf.add_work(key, None)
    await shelf.renew(key, Renewal.ASKS, {v("1.0.0")})
    works = await shelf.storage.works()
    assert [work.renews for work in works] == [Renewal.SHOWN, Renewal.ASKS, None, None]
    assert [work.running is None for work in works] == [False, False, False, True]


async def test_a_page_sums_up_plain_endpoints_and_hands_out_the_others(shelf: Shelf, entry: Entry) -> None:
    plain = [newcomer(entry, f"plain{number}", on("1.0.0", offered("2.0.0"))) for number in range(3)]
    plain[2].new_attributes = '{"site":"lab"}'
    particular = [
        newcomer(entry, "suspended", replace(on("1.0.0"), token_state=TokenState.SUSPENDED)),
        newcomer(entry, "deaf", replace(on("1.0.0"), observe=False)),
        newcomer(entry, "pinned", replace(on("1.0.0"), pinned=v("2.0.0"))),
        newcomer(entry, "backing-off", replace(on("1.0.0"), setbacks=RICH.setbacks)),
        newcomer(entry, "exhausted", replace(on("1.0.0"), setbacks={v("2.0.0"): RICH.setbacks[v("2.1.0")]})),
        newcomer(entry, "started", on("1.0.0", move(offered("2.0.0"), AttemptState.INSTALLING, NOW))),
        newcomer(entry, "reached", on("1.0.0", replace(offered("2.0.0"), reached_at=NOW))),
        newcomer(entry, "failed", on("1.0.0", move(offered("2.0.0"), AttemptState.FAILED, NOW))),
    ]
    await store(shelf, entry, *plain, *particular, newcomer(entry, "other", on("0.9.0")), newcomer(entry, "new"))
    await shelf.add_work(entry.application.key, {v("1.0.0"), None})
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(await only_work(shelf), 100, entry)
    like = EndpointClass(running=v("1.0.0"), attempt=v("2.0.0"), origin=v("1.0.0"), state=OFFERED, filters=frozenset())
    assert {replace(of, numbers=()): size for of, size in page.classes.items()} == {
        like: 2,
        replace(like, filters=frozenset({"lab"})): 1,
        EndpointClass(running=None, attempt=None, origin=None, state=OFFERED, filters=frozenset()): 1,
    }
    assert {record.token for record in page.particular} == {draft.before.token for draft in particular}


async def test_pages_go_on_after_the_cursor_and_end(shelf: Shelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    await store(shelf, entry, *(newcomer(entry, f"tok{number}", on("1.0.0")) for number in range(5)))
    await store(shelf, other, newcomer(other, "tok", on("1.0.0")))
    await shelf.add_work(entry.application.key, {v("1.0.0")})
    work = await only_work(shelf)
    sizes = []
    async with shelf.storage.transaction() as transaction:
        while (page := await transaction.page(work, 2, entry)).end is not None:
            sizes.append(sum(page.classes.values()))
            work = replace(work, cursor=page.end)
    assert sizes == [2, 2, 1]
    assert page == Page(end=None)


async def test_a_look_tells_without_the_writer_what_a_page_would(shelf: Shelf, entry: Entry) -> None:
    drafts = [newcomer(entry, f"plain{number}", on("1.0.0", offered("2.0.0"))) for number in range(3)]
    drafts[1].new_attributes = '{"site":"lab"}'
    drafts.append(newcomer(entry, "deaf", replace(on("1.0.0"), observe=False)))
    await store(shelf, entry, *drafts, newcomer(entry, "other", on("0.9.0")))
    await shelf.add_work(entry.application.key, {v("1.0.0")})
    work = await only_work(shelf)
    async with shelf.storage.transaction() as transaction:
        looks = []
        while (look := await shelf.storage.look(work, 2, entry)).end is not None:
            page = await transaction.page(work, 2, entry)
            assert look.end == page.end
            assert [(of, of.numbers) for of in look.classes] == [(of, of.numbers) for of in page.classes]
            assert list(look.particular) == [record.key for record in page.particular]
            looks.append((len(look.classes), len(look.particular)))
            work = replace(work, cursor=look.end)
    assert looks == [(2, 0), (1, 1), (0, 0)]
    assert look == Look(end=None)


async def test_a_work_item_for_all_hands_out_every_offer(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "with", on("1.0.0", offered("2.0.0"))), newcomer(entry, "without"))
    await shelf.add_work(entry.application.key, None)
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(await only_work(shelf), 100, entry)
    assert [record.token for record in page.particular] == ["with"]
    assert sum(page.classes.values()) == 1


@pytest.mark.parametrize(("renewal", "told"), [(Renewal.ASKS, ["asked"]), (Renewal.SHOWN, ["asked", "offered"])])
async def test_a_renewal_hands_out_who_is_told_what_it_is_about_and_nobody_else(
    shelf: Shelf, entry: Entry, renewal: Renewal, told: list[str]
) -> None:
    asked = replace(on("1.0.0"), asked=v("2.0.0"), consulted=True)
    open_one = offered("2.0.0")
    fleet = {
        "asked": asked,
        "once": replace(asked, asked=None),
        "never": on("1.0.0"),
        "other": replace(asked, running=None),
        "offered": on("1.0.0", open_one),
        "started": on("1.0.0", move(open_one, AttemptState.INSTALLING, NOW)),
        "withdrawn": on("1.0.0", move(open_one, WITHDRAWN, NOW)),
        "elsewhere": on(None, open_one),
    }
    await store(shelf, entry, *(newcomer(entry, token, state) for token, state in fleet.items()))
    await shelf.renew(entry.application.key, renewal, {v("1.0.0")})
    work = await only_work(shelf)
    assert (work.renews, work.running) == (renewal, frozenset({v("1.0.0")}))
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(work, 100, entry)
    assert ([record.token for record in page.particular], page.classes) == (told, {})


async def move_all(shelf: Shelf, entry: Entry, hop: Version | None, reason: str | None) -> None:
    """Give every class of the first page the same verdict."""
    await shelf.add_work(entry.application.key, {v("1.0.0")})
    work = await only_work(shelf)
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(work, 100, entry)
        verdicts = [verdict_on(of, hop, reason) for of in page.classes]
        await transaction.move_classes(work, page, verdicts, entry, NOW)
        await transaction.advance(work, None)


async def test_a_verdict_offers_to_every_endpoint_of_a_class_and_to_no_other(shelf: Shelf, entry: Entry) -> None:
    tokens = ["one", "two"]
    others = [newcomer(entry, "deaf", replace(on("1.0.0"), observe=False)), newcomer(entry, "old", on("0.9.0"))]
    await store(shelf, entry, *(newcomer(entry, token, on("1.0.0")) for token in tokens), *others)
    await move_all(shelf, entry, v("2.0.0"), None)
    records = await found(shelf, entry, tokens)
    for record in records:
        assert seen(record.endpoint) == placed(on("1.0.0", offered("2.0.0")), record.token)
        assert await history(shelf, record) == [event(HistoryKind.OFFERED, "2.0.0")]
        assert await attempts(shelf, record) == []
    assert [push.key for push in await shelf.storage.pushes(0, 10)] == [record.key for record in records]
    assert [push.revision for push in await shelf.storage.pushes(0, 10)] == [item.push_revision for item in records]
    deaf, old = await found(shelf, entry, ["deaf", "old"])
    assert (deaf.endpoint.attempt, old.endpoint.attempt) == (None, None)


async def test_a_verdict_withdraws(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok", on("1.0.0", offered("2.0.0", 4))))
    await move_all(shelf, entry, None, "its software was recalled")
    record = await one(shelf, entry, "tok")
    settled = move(offered("2.0.0", 4), WITHDRAWN, NOW, reason="its software was recalled")
    assert seen(record.endpoint) == placed(on("1.0.0", settled), "tok")
    assert await history(shelf, record) == [event(HistoryKind.WITHDRAWN, "2.0.0", "its software was recalled")]
    assert await attempts(shelf, record) == []
    assert len(await shelf.storage.pushes(0, 10)) == 1


async def test_a_verdict_replaces_an_offer_and_keeps_the_old_one_among_the_attempts(shelf: Shelf, entry: Entry) -> None:
    draft = newcomer(entry, "tok", on("1.0.0", offered("2.0.0")))
    draft.entries = [event(HistoryKind.OFFERED, "2.0.0")]
    await store(shelf, entry, draft)
    await move_all(shelf, entry, v("2.1.0"), "2.1.0 is offered instead")
    record = await one(shelf, entry, "tok")
    assert seen(record.endpoint) == placed(on("1.0.0", offered("2.1.0", 2)), "tok")
    assert await attempts(shelf, record) == [move(offered("2.0.0"), WITHDRAWN, NOW, reason="2.1.0 is offered instead")]
    assert await history(shelf, record) == [
        event(HistoryKind.OFFERED, "2.1.0"),
        event(HistoryKind.WITHDRAWN, "2.0.0", "2.1.0 is offered instead"),
        event(HistoryKind.OFFERED, "2.0.0"),
    ]


async def test_verdicts_are_counted(shelf: Shelf, entry: Entry) -> None:
    key = entry.application.key
    await store(shelf, entry, *(newcomer(entry, f"tok{n}", on("1.0.0", offered("2.0.0"))) for n in range(3)))
    await move_all(shelf, entry, v("2.1.0"), "instead")
    assert await shelf.counters(key) == {
        CounterKey(key, "running", v("1.0.0")): 3,
        CounterKey(key, "attempts", v("2.0.0"), v("1.0.0"), "withdrawn"): 3,
        CounterKey(key, "attempts", v("2.1.0"), v("1.0.0"), "offered"): 3,
        CounterKey(key, "latest", v("2.1.0"), None, "offered"): 3,
        CounterKey(key, "slots", v("2.1.0"), v("1.0.0")): 3,
    }


async def test_where_pushes_are_live_a_withdrawal_is_not_pushed_by_a_verdict(shelf: Shelf) -> None:
    live = replace(APP, name="lamp", app_versions=("lamp-v1",), push=PushMode.LIVE)
    entry = await shelf.define(live, [general("1.0.0"), general("2.0.0", "1.0.0"), general("2.1.0")])
    await store(shelf, entry, newcomer(entry, "tok", on("1.0.0", offered("2.0.0"))))
    await move_all(shelf, entry, None, "recalled")
    assert await shelf.storage.pushes(0, 10) == []
    assert (await one(shelf, entry, "tok")).push_revision == 0
    await move_all(shelf, entry, v("2.0.0"), None)
    assert len(await shelf.storage.pushes(0, 10)) == 1


async def test_classes_come_in_the_order_of_their_first_endpoints(shelf: Shelf, entry: Entry) -> None:
    versions = ["2.0.0", "1.0.0", None, "2.0.0", "0.9.0", "1.0.0"]
    await store(shelf, entry, *(newcomer(entry, f"tok{number}", on(name)) for number, name in enumerate(versions)))
    await shelf.add_work(entry.application.key, {*map(v, ("0.9.0", "1.0.0", "2.0.0")), None})
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(await only_work(shelf), 100, entry)
    found = [(None if of.running is None else of.running.text, size) for of, size in page.classes.items()]
    assert found == [("2.0.0", 2), ("1.0.0", 2), (None, 1), ("0.9.0", 1)]


def several_standings() -> list[Endpoint]:
    """Endpoints that differ in one thing each."""
    attempt = replace(offered("2.0.0"), state=AttemptState.CONFIRMED, settled_at=NOW)
    return [
        on("1.0.0"),
        on("1.0.0"),
        replace(on("1.0.0"), asked=v("2.0.0"), consulted=True),
        replace(on("1.0.0"), consulted=True),
        on("2.0.0", attempt),
        on("2.0.0", replace(attempt, stage=1)),
        on("2.0.0", replace(attempt, reached_at=NOW)),
        on("2.0.0", replace(attempt, healthy=True)),
        on("2.0.0", replace(attempt, healthy=False)),
        on("2.0.0", replace(attempt, lapsed=True)),
    ]


async def test_a_class_says_what_the_numbers_and_the_decision_look_at(shelf: Shelf) -> None:
    policy = RolloutPolicy(
        stages=(Stage(filter_id="lab"), Stage(percent=100)),
        window=Window(cron="0 1 * * *", duration=60 * MINUTE, time_zone=None),
    )
    entry = await shelf.define(APP, [replace(general("2.0.0", "1.0.0"), policy=policy)], [LAB])
    drafts = [newcomer(entry, f"tok{number}", state) for number, state in enumerate(several_standings())]
    for number, attributes in enumerate(('{"site":"lab"}', '{"timeZone":"Asia/Tokyo"}', '{"timeZone":7}')):
        drafts.append(newcomer(entry, f"more{number}", on("1.0.0")))
        drafts[-1].new_attributes = attributes
    await store(shelf, entry, *drafts)
    await shelf.add_work(entry.application.key, {v("1.0.0"), v("2.0.0")})
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(await only_work(shelf), 100, entry)
    # Why it is not well is counted, too: each of these is looked at alone.
    assert [record.endpoint.attempt.healthy for record in page.particular if record.endpoint.attempt] == [False]
    sizes: dict[EndpointClass, int] = {}
    for of, size in page.classes.items():
        sizes[replace(of, numbers=())] = sizes.get(replace(of, numbers=()), 0) + size
    held = EndpointClass(running=v("1.0.0"), attempt=None, origin=None, state=OFFERED, filters=frozenset(), held=1)
    done = replace(held, running=v("2.0.0"), attempt=v("2.0.0"), origin=v("1.0.0"), state=AttemptState.CONFIRMED)
    assert sizes == {
        # Whether it was ever asked matters to what is written, not to the class: see below.
        held: 4,
        replace(held, asked=v("2.0.0")): 1,
        replace(held, filters=frozenset({"lab"}), held=0): 1,
        replace(held, zone="Asia/Tokyo"): 1,
        done: 1,
        replace(done, stage=1): 1,
        replace(done, reached=True): 1,
        replace(done, healthy=True): 1,
        replace(done, lapsed=True): 1,
    }


async def move_first(
    shelf: Shelf, entry: Entry, hop: Version | None, *, most: int = 2**31, asks: Version | None = None
) -> None:
    """The same for the first page of a sweep whose verdicts have little room, or ask for consent."""
    await shelf.add_work(entry.application.key, {v("1.0.0")})
    work = await only_work(shelf)
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(work, 100, entry)
        due_at = None if hop is None else NOW + MINUTE
        verdicts = [verdict_on(of, hop, "instead", asks=asks, stage=3, most=most, due_at=due_at) for of in page.classes]
        await transaction.move_classes(work, page, verdicts, entry, NOW)
        await transaction.advance(work, None)


async def test_where_there_is_room_for_some_the_first_ones_get_the_offer(shelf: Shelf, entry: Entry) -> None:
    key, tokens = entry.application.key, [f"tok{number}" for number in range(4)]
    await store(shelf, entry, *(newcomer(entry, token, on("1.0.0", offered("2.0.0"))) for token in tokens))
    await move_first(shelf, entry, v("2.1.0"), most=2)
    records = await found(shelf, entry, tokens)
    made = replace(offered("2.1.0", 2), stage=3)
    lost = move(offered("2.0.0"), WITHDRAWN, NOW, reason="instead")
    assert [record.endpoint.attempt for record in records] == [made, made, lost, lost]
    assert [record.due_at for record in records] == [NOW + MINUTE, NOW + MINUTE, None, None]
    for record in records:
        assert (await history(shelf, record))[-1] == event(HistoryKind.WITHDRAWN, "2.0.0", "instead")
    assert [await attempts(shelf, record) for record in records] == [[lost], [lost], [], []]
    assert len(await shelf.storage.pushes(0, 10)) == 4
    assert await shelf.counters(key) == {
        CounterKey(key, "running", v("1.0.0")): 4,
        CounterKey(key, "attempts", v("2.0.0"), v("1.0.0"), "withdrawn"): 4,
        CounterKey(key, "attempts", v("2.1.0"), v("1.0.0"), "offered"): 2,
        CounterKey(key, "latest", v("2.0.0"), None, "withdrawn"): 2,
        CounterKey(key, "latest", v("2.1.0"), None, "offered"): 2,
        CounterKey(key, "slots", v("2.1.0"), v("1.0.0")): 2,
        CounterKey(key, "stages", v("2.1.0"), None, "3 offered unreached"): 2,
    }


async def test_a_verdict_without_room_changes_nothing_where_nothing_was_offered(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "one", on("1.0.0")), newcomer(entry, "two", on("1.0.0")))
    before = await found(shelf, entry, ["one", "two"])
    await move_first(shelf, entry, v("2.1.0"), most=1)
    first, second = await found(shelf, entry, ["one", "two"])
    assert first.endpoint.attempt == replace(offered("2.1.0"), stage=3)
    assert second == before[1]
    assert [push.key for push in await shelf.storage.pushes(0, 10)] == [first.key]


@pytest.mark.parametrize("push", PushMode)
async def test_a_verdict_asks_for_consent_and_asks_no_more(shelf: Shelf, push: PushMode) -> None:
    lamp = replace(APP, name="lamp", app_versions=("lamp-v1",), push=push)
    entry = await shelf.define(lamp, [general("1.0.0"), general("2.0.0", "1.0.0")])
    await store(shelf, entry, newcomer(entry, "tok", on("1.0.0")))
    await move_first(shelf, entry, None, asks=v("2.0.0"))
    asked = await one(shelf, entry, "tok")
    assert (asked.endpoint.asked, asked.endpoint.consulted, asked.endpoint.attempt) == (v("2.0.0"), True, None)
    assert await history(shelf, asked) == [event(HistoryKind.ASKED, "2.0.0")]
    assert len(await shelf.storage.pushes(0, 10)) == 1
    await move_first(shelf, entry, v("2.0.0"))
    offer = await one(shelf, entry, "tok")
    assert (offer.endpoint.asked, offer.endpoint.consulted, offer.endpoint.sequence) == (None, True, 1)


async def test_who_was_asked_once_is_told_apart_from_who_never_was(shelf: Shelf, entry: Entry) -> None:
    drafts = [newcomer(entry, "never", on("1.0.0")), newcomer(entry, "once", replace(on("1.0.0"), consulted=True))]
    await store(shelf, entry, *drafts)
    await move_first(shelf, entry, v("2.0.0"))
    never, once = await found(shelf, entry, ["never", "once"])
    assert (never.endpoint.sequence, never.endpoint.consulted) == (1, False)
    assert (once.endpoint.sequence, once.endpoint.consulted) == (1, True)


# Room, and queues for want of it


async def test_numbers_are_those_of_some_names_and_applications(shelf: Shelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    for each in (entry, other):
        await store(shelf, each, newcomer(each, "tok", on("1.0.0", offered("2.0.0"))))
    failed = on("1.0.0", move(offered("2.0.0"), AttemptState.FAILED, NOW))
    await store(shelf, entry, await changed(shelf, entry, "tok", failed))
    key = entry.application.key
    async with shelf.storage.transaction() as transaction:
        assert await transaction.numbers([key], ("attempts", "slots")) == {
            CounterKey(key, "attempts", v("2.0.0"), v("1.0.0"), "failed"): 1
        }
        assert await transaction.numbers([], ("attempts", "slots")) == {}
        numbers = await transaction.numbers([key, other.application.key], ("slots", "running"))
    assert numbers == {
        CounterKey(key, "running", v("1.0.0")): 1,
        CounterKey(other.application.key, "running", v("1.0.0")): 1,
        CounterKey(other.application.key, "slots", v("2.0.0"), v("1.0.0")): 1,
    }


async def test_there_is_one_queue_for_each_version_from_the_first_that_waits_on(shelf: Shelf, entry: Entry) -> None:
    key = entry.application.key
    await shelf.add_work(key, None)
    async with shelf.storage.transaction() as transaction:
        for version, after in (("2.0.0", 5), ("2.1.0", 0), ("2.0.0", 9)):
            await transaction.queue(key, v(version), after, NOW)
    first, second = await shelf.storage.queues()
    assert (first.application, first.version, first.cursor) == (key, v("2.0.0"), 5)
    assert (second.version, second.cursor) == (v("2.1.0"), 0)
    work = await only_work(shelf)
    assert (work.version, work.running) == (None, None)
    async with shelf.storage.transaction() as transaction:
        await transaction.advance(first, 7)
        await transaction.advance(second, None)
    assert await shelf.storage.queues() == [replace(first, cursor=7)]


@pytest.mark.parametrize(("joins_after", "again"), [(3, True), (7, False), (9, False)])
async def test_a_queue_begins_again_where_somebody_has_joined_behind_it(
    shelf: Shelf, entry: Entry, joins_after: int, *, again: bool
) -> None:
    key = entry.application.key
    async with shelf.storage.transaction() as transaction:
        await transaction.queue(key, v("2.0.0"), 5, NOW)
    (queue,) = await shelf.storage.queues()
    async with shelf.storage.transaction() as transaction:
        await transaction.advance(queue, 7)
        await transaction.queue(key, v("2.0.0"), joins_after, NOW)
        # A later one does not take that back.
        await transaction.queue(key, v("2.0.0"), 9, NOW)
        assert await transaction.requeue(queue) is again
        assert await transaction.requeue(queue) is False
    assert await shelf.storage.queues() == [replace(queue, cursor=0 if again else 7)]


async def test_endpoints_that_are_held_are_queued_by_what_they_would_be_offered(shelf: Shelf, entry: Entry) -> None:
    tokens = ["one", "two", "three"]
    await store(shelf, entry, *(newcomer(entry, token, on("1.0.0")) for token in tokens))
    drafts = [await changed(shelf, entry, token, on("1.0.0")) for token in tokens]
    drafts[1].held = drafts[2].held = v("2.0.0")
    drafts[0].held = v("2.1.0")
    await store(shelf, entry, *reversed(drafts))
    queues = {queue.version: queue.cursor for queue in await shelf.storage.queues()}
    assert queues == {v("2.0.0"): drafts[1].before.key - 1, v("2.1.0"): drafts[0].before.key - 1}


async def test_a_queue_comes_to_an_endpoint_that_is_held_when_it_is_created(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "old", on("1.0.0")))
    draft = newcomer(entry, "new", on("1.0.0"))
    draft.held = v("2.0.0")
    await store(shelf, entry, draft)
    (queue,) = await shelf.storage.queues()
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(replace(queue, running=frozenset({v("1.0.0")})), 100, entry)
    assert sum(page.classes.values()) == 2


# Transactions


async def test_a_transaction_that_fails_leaves_nothing(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "old"))
    before = await one(shelf, entry, "old")
    draft = newcomer(entry, "tok", on("7.7.7"))
    draft.push = True
    draft.entries = [event(HistoryKind.REPORTED, "7.7.7")]

    async def fail() -> None:
        async with shelf.storage.transaction() as transaction:
            await transaction.store([draft], [NOW], NOW)
            await transaction.remember([(1, 1)])
            await transaction.park([parked("a")])
            await transaction.bury("kp1/a", b"", "no", NOW)
            await transaction.save_attributes({before.key: '{"site":"lab"}'})
            await transaction.raise_watermark(9, NOW)
            await transaction.note_dates(NOW)
            await transaction.add_outage(NOW, NOW)
            await transaction.queue(entry.application.key, v("2.0.0"), 0, NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await found(shelf, entry, ["old", "tok"]) == [before]
    assert await shelf.storage.queues() == []
    assert await shelf.storage.pushes(0, 10) == []
    assert (await shelf.storage.deliveries(), await shelf.storage.all_parked_topics()) == ({}, set())
    assert (await shelf.dead_letters(), await shelf.storage.outages()) == ([], [])
    assert (await shelf.storage.watermark(), await shelf.storage.dates_at()) == (0, None)
    assert await shelf.counters(entry.application.key) == {CounterKey(entry.application.key, "running", None): 1}


async def test_a_version_that_only_a_failed_transaction_knew_can_be_stored_later(shelf: Shelf, entry: Entry) -> None:
    draft = newcomer(entry, "tok", on("7.7.7"))

    async def fail() -> None:
        async with shelf.storage.transaction() as transaction:
            await transaction.store([draft], [None], NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await store(shelf, entry, newcomer(entry, "other", on("8.8.8")), draft)
    records = await found(shelf, entry, ["tok", "other"])
    assert {record.token: record.endpoint.running for record in records} == {"tok": v("7.7.7"), "other": v("8.8.8")}


async def test_there_is_one_writer_and_readers_see_what_is_committed(shelf: Shelf, entry: Entry) -> None:
    order = []
    inside, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with shelf.storage.transaction() as transaction:
            await transaction.remember([(1, 1)])
            inside.set()
            await leave.wait()
            order.append("first")

    async def second() -> None:
        async with shelf.storage.transaction() as transaction:
            order.append("second")
            await transaction.remember([(1, 2)])

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        await inside.wait()
        group.create_task(second())
        assert await shelf.storage.deliveries() == {}
        leave.set()
    assert order == ["first", "second"]
    assert await shelf.storage.deliveries() == {1: 2}
