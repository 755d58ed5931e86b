from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.endpoints import Endpoint, Setback
from orchestrator.persistence.sqlite import Sqlite
from tests.contract.batches import of_every_kind, process, waiting
from tests.contract.storages import MINUTE, NOW, newcomer, store
from tests.unit.orchestrator.domain.builders import v
from tests.unit.orchestrator.persistence.statements import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.directory import Entry
    from orchestrator.persistence.drivers import Statement
    from tests.contract.batches import Said
    from tests.contract.storages import SqlShelf

MOST = 10
"""Statements of a batch, begin and commit apart (invariant 9)."""


async def run(shelf: SqlShelf, entry: Entry, said: Sequence[Said]) -> list[str]:
    """Process messages as one batch; return the statements."""
    async with counted(shelf) as statements:
        await process(shelf, entry, said)
    return statements


async def report(shelf: SqlShelf, entry: Entry, first: int, size: int) -> list[str]:
    """Let endpoints report the offered version in one batch, so that each gets its next offer."""
    tokens = range(first, first + size)
    return await run(
        shelf, entry, [(f"cmx_ota/tok{number}", "applied/json/1", '{"configId":"1.1.0"}') for number in tokens]
    )


async def test_what_a_batch_writes_is_handed_to_the_database_at_once(
    shelf: SqlShelf, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(shelf, entry, *(waiting(entry, number) for number in range(4)))
    handed: list[int] = []
    write = Sqlite.write

    async def noted(driver: Sqlite, connection: AsyncConnection, statements: Sequence[Statement]) -> None:
        handed.append(len(statements))
        await write(driver, connection, statements)

    monkeypatch.setattr(Sqlite, "write", noted)
    # Hot rows, superseded attempts, history, pushes, numbers, and what is remembered of the messages.
    await report(shelf, entry, 0, 4)
    assert handed == [6]


async def everything(shelf: SqlShelf, entry: Entry, first: int, size: int) -> list[str]:
    """Let each of eight endpoints per round do something else."""
    numbers = range(first, first + 8 * size, 8)
    return await run(shelf, entry, [said for number in numbers for said in of_every_kind(number)])


async def test_invariant_9_statements_per_batch_are_constant(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, *(waiting(entry, number) for number in range(1100)))
    # The first batch offers 2.0.0 to somebody for the first time.
    await report(shelf, entry, 0, 1)
    sizes = {size: await report(shelf, entry, first, size) for first, size in ((1, 1), (2, 10), (12, 1000))}
    assert {size: len(statements) for size, statements in sizes.items()} == dict.fromkeys(sizes, len(sizes[1]))
    assert len(sizes[1]) <= MOST, sizes[1]
    async with shelf.storage.reading() as connection:
        rows = (await connection.exec_driver_sql("SELECT count(*) FROM endpoint_state WHERE sequence = 2")).scalar()
    assert rows == 1012


async def test_invariant_9_statements_are_constant_whatever_the_messages_do(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, *(waiting(entry, number) for number in range(520)))
    failed = Setback(failures=1, retry_at=NOW + MINUTE, reason="no room")
    state = Endpoint(running=v("1.0.0"), registered_at=NOW, setbacks={v("1.1.0"): failed})
    await store(shelf, entry, *(newcomer(entry, f"set-back{number}", state) for number in range(0, 520, 8)))
    await everything(shelf, entry, 0, 1)
    few, many = await everything(shelf, entry, 8, 1), await everything(shelf, entry, 16, 62)
    assert many == few


async def test_invariant_9_statements_do_not_depend_on_the_size_of_the_fleet(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, *(waiting(entry, number) for number in range(10)))
    await report(shelf, entry, 0, 1)
    few = await report(shelf, entry, 1, 4)
    await store(shelf, entry, *(waiting(entry, number) for number in range(10, 10_000)))
    assert await report(shelf, entry, 5_000, 4) == few
