"""How the oldest rows are found; what is removed is in the contract of `retentions.Archive`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.application.retentions import Remains
from orchestrator.domain.endpoints import HistoryEntry, HistoryKind
from orchestrator.persistence import retentions
from tests.contract.storages import NOW, newcomer, store

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf

DAY = timedelta(days=1)


async def test_each_kind_has_a_place_to_be_looked_for() -> None:
    assert set(retentions._SOURCES) == set(Remains)


async def test_an_empty_table_has_nothing_to_remove(shelf: SqlShelf) -> None:
    async with shelf.storage.reading() as connection:
        for what in Remains:
            assert await retentions.oldest(connection, what, NOW, 0, 10) is None


async def test_a_stretch_ends_at_the_first_row_that_is_young_enough(shelf: SqlShelf, entry: Entry) -> None:
    draft = newcomer(entry, "tok")
    days = (0, 1, 5, 1)
    draft.entries = [HistoryEntry(at=NOW + day * DAY, kind=HistoryKind.RETRIED) for day in days]
    await store(shelf, entry, draft)
    async with shelf.storage.reading() as connection:
        stretch = await retentions.oldest(connection, Remains.HISTORY, NOW + 2 * DAY, None, 10)
    assert stretch is not None
    assert (stretch.after, stretch.end) == (0, 2)
