from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from orchestrator.application.records import PushMode
from orchestrator.persistence import restorations, schema
from tests.contract.storages import APP, newcomer, store

if TYPE_CHECKING:
    import pytest
    from sqlalchemy import Column

    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


async def rows(shelf: SqlShelf, *columns: Column[int]) -> list[tuple[int, ...]]:
    async with shelf.storage.reading() as connection:
        return [tuple(row) for row in await connection.execute(select(*columns).order_by(*columns))]


async def test_all_who_may_have_a_retained_offer_get_a_new_push_page_by_page(
    shelf: SqlShelf, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restorations, "PAGE", 2)
    live = await shelf.define(replace(APP, name="live", app_versions=("live-v1",), push=PushMode.LIVE))
    lamp = await shelf.define(replace(APP, name="lamp", app_versions=("lamp-v1",)))
    await store(shelf, entry, *(newcomer(entry, f"t{number}") for number in range(5)))
    await store(shelf, live, newcomer(live, "t"))
    await store(shelf, lamp, newcomer(lamp, "t"))
    last = shelf.storage.revision
    async with shelf.storage._writer.begin() as connection:
        assert await restorations.renew(connection) == 7
    state, push = schema.endpoint_state.c, schema.push.c
    revisions = {row[0]: row[1] for row in await rows(shelf, state.id, state.push_revision)}
    retaining = [key for key in revisions if key // schema.KEY_SPAN != live.application.key]
    assert [revisions[key] for key in retaining] == [last + number for number in range(1, 7)]
    pushed = [row for row in await rows(shelf, push.revision, push.endpoint_id) if row[0] > last]
    assert pushed == [(revisions[key], key) for key in retaining]
    assert await rows(shelf, schema.installation.c.generation) == [(1,)]


async def test_an_application_without_endpoints_is_no_obstacle(shelf: SqlShelf, entry: Entry) -> None:
    async with shelf.storage._writer.begin() as connection:
        assert await restorations.renew(connection) == 0
    assert await rows(shelf, schema.push.c.revision) == []
    assert entry.application.push is PushMode.RETAINED
