"""What the contract suite and the property of sweeps leave: how long the statements are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.classes import Renewal, Work
from orchestrator.domain.endpoints import Endpoint
from orchestrator.persistence.scans import KEPT, Scans
from tests.contract.storages import APP, NOW, entry_of, newcomer, store
from tests.unit.orchestrator.domain.builders import general, targeted, use, v
from tests.unit.orchestrator.persistence.groups import LAB

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf

AT = datetime(2026, 3, 1, tzinfo=UTC)


def work(entry: Entry, *running: str, cursor: int = 0, renews: Renewal | None = None) -> Work:
    ids = frozenset(v(text) for text in running)
    return Work(number=1, application=entry.application.key, running=ids, cursor=cursor, renews=renews)


@pytest.fixture
def scans(shelf: SqlShelf) -> Scans:
    return Scans(shelf.storage._dictionary)


def test_the_pages_of_a_work_item_share_their_statements(scans: Scans, entry: Entry) -> None:
    first = scans.of(work(entry, "1.0.0"), entry)
    assert scans.of(work(entry, "1.0.0", cursor=7), entry) is first
    assert scans.of(work(entry, "1.1.0"), entry) is not first
    assert scans.of(work(entry, "1.0.0", renews=Renewal.ASKS), entry) is not first
    assert scans.of(work(entry, "1.0.0"), entry) is first


def test_an_application_that_was_changed_has_other_statements(scans: Scans, entry: Entry) -> None:
    first = scans.of(work(entry, "1.0.0"), entry)
    changed = replace(entry, application=replace(entry.application, description="changed"))
    assert scans.of(work(entry, "1.0.0"), changed) is not first


async def test_a_version_that_is_new_to_the_database_has_other_statements(
    shelf: SqlShelf, scans: Scans, entry: Entry
) -> None:
    first = scans.of(work(entry, "1.0.0"), entry)
    await store(shelf, entry, newcomer(entry, "tok", Endpoint(running=v("1.0.0+other"), registered_at=NOW)))
    assert scans.of(work(entry, "1.0.0"), entry) is not first


def test_only_so_many_are_kept(scans: Scans, entry: Entry) -> None:
    first = scans.of(work(entry, "1.0.0"), entry)
    for number in range(KEPT):
        scans.of(work(entry, f"2.{number}.0"), entry)
    assert scans.of(work(entry, "1.0.0"), entry) is not first


async def test_what_was_kept_finds_who_came_with_a_name_that_it_did_not_know(shelf: SqlShelf) -> None:
    newer = replace(LAB, expression="runningVersion > '1.0.0'")
    software = [general("1.0.0"), targeted("2.0.0", "1.0.0", filters=[use("lab")])]
    entry = await shelf.define(APP, software, [newer])
    assert entry.filters == entry_of(APP, software, [newer]).filters
    item = replace(work(entry), running=None)
    for number, running in enumerate(("1.0.0", "1.0.1")):
        await store(shelf, entry, newcomer(entry, f"tok{number}", Endpoint(running=v(running), registered_at=NOW)))
        async with shelf.storage.transaction() as transaction:
            page = await transaction.page(item, 10, entry)
    assert {of.running: of.filters for of in page.classes} == {v("1.0.0"): frozenset(), v("1.0.1"): {"lab"}}
