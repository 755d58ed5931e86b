"""What the contract suite and the property of sweeps leave: how the work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.endpoints import Endpoint
from tests.contract.storages import NOW, found, newcomer, store, verdict_on
from tests.unit.orchestrator.domain.builders import v
from tests.unit.orchestrator.persistence.statements import counted

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


async def page(shelf: SqlShelf, entry: Entry, hop: str, size: int) -> list[str]:
    """Store endpoints, offer `hop` to all of them in one page; return the statements."""
    tokens = [f"{hop}-{number}" for number in range(size)]
    running = v(f"0.{hop}")
    drafts = [newcomer(entry, token, Endpoint(running=running, registered_at=NOW)) for token in tokens]
    for draft in drafts[::2]:
        draft.new_attributes = '{"site":"lab"}'
    await store(shelf, entry, *drafts)
    await shelf.add_work(entry.application.key, [running])
    (work,) = await shelf.storage.works()
    async with counted(shelf) as statements, shelf.storage.transaction() as transaction:
        read = await transaction.page(work, 10_000, entry)
        verdicts = [verdict_on(of, v("2.0.0"), None) for of in read.classes]
        await transaction.move_classes(work, read, verdicts, entry, NOW)
        await transaction.advance(work, None)
    moved = await found(shelf, entry, tokens)
    assert {record.endpoint.sequence for record in moved} == {1}
    assert len({record.push_revision for record in moved}) == size
    return statements


async def test_the_statements_of_a_page_do_not_depend_on_its_size(shelf: SqlShelf, entry: Entry) -> None:
    few, many = await page(shelf, entry, "1.0", 4), await page(shelf, entry, "2.0", 400)
    assert many == few


async def test_identifiers_of_a_page_are_given_to_nobody_else(shelf: SqlShelf, entry: Entry) -> None:
    await page(shelf, entry, "1.0", 5)
    draft = newcomer(entry, "next")
    draft.push = True
    await store(shelf, entry, draft)
    await page(shelf, entry, "2.0", 5)
    revisions = [push.revision for push in await shelf.storage.pushes(0, 100)]
    assert len(revisions) == len(set(revisions)) == 11
    assert len((await shelf.past(entry.application.key)).entries) == 10


async def test_versions_that_differ_in_build_metadata_only_are_swept_together(shelf: SqlShelf, entry: Entry) -> None:
    drafts = [
        newcomer(entry, f"tok{number}", Endpoint(running=v(f"1.0.0{build}"), registered_at=NOW))
        for number, build in enumerate(("", "+a", "+b"))
    ]
    await store(shelf, entry, *drafts)
    await shelf.add_work(entry.application.key, [v("1.0.0+a")])
    (work,) = await shelf.storage.works()
    async with shelf.storage.transaction() as transaction:
        read = await transaction.page(work, 10, entry)
    assert sum(read.classes.values()) == 3
