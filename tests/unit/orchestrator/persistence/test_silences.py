from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.endpoints import Endpoint, TokenState
from orchestrator.persistence import silences
from tests.contract.storages import NOW, newcomer, one, store

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from orchestrator.application.retirements import Page
    from tests.contract.storages import SqlShelf

DAY = timedelta(days=1)


async def look(shelf: SqlShelf, after: int, endpoints: int, days: int) -> Page:
    async with shelf.storage.reading() as connection:
        return await silences.silent(connection, after, endpoints, NOW - days * DAY)


async def test_those_with_a_good_token_that_were_not_heard_since_are_found(shelf: SqlShelf, entry: Entry) -> None:
    heard = {"a": 9, "b": 1, "c": 5}
    fleet = {
        token: Endpoint(registered_at=NOW - 99 * DAY, last_seen_at=NOW - day * DAY) for token, day in heard.items()
    }
    fleet["d"] = Endpoint(registered_at=NOW, last_seen_at=NOW - 99 * DAY, token_state=TokenState.SUSPENDED)
    fleet["e"] = Endpoint(registered_at=NOW, last_seen_at=NOW - 99 * DAY, token_state=TokenState.RETIRED)
    await store(shelf, entry, *(newcomer(entry, token, endpoint) for token, endpoint in fleet.items()))
    keys = {token: (await one(shelf, entry, token)).key for token in fleet}
    page = await look(shelf, 0, 10, 4)
    assert {item.key: item.heard_at for item in page.silent} == {keys["a"]: NOW - 9 * DAY, keys["c"]: NOW - 5 * DAY}
    assert {item.application for item in page.silent} == {entry.application.key}
    assert (page.end, page.retired) == (keys["e"], 1)


async def test_those_that_were_never_heard_are_as_old_as_their_registration(shelf: SqlShelf, entry: Entry) -> None:
    good, bad = Endpoint(registered_at=NOW), Endpoint(registered_at=NOW, token_state=TokenState.REVOKED)
    await store(shelf, entry, newcomer(entry, "a", good), newcomer(entry, "b", bad))
    assert (await look(shelf, 0, 10, 1)).silent == []
    (found,) = (await look(shelf, 0, 10, -1)).silent
    assert (found.key, found.heard_at) == ((await one(shelf, entry, "a")).key, NOW)


async def test_pages_follow_each_other_and_end(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, *(newcomer(entry, token) for token in "abc"))
    first = await look(shelf, 0, 2, -1)
    second = await look(shelf, first.end or 0, 2, -1)
    assert (len(first.silent), len(second.silent)) == (2, 1)
    assert (await look(shelf, second.end or 0, 2, -1)).end is None
