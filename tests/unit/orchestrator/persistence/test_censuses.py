"""A census is one read, of as little as is needed; the property of plans holds what it counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.domain.endpoints import Endpoint
from orchestrator.domain.filters import Filter
from orchestrator.domain.plans import Kind
from tests.contract.storages import NOW, newcomer, store
from tests.unit.orchestrator.domain.builders import v
from tests.unit.orchestrator.persistence.groups import LAB

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf

ONE = Endpoint(running=v("1.0.0"), registered_at=NOW)


async def fill(shelf: SqlShelf, entry: Entry) -> None:
    endpoints = [ONE, ONE, replace(ONE, pinned=v("1.0.0")), Endpoint(registered_at=NOW)]
    drafts = [newcomer(entry, f"tok{place}", endpoint) for place, endpoint in enumerate(endpoints)]
    drafts[0].new_attributes = '{"site":"lab"}'
    await store(shelf, entry, *drafts)


async def test_without_filters_plain_endpoints_come_from_the_numbers(shelf: SqlShelf, entry: Entry) -> None:
    await fill(shelf, entry)
    assert await shelf.storage.census(entry.application.key, [], NOW) == {
        Kind(running=v("1.0.0")): 2,
        Kind(running=v("1.0.0"), pinned=v("1.0.0")): 1,
        Kind(running=None): 1,
    }


async def test_with_filters_everybody_is_counted_by_them(shelf: SqlShelf, entry: Entry) -> None:
    await fill(shelf, entry)
    many = [Filter(filter_id=f"f{place}", expression="attributes.site == 'lab'") for place in range(70)]
    expected = Counter({Kind(running=v("1.0.0"), filters=frozenset({"lab", *(item.filter_id for item in many)})): 1})
    expected[Kind(running=v("1.0.0"))] = 1
    expected[Kind(running=v("1.0.0"), pinned=v("1.0.0"))] = 1
    expected[Kind(running=None)] = 1
    assert await shelf.storage.census(entry.application.key, [*many, LAB], NOW) == expected


async def test_another_application_is_not_counted(shelf: SqlShelf, entry: Entry) -> None:
    await fill(shelf, entry)
    assert await shelf.storage.census(entry.application.key + 1, [], NOW) == {}
    assert await shelf.storage.census(entry.application.key + 1, [LAB], NOW) == {}
