"""The contract of `ports.Storage` where endpoints wait for room, and where classes of endpoints are told apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from orchestrator.application.counters import CounterKey
from orchestrator.domain.attempts import Attempt
from orchestrator.domain.endpoints import Endpoint
from tests.contract.storages import (
    APP,
    IMPLEMENTATIONS,
    NOW,
    Implementation,
    Shelf,
    found,
    newcomer,
    one,
    store,
    verdict_on,
)
from tests.unit.orchestrator.domain.builders import general, v

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.application.classes import Work
    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Draft

NEXT = v("2.0.0")


@pytest_asyncio.fixture(params=IMPLEMENTATIONS, ids=lambda implementation: implementation.name)
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    implementation: Implementation = request.param
    async with implementation.open(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def entry(shelf: Shelf) -> Entry:
    return await shelf.define(APP, [general("1.0.0"), general("2.0.0", "1.0.0"), general("3.0.0", "2.0.0")])


def on(version: str, attempt: Attempt | None = None) -> Endpoint:
    return Endpoint(running=v(version), registered_at=NOW, attempt=attempt, sequence=1 if attempt else 0)


def offered(version: str, stage: int | None = None) -> Attempt:
    return Attempt(version=v(version), number=1, sequence=1, origin=v("1.0.0"), offered_at=NOW, stage=stage)


async def queue(shelf: Shelf, entry: Entry, after: int, version: str = "2.0.0") -> None:
    async with shelf.storage.transaction() as transaction:
        await transaction.queue(entry.application.key, v(version), after, NOW)


async def only_queue(shelf: Shelf) -> Work:
    (found_one,) = await shelf.storage.queues()
    return found_one


# Queues


async def test_a_queue_is_kept_with_its_version_and_its_cursor_and_is_no_change(shelf: Shelf, entry: Entry) -> None:
    await queue(shelf, entry, 5)
    kept = await only_queue(shelf)
    assert (kept.application, kept.version, kept.cursor) == (entry.application.key, NEXT, 5)
    assert await shelf.storage.works() == []


async def test_changes_are_no_queues(shelf: Shelf, entry: Entry) -> None:
    await shelf.add_work(entry.application.key, {v("1.0.0")})
    assert await shelf.storage.queues() == []


async def test_there_is_one_queue_for_each_version_of_each_application(shelf: Shelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)), [general("2.0.0")])
    await queue(shelf, entry, 5)
    await queue(shelf, entry, 7)
    await queue(shelf, entry, 7, "3.0.0")
    await queue(shelf, other, 7)
    kept = await shelf.storage.queues()
    assert [(item.application, item.version, item.cursor) for item in kept] == [
        (entry.application.key, NEXT, 5),
        (entry.application.key, v("3.0.0"), 7),
        (other.application.key, NEXT, 7),
    ]


async def test_a_queue_moves_on_and_ends(shelf: Shelf, entry: Entry) -> None:
    await queue(shelf, entry, 0)
    async with shelf.storage.transaction() as transaction:
        await transaction.advance(await only_queue(shelf), 17)
    assert (await only_queue(shelf)).cursor == 17
    async with shelf.storage.transaction() as transaction:
        await transaction.advance(await only_queue(shelf), None)
    assert await shelf.storage.queues() == []


async def test_whoever_joins_behind_the_cursor_lets_the_queue_begin_again_at_its_end(
    shelf: Shelf, entry: Entry
) -> None:
    await queue(shelf, entry, 17)
    await queue(shelf, entry, 3)
    assert (await only_queue(shelf)).cursor == 17
    async with shelf.storage.transaction() as transaction:
        assert await transaction.requeue(await only_queue(shelf))
    assert (await only_queue(shelf)).cursor == 0
    async with shelf.storage.transaction() as transaction:
        assert not await transaction.requeue(await only_queue(shelf))


@pytest.mark.parametrize("after", [17, 18])
async def test_whoever_joins_ahead_of_the_cursor_is_come_to_anyway(shelf: Shelf, entry: Entry, after: int) -> None:
    await queue(shelf, entry, 17)
    await queue(shelf, entry, after)
    async with shelf.storage.transaction() as transaction:
        assert not await transaction.requeue(await only_queue(shelf))
    assert (await only_queue(shelf)).cursor == 17


async def test_a_queue_that_has_ended_forgets_who_had_joined_behind_it(shelf: Shelf, entry: Entry) -> None:
    await queue(shelf, entry, 17)
    await queue(shelf, entry, 3)
    async with shelf.storage.transaction() as transaction:
        await transaction.advance(await only_queue(shelf), None)
    await queue(shelf, entry, 5)
    async with shelf.storage.transaction() as transaction:
        assert not await transaction.requeue(await only_queue(shelf))


def held(draft: Draft, version: str = "2.0.0") -> Draft:
    draft.held = v(version)
    return draft


async def test_endpoints_that_are_held_for_want_of_room_are_queued(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, *(newcomer(entry, token, on("1.0.0")) for token in ("a", "b", "c")))
    first, second, third = await found(shelf, entry, ["a", "b", "c"])
    drafts = [newcomer(entry, record.token) for record in (second, third)]
    for draft, record in zip(drafts, (second, third), strict=True):
        draft.before, draft.after = record, record.endpoint
    await store(shelf, entry, *map(held, drafts))
    assert first.key <= (await only_queue(shelf)).cursor < second.key


async def test_a_new_endpoint_that_is_held_is_come_to(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, held(newcomer(entry, "a", on("1.0.0"))))
    assert (await only_queue(shelf)).cursor < (await one(shelf, entry, "a")).key


async def test_a_queue_of_a_transaction_that_fails_is_none(shelf: Shelf, entry: Entry) -> None:
    async def fail() -> None:
        async with shelf.storage.transaction() as transaction:
            await transaction.queue(entry.application.key, NEXT, 0, NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await shelf.storage.queues() == []


async def test_a_page_of_a_queue_holds_whoever_runs_one_of_the_versions_that_it_is_asked_for(
    shelf: Shelf, entry: Entry
) -> None:
    await store(shelf, entry, newcomer(entry, "old", on("1.0.0")), newcomer(entry, "new", on("2.0.0")))
    await queue(shelf, entry, 0)
    work = replace(await only_queue(shelf), running=frozenset({v("1.0.0")}))
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(work, 10, entry)
    assert Counter({of.running: size for of, size in page.classes.items()}) == {v("1.0.0"): 1}


# Numbers


async def test_a_transaction_sees_the_numbers_that_it_has_changed(shelf: Shelf, entry: Entry) -> None:
    key = entry.application.key
    draft = newcomer(entry, "a", on("1.0.0", offered("2.0.0", stage=1)))
    async with shelf.storage.transaction() as transaction:
        assert await transaction.numbers([key], ["running", "slots"]) == {}
        await transaction.store([draft], [None], NOW)
        seen = await transaction.numbers([key], ["slots", "stages"])
    assert seen == {
        CounterKey(key, "slots", NEXT, v("1.0.0")): 1,
        CounterKey(key, "stages", NEXT, None, "1 offered unreached"): 1,
    }


async def test_numbers_are_those_of_the_named_applications(shelf: Shelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)), [general("1.0.0")])
    await store(shelf, entry, newcomer(entry, "a", on("1.0.0")))
    await store(shelf, other, newcomer(other, "a", on("1.0.0")))
    key = other.application.key
    async with shelf.storage.transaction() as transaction:
        assert await transaction.numbers([key], ["running"]) == {CounterKey(key, "running", v("1.0.0")): 1}
        assert await transaction.numbers([], ["running"]) == {}
        assert await transaction.numbers([key], []) == {}


async def test_numbers_that_have_come_to_nothing_are_left_out(shelf: Shelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "a", on("1.0.0", offered("2.0.0"))))
    record = await one(shelf, entry, "a")
    gone = newcomer(entry, "a")
    gone.before, gone.after = record, on("2.0.0")
    await store(shelf, entry, gone)
    async with shelf.storage.transaction() as transaction:
        assert await transaction.numbers([entry.application.key], ["slots"]) == {}


# Classes


async def test_versions_that_differ_in_build_metadata_only_are_moved_alike(shelf: Shelf, entry: Entry) -> None:
    tokens = ["a", "b", "c"]
    for token, version in zip(tokens, ("1.0.0", "1.0.0+built.again", "1.0.0"), strict=True):
        await store(shelf, entry, newcomer(entry, token, on(version)))
    await shelf.add_work(entry.application.key, {v("1.0.0")})
    (work,) = await shelf.storage.works()
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(work, 10, entry)
        assert sum(page.classes.values()) == 3
        await transaction.move_classes(work, page, [verdict_on(of, NEXT, None) for of in page.classes], entry, NOW)
    for record in await found(shelf, entry, tokens):
        assert record.endpoint.offer is not None


async def test_where_room_is_short_the_first_of_a_class_get_the_offer(shelf: Shelf, entry: Entry) -> None:
    tokens = ["a", "b", "c"]
    await store(shelf, entry, *(newcomer(entry, token, on("1.0.0")) for token in tokens))
    await shelf.add_work(entry.application.key, {v("1.0.0")})
    (work,) = await shelf.storage.works()
    async with shelf.storage.transaction() as transaction:
        page = await transaction.page(work, 10, entry)
        (of,) = page.classes
        verdict = replace(verdict_on(of, NEXT, None), most=2, rest=of.endpoint(NOW))
        await transaction.move_classes(work, page, [verdict], entry, NOW)
    records = await found(shelf, entry, tokens)
    assert [record.endpoint.offer is not None for record in records] == [True, True, False]
    key = entry.application.key
    assert (await shelf.counters(key))[CounterKey(key, "slots", NEXT, v("1.0.0"))] == 2
