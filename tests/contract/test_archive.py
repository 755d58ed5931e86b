"""The contract of `retentions.Archive`, on each kind of database."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest_asyncio
from sqlalchemy import func, select

from orchestrator.application.audits import Action, AuditEntry
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.counters import CounterKey
from orchestrator.application.retentions import Remains, Stretch
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.endpoints import Endpoint, HistoryEntry, HistoryKind
from orchestrator.persistence import remnants, retentions, schema
from tests.contract.storages import (
    APP,
    NOW,
    SqlShelf,
    attempts,
    newcomer,
    one,
    open_postgresql,
    open_sqlite,
    store,
)
from tests.properties.recounts import recount
from tests.unit.orchestrator.domain.builders import general, v

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    import pytest

    from orchestrator.application.directory import Entry

DAY = timedelta(days=1)
OPENERS = {"sqlite": open_sqlite, "postgresql": open_postgresql}


@pytest_asyncio.fixture(params=OPENERS)
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlShelf]:
    async with OPENERS[request.param](tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def entry(shelf: SqlShelf) -> Entry:
    return await shelf.define(APP, [general("1.0.0"), general("2.0.0", "1.0.0")])


def reported(day: int) -> HistoryEntry:
    return HistoryEntry(at=NOW + day * DAY, kind=HistoryKind.REPORTED, version=v("1.0.0"), status_code=200)


async def live(shelf: SqlShelf, entry: Entry, token: str, *days: int) -> None:
    """One history entry of an endpoint for each day."""
    for day in days:
        draft = newcomer(entry, token, Endpoint(running=v("1.0.0"), registered_at=NOW))
        places = [(entry.application.key, token)]
        async with shelf.storage.transaction() as transaction:
            known = await transaction.find(places, None)
        if known:
            draft = replace(draft, before=known[0], after=known[0].endpoint)
        draft.entries = [reported(day)]
        await store(shelf, entry, draft)


async def remove_all(shelf: SqlShelf, what: Remains, before: datetime | None, most: int | None, limit: int = 2) -> int:
    removed = 0
    while (stretch := await shelf.storage.oldest(what, before, most, limit)) is not None:
        removed += await shelf.storage.remove(stretch)
    return removed


async def days_of(shelf: SqlShelf, entry: Entry, token: str) -> list[int]:
    """The days of an endpoint's history entries, newest first."""
    document = await shelf.storage.document(entry, token)
    assert document is not None
    found = await shelf.storage.history(document, None, 100)
    return [(item.entry.at - NOW).days for item in found]


async def test_history_is_removed_from_its_beginning_and_the_chain_goes_on(shelf: SqlShelf, entry: Entry) -> None:
    await live(shelf, entry, "a", 0, 1)
    await live(shelf, entry, "b", 1)
    await live(shelf, entry, "a", 2, 3)
    assert await remove_all(shelf, Remains.HISTORY, NOW + 2 * DAY, None) == 3
    assert await days_of(shelf, entry, "a") == [3, 2]
    assert await days_of(shelf, entry, "b") == []
    assert await shelf.storage.oldest(Remains.HISTORY, NOW + 2 * DAY, None, 10) is None
    await live(shelf, entry, "b", 4)
    assert await days_of(shelf, entry, "b") == [4]


async def test_a_stretch_is_as_long_as_was_asked_for_and_removed_once(shelf: SqlShelf, entry: Entry) -> None:
    await live(shelf, entry, "a", 0, 1, 2)
    stretch = await shelf.storage.oldest(Remains.HISTORY, NOW + 9 * DAY, None, 2)
    assert stretch == Stretch(what=Remains.HISTORY, after=0, end=2)
    assert await shelf.storage.remove(stretch) == 2
    assert await shelf.storage.remove(stretch) == 0
    assert await days_of(shelf, entry, "a") == [2]


async def test_numbers_of_removed_history_are_not_given_out_again(shelf: SqlShelf, entry: Entry) -> None:
    await live(shelf, entry, "a", 0, 1)
    await remove_all(shelf, Remains.HISTORY, NOW + 9 * DAY, None)
    numbers = shelf.storage._numbers
    async with shelf.storage.reading() as connection:
        await numbers.load(connection)
    await live(shelf, entry, "a", 3)
    assert (await one(shelf, entry, "a")).last_history == 3
    assert await days_of(shelf, entry, "a") == [3]


async def test_invariant_8_attempts_leave_what_they_counted_for(shelf: SqlShelf, entry: Entry) -> None:
    key = entry.application.key
    old = Attempt(version=v("2.0.0"), number=1, sequence=1, origin=v("1.0.0"), offered_at=NOW)
    settled = [
        replace(old, state=AttemptState.WITHDRAWN, settled_at=NOW + DAY),
        replace(old, state=AttemptState.WITHDRAWN, settled_at=NOW + DAY, stage=1),
        replace(old, state=AttemptState.REVERTED, settled_at=NOW + DAY, stage=1, reached_at=NOW, healthy=False),
        replace(old, state=AttemptState.FAILED, settled_at=NOW + 5 * DAY, stage=0, reached_at=NOW),
    ]
    for token in ("a", "b"):
        draft = newcomer(entry, token, Endpoint(running=v("1.0.0"), registered_at=NOW, attempt=old, sequence=2))
        draft.superseded = list(settled)
        await store(shelf, entry, draft)
    before = await shelf.counters(key)
    assert before == await recount(shelf.storage, key)
    assert await remove_all(shelf, Remains.ATTEMPTS, NOW + 3 * DAY, None) == 3
    assert len(await attempts(shelf, await one(shelf, entry, "a"))) == 1
    assert await shelf.counters(key) == before == await recount(shelf.storage, key)
    assert await remove_all(shelf, Remains.ATTEMPTS, NOW + 9 * DAY, None) == 5
    assert await shelf.counters(key) == before == await recount(shelf.storage, key)


async def test_what_an_endpoint_has_too_much_of_is_its_oldest(shelf: SqlShelf, entry: Entry) -> None:
    await live(shelf, entry, "a", 0, 1)
    await live(shelf, entry, "b", 2)
    await live(shelf, entry, "a", 3, 4, 5)
    await live(shelf, entry, "c", 6, 7, 8)
    first = await shelf.storage.surplus(0, 2, 2)
    assert (first.end, first.entries) == ((await one(shelf, entry, "b")).key, [1, 2, 4])
    second = await shelf.storage.surplus(first.end or 0, 2, 2)
    assert (second.end, second.entries) == ((await one(shelf, entry, "c")).key, [7])
    assert (await shelf.storage.surplus(second.end or 0, 2, 2)).end is None
    assert await shelf.storage.remove_entries([1, 2, 4]) == 3
    assert await shelf.storage.remove_entries([1, 2, 4]) == 0
    assert await days_of(shelf, entry, "a") == [5, 4]
    assert (await shelf.storage.surplus(0, 2, 2)).entries == []


async def bury(shelf: SqlShelf, day: int) -> None:
    async with shelf.storage.transaction() as transaction:
        await transaction.bury(f"day/{day}", b"rubbish", "poison", NOW + day * DAY)


async def test_dead_letters_go_by_age_and_by_number_and_the_newest_stays(shelf: SqlShelf) -> None:
    for day in range(6):
        await bury(shelf, day)
    assert await remove_all(shelf, Remains.DEAD_LETTERS, NOW + 2 * DAY, None) == 2
    assert [topic for topic, *_ in await shelf.dead_letters()] == ["day/2", "day/3", "day/4", "day/5"]
    assert await remove_all(shelf, Remains.DEAD_LETTERS, None, 3) == 1
    assert await remove_all(shelf, Remains.DEAD_LETTERS, NOW + 99 * DAY, 3) == 2
    assert [topic for topic, *_ in await shelf.dead_letters()] == ["day/5"]


async def test_the_audit_goes_by_age_and_by_number(shelf: SqlShelf) -> None:
    for day in range(6):
        action, at = Action.FILTER_PUT, NOW + day * DAY
        changed = AuditEntry(at=at, application="kettle", author=ANONYMOUS, action=action, resource=f"filters/{day}")
        async with shelf.storage.edit() as edit:
            await edit.audit(changed)
    assert await remove_all(shelf, Remains.AUDIT, NOW + DAY, None) == 1
    assert await remove_all(shelf, Remains.AUDIT, NOW + DAY, 2) == 3
    found = await shelf.storage.audits(None, None, 10)
    assert [item.entry.resource for item in found] == ["filters/5", "filters/4"]


async def test_outages_that_are_long_over_go(shelf: SqlShelf) -> None:
    async with shelf.storage.transaction() as transaction:
        for day in (0, 10):
            await transaction.add_outage(NOW + day * DAY, NOW + (day + 1) * DAY)
    assert await remove_all(shelf, Remains.OUTAGES, NOW + 5 * DAY, None) == 1
    assert await shelf.storage.outages() == [(NOW + 10 * DAY, NOW + 11 * DAY)]


async def test_an_application_takes_its_sums_with_it(shelf: SqlShelf, entry: Entry) -> None:
    old = Attempt(version=v("2.0.0"), number=1, sequence=1, origin=v("1.0.0"), offered_at=NOW)
    draft = newcomer(entry, "a")
    draft.superseded = [replace(old, state=AttemptState.WITHDRAWN, settled_at=NOW)]
    await store(shelf, entry, draft)
    await remove_all(shelf, Remains.ATTEMPTS, NOW + DAY, None)
    async with shelf.storage.edit() as edit:
        document = await edit.document(entry, "a")
        assert document is not None
        await edit.delete_endpoint(document, NOW)
        await edit.delete_application(entry.application.key)
    async with shelf.storage.reading() as connection:
        left = (await connection.execute(select(func.count()).select_from(remnants.attempt_sum))).scalar_one()
    assert left == 0


async def counted(shelf: SqlShelf) -> Counter[int]:
    """How many stored numbers have each amount."""
    async with shelf.storage.reading() as connection:
        return Counter((await connection.execute(select(schema.counter.c.amount))).scalars())


async def test_numbers_that_count_nothing_any_more_go_and_come_back_when_they_do(shelf: SqlShelf, entry: Entry) -> None:
    key = entry.application.key

    async def fail(token: str, reason: str) -> None:
        attempt = Attempt(version=v("2.0.0"), number=1, sequence=1, origin=v("1.0.0"), offered_at=NOW)
        failed = replace(attempt, state=AttemptState.FAILED, settled_at=NOW, reason=reason)
        draft = newcomer(entry, token, Endpoint(running=v("1.0.0"), registered_at=NOW, attempt=failed, sequence=2))
        async with shelf.storage.transaction() as transaction:
            known = await transaction.find([(key, token)], None)
        await store(shelf, entry, replace(draft, before=known[0]) if known else draft)

    for number in range(5):
        await fail("a", f"reason {number} läb'\"")
    assert (await counted(shelf))[0] == 4
    before = await shelf.counters(key)
    assert [await shelf.storage.remove_zeros(3) for _ in range(3)] == [3, 1, 0]
    assert (await counted(shelf))[0] == 0
    assert await shelf.counters(key) == before == await recount(shelf.storage, key)
    await fail("b", "reason 0 läb'\"")
    assert await shelf.counters(key) == await recount(shelf.storage, key) != before


async def test_a_number_that_counts_something_again_when_it_is_to_go_stays(shelf: SqlShelf, entry: Entry) -> None:
    await live(shelf, entry, "a", 0)
    async with shelf.storage.transaction() as transaction:
        await transaction.count(Counter({CounterKey(entry.application.key, "running", v("1.0.0")): -1}))
        async with shelf.storage.reading() as connection:
            assert await retentions.zeros(connection, 10) == []
    async with shelf.storage.reading() as connection:
        found = await retentions.zeros(connection, 10)
    assert len(found) == 1
    await live(shelf, entry, "b", 0)
    async with shelf.storage.edit() as edit:
        assert await edit.remove_zeros(found) == 0
    assert (await shelf.counters(entry.application.key)).total() == 1
