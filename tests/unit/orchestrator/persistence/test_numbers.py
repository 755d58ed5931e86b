from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.persistence.numbers import Numbers
from orchestrator.persistence.schema import KEY_SPAN
from tests.contract.storages import NOW, newcomer, store

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


def test_identifiers_are_reserved_in_a_row() -> None:
    numbers = Numbers(revision=7)
    assert (numbers.take("revision", 3), numbers.take("revision", 1), numbers.take("history", 2)) == (7, 10, 0)
    assert (numbers.revision, numbers.history, numbers.attempt) == (11, 2, 0)


async def test_keys_of_endpoints_lie_in_the_range_of_their_application(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "tok"))
    numbers = Numbers()
    application = entry.application.key
    async with shelf.storage.reading() as connection:
        keys = [await numbers.endpoint_key(connection, application) for _ in range(2)]
        other = await numbers.endpoint_key(connection, application + 1)
    assert keys == [application * KEY_SPAN + 2, application * KEY_SPAN + 3]
    assert other == (application + 1) * KEY_SPAN + 1


async def test_numbers_go_on_after_what_is_stored_and_after_the_watermark(shelf: SqlShelf, entry: Entry) -> None:
    draft = newcomer(entry, "tok")
    draft.push = True
    await store(shelf, entry, draft)
    numbers = Numbers()
    async with shelf.storage.reading() as connection:
        await numbers.load(connection)
    assert numbers.revision == 1
    async with shelf.storage.transaction() as transaction:
        await transaction.raise_watermark(50, NOW)
    async with shelf.storage.reading() as connection:
        await numbers.load(connection)
    assert (numbers.revision, numbers.history, numbers.attempt) == (50, 0, 0)


async def test_the_key_of_an_endpoint_that_was_removed_is_not_given_out_again(shelf: SqlShelf, entry: Entry) -> None:
    """A stage that had taken it in would take in the next one."""
    await store(shelf, entry, newcomer(entry, "old"), newcomer(entry, "gone"))
    document = await shelf.storage.document(entry, "gone")
    assert document is not None
    async with shelf.storage.edit() as edit:
        await edit.delete_endpoint(document, NOW)
    async with shelf.storage.reading() as connection:
        key = await Numbers().endpoint_key(connection, entry.application.key)
    assert key == document.record.key + 1
