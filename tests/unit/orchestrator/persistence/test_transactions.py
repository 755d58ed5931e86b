from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application import batches
from orchestrator.application.batches import Batch, Settings
from orchestrator.application.directory import Directory
from orchestrator.application.floods import Floods
from orchestrator.application.rooms import Rooms
from orchestrator.domain.endpoints import Endpoint, Setback
from orchestrator.persistence.sqlite import Sqlite
from protocol.links import Inbound
from protocol.payloads import Limits
from protocol.topics import Instances
from tests.contract.storages import MINUTE, NOW, newcomer, store
from tests.unit.orchestrator.domain.builders import offer, v
from tests.unit.orchestrator.persistence.statements import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Draft
    from orchestrator.persistence.drivers import Statement
    from tests.contract.storages import SqlShelf

SETTINGS = Settings(instances=Instances(), limits=Limits())
MOST = 10
"""Statements of a batch, begin and commit apart (DESIGN §7)."""


def waiting(entry: Entry, number: int) -> Draft:
    """An endpoint on 1.0.0 that is offered 1.1.0."""
    state = Endpoint(running=v("1.0.0"), registered_at=NOW, attempt=offer("1.1.0"), sequence=1)
    draft = newcomer(entry, f"tok{number}", state)
    draft.push = True
    return draft


async def run(shelf: SqlShelf, entry: Entry, said: Sequence[tuple[str, str, str]]) -> list[str]:
    """Process (instance and token, resource, payload) as one batch; return the statements."""
    app_version = entry.application.app_versions[0]
    messages = [
        Inbound(topic=f"kp1/{app_version}/{place}/{resource}", payload=payload.encode(), qos=1, packet_id=number)
        for number, (place, resource, payload) in enumerate(said, 1)
    ]
    directory, batch = Directory([entry]), Batch()
    parsed = batches.parse(messages, directory, SETTINGS, {}, batch, floods=Floods(), at=NOW)
    async with counted(shelf) as statements, shelf.storage.transaction() as transaction:
        application = batches.Application(transaction, directory, SETTINGS, batch, rooms=Rooms(), watermark=2**40)
        await application.run(parsed, NOW, lambda _: None)
    assert batch.accepted.total() == len(said)
    entry.freeze(batch.offered.get(entry.application.key, set()), NOW)
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
    """Let each of eight endpoints per round do something else, new endpoints and versions never heard of included."""
    said = []
    for number in range(first, first + 8 * size, 8):
        said += [
            (f"cmx_ota/tok{number}", "applied/json/1", '{"configId":"1.1.0"}'),
            (f"cmx_ota/tok{number + 1}", "applied/json/1", '{"configId":"1.1.0","statusCode":500}'),
            (f"cmx_ota/tok{number + 2}", "applied/json/1", f'{{"configId":"7.{number}.0"}}'),
            (f"cmx_ota/tok{number + 3}", "config/json/1", '{"observe":false}'),
            (f"cmx_ota/tok{number + 4}", "progress/json/1", '{"configId":"1.1.0","state":"installing"}'),
            (f"epmx/tok{number + 5}", "update/keys/1", '{"site":"lab"}'),
            (f"cmx_ota/set-back{number}", "config/json/1", "{}"),
            (f"cmx_ota/new{number}", "config/json/1", '{"configId":"1.0.0"}'),
        ]
    return await run(shelf, entry, said)


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
