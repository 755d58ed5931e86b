from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.counters import CounterKey
from orchestrator.application.pushes import ParkedPush
from orchestrator.application.records import AppVersionTakenError, EndpointDocument, NewEndpoint
from orchestrator.domain.attempts import AttemptState, move
from orchestrator.domain.endpoints import Endpoint, HistoryEntry, HistoryKind, Setback, TokenState
from tests.contract.storages import APP, MINUTE, NOW, newcomer, one, open_sqlite, placed, software_record, store
from tests.unit.orchestrator.domain.builders import general, offer, v

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf

OTHER = replace(APP, name="toaster", app_versions=("toaster-v1",))


def new(entry: Entry, endpoint_id: str) -> NewEndpoint:
    return NewEndpoint(
        application=entry.application.key,
        endpoint_id=endpoint_id,
        token=f"tok-{endpoint_id}",
        app_version="kettle-v2",
        attributes='{"site":"lab"}',
        registered_at=NOW,
        token_state=TokenState.SUSPENDED,
        pinned=v("5.0.0"),
    )


async def document_of(shelf: SqlShelf, entry: Entry, endpoint_id: str) -> EndpointDocument:
    document = await shelf.storage.document(entry, endpoint_id)
    assert document is not None
    return document


async def delete(shelf: SqlShelf, entry: Entry, endpoint_id: str) -> None:
    document = await document_of(shelf, entry, endpoint_id)
    async with shelf.storage.edit() as edit:
        await edit.delete_endpoint(document, NOW)


async def test_an_application_version_belongs_to_one_application(shelf: SqlShelf, entry: Entry) -> None:
    with pytest.raises(AppVersionTakenError, match="kettle-v2"):
        await shelf.define(replace(OTHER, app_versions=("kettle-v2",)))
    # Given up by one, it is free for another.
    await shelf.define(replace(entry.application, app_versions=("kettle-v1",)))
    other = await shelf.define(replace(OTHER, app_versions=("kettle-v2",)))
    assert other.application.app_versions == ("kettle-v2",)


async def test_a_software_is_replaced_and_deleted(shelf: SqlShelf, entry: Entry) -> None:
    key = entry.application.key
    record = replace(software_record(general("1.1.0", "0.9.0")), revision=2)
    async with shelf.storage.edit() as edit:
        await edit.put_software(key, record)
        assert (await edit.entry(key)).software[v("1.1.0")] == record
        await edit.delete_software(key, v("1.1.0"))
        assert v("1.1.0") not in (await edit.entry(key)).software
    # Rows may go on naming it.
    await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("1.1.0"), registered_at=NOW)))
    assert (await one(shelf, entry, "tok")).endpoint.running == v("1.1.0")


async def test_a_new_endpoint_is_as_it_was_given_and_counted(shelf: SqlShelf, entry: Entry) -> None:
    async with shelf.storage.edit() as edit:
        created = await edit.add_endpoint(entry, new(entry, "kettle-7"))
    assert created == await document_of(shelf, entry, "kettle-7")
    given = Endpoint(registered_at=NOW, token_state=TokenState.SUSPENDED, pinned=v("5.0.0"), filters=frozenset({"lab"}))
    assert created.record.endpoint == placed(given, "kettle-7")
    assert (created.record.token, created.record.app_version, created.revision) == ("tok-kettle-7", "kettle-v2", 1)
    key = entry.application.key
    assert await shelf.counters(key) == {CounterKey(key, "running"): 1}


async def test_an_endpoint_is_edited(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "one"), newcomer(entry, "two"))
    document = await document_of(shelf, entry, "one")
    async with shelf.storage.edit() as edit:
        await edit.save_document(replace(document, attributes='{"a":1}', revision=2), "renamed")
        assert await edit.token_owner(entry.application.key, "renamed") == "one"
        assert await edit.token_owner(entry.application.key, "one") is None
    after = await document_of(shelf, entry, "one")
    assert (after.attributes, after.revision, after.record.token) == ('{"a":1}', 2, "renamed")
    assert (await document_of(shelf, entry, "two")).attributes == "{}"


async def test_endpoints_and_application_versions_in_use_are_counted_by_application(
    shelf: SqlShelf, entry: Entry
) -> None:
    other = await shelf.define(OTHER)
    await store(shelf, entry, newcomer(entry, "one"), newcomer(entry, "two"))
    async with shelf.storage.edit() as edit:
        counts = [await edit.endpoint_count(item.application.key) for item in (entry, other)]
        used = [await edit.app_version_used(entry.application.key, name) for name in entry.application.app_versions]
        assert not await edit.app_version_used(other.application.key, "toaster-v1")
        assert not await edit.app_version_used(entry.application.key, "unheard-of")
    assert (counts, used) == ([2, 0], [True, False])


async def test_the_longest_token_of_an_application_is_measured_in_bytes(shelf: SqlShelf, entry: Entry) -> None:
    other = await shelf.define(OTHER)
    await store(shelf, entry, newcomer(entry, "seven-7"), newcomer(entry, "größe"), newcomer(entry, "ぽぽぽ"))
    assert [await shelf.storage.longest_token(item.application.key) for item in (entry, other)] == [9, 0]


async def test_a_deleted_endpoint_leaves_its_attempts_in_the_numbers_and_nothing_else(
    shelf: SqlShelf, entry: Entry
) -> None:
    key = entry.application.key
    failed = Setback(failures=1, retry_at=NOW + MINUTE, reason="no room")
    attempt = replace(offer("1.1.0"), stage=1)
    state = Endpoint(running=v("1.0.0"), registered_at=NOW, attempt=attempt, sequence=1, setbacks={v("1.1.0"): failed})
    draft = newcomer(entry, "tok", state)
    draft.push = True
    draft.entries = [HistoryEntry(at=NOW, kind=HistoryKind.OFFERED, version=v("1.1.0"))]
    await store(shelf, entry, draft)
    record = await one(shelf, entry, "tok")
    async with shelf.storage.transaction() as transaction:
        parked = ParkedPush(topic="t", key=record.key, reason_code=0x87, parked_at=NOW, retry_at=NOW, tries=1)
        await transaction.park([parked])
    await delete(shelf, entry, "tok")
    # Nothing is to be expected of it any more, and gates wait for nobody who is gone.
    assert await shelf.counters(key) == {
        CounterKey(key, "attempts", v("1.1.0"), v("1.0.0"), "withdrawn"): 1,
        CounterKey(key, "stages", v("1.1.0"), None, "1 withdrawn"): 1,
    }
    past = await shelf.past(key)
    left = move(attempt, AttemptState.WITHDRAWN, NOW, reason="its endpoint was deleted")
    assert (past.attempts, dict(past.entries)) == ({record.key: [left]}, {})
    assert await shelf.storage.all_parked_topics() == set()
    (push,) = await shelf.storage.pushes(0, 10)
    assert (push.key, push.token, push.application, push.version) == (record.key, "", 0, None)
    # The next one of this name starts with nothing of it.
    await store(shelf, entry, newcomer(entry, "tok"))
    assert (await one(shelf, entry, "tok")).endpoint.setbacks == {}


async def test_the_verdict_of_a_deleted_endpoint_stays_as_it_was(shelf: SqlShelf, entry: Entry) -> None:
    key = entry.application.key
    confirmed = replace(offer("1.1.0"), stage=1, state=AttemptState.CONFIRMED, settled_at=NOW - MINUTE, healthy=False)
    state = Endpoint(running=v("1.1.0"), registered_at=NOW, attempt=confirmed, sequence=1)
    await store(shelf, entry, newcomer(entry, "tok", state))
    record = await one(shelf, entry, "tok")
    await delete(shelf, entry, "tok")
    assert await shelf.counters(key) == {
        CounterKey(key, "attempts", v("1.1.0"), v("1.0.0"), "confirmed"): 1,
        CounterKey(key, "stages", v("1.1.0"), None, "1 confirmed unhealthy"): 1,
    }
    assert (await shelf.past(key)).attempts == {record.key: [confirmed]}


async def test_a_topic_to_clear_is_a_push_of_its_own(shelf: SqlShelf) -> None:
    async with shelf.storage.edit() as edit:
        await edit.clear_topic("kp1/kettle-v1/cmx_ota/gone/config/json/status")
    (push,) = await shelf.storage.pushes(0, 10)
    assert (push.key, push.topic) == (0, "kp1/kettle-v1/cmx_ota/gone/config/json/status")
    assert await shelf.storage.last_revision() == push.revision


async def test_nothing_of_a_deleted_application_is_found_under_its_number_again(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as shelf:
        entry = await shelf.define(APP, [general("1.0.0"), general("1.1.0", "1.0.0")])
        state = Endpoint(running=v("1.0.0"), registered_at=NOW, attempt=offer("1.1.0"), sequence=1)
        await store(shelf, entry, newcomer(entry, "tok", state))
        await shelf.add_work(entry.application.key, None)
        await delete(shelf, entry, "tok")
        async with shelf.storage.edit() as edit:
            await edit.delete_application(entry.application.key)
        assert (await shelf.storage.entries(), await shelf.storage.works()) == ([], [])
        again = await shelf.define(OTHER, [general("1.0.0"), general("1.1.0", "1.0.0")])
        assert again.application.key == entry.application.key
        await store(shelf, again, newcomer(again, "tok", state))
        assert (await shelf.past(again.application.key)).attempts == {}
        assert sum((await shelf.counters(again.application.key)).values()) == 4
    async with open_sqlite(tmp_path) as shelf:
        (again,) = await shelf.storage.entries()
        assert (await one(shelf, again, "tok")).endpoint.running == v("1.0.0")


async def test_a_deletion_that_fails_leaves_the_application(shelf: SqlShelf, entry: Entry) -> None:
    async def fail() -> None:
        async with shelf.storage.edit() as edit:
            await edit.put_software(entry.application.key, software_record(general("9.0.0")))
            await edit.delete_application(entry.application.key)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    (found,) = await shelf.storage.entries()
    assert found.software == entry.software
    await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("9.0.0"), registered_at=NOW)))
    assert (await one(shelf, entry, "tok")).app_version == "kettle-v1"
