from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import bindparam, literal
from sqlalchemy.exc import OperationalError

from orchestrator.persistence import dialects, elements, schema
from tests.unit.orchestrator.persistence.statements import counted

if TYPE_CHECKING:
    from tests.contract.storages import SqlShelf

DELIVERY = ("packet_id", "digest")


@pytest.mark.parametrize("amount", [0, 1, 2, 8, 9, 513, 4001])
async def test_rows_go_in_whatever_their_number(shelf: SqlShelf, amount: int) -> None:
    rows = [(number, number * 2) for number in range(amount)]
    async with shelf.storage.transaction() as transaction:
        await dialects.insert(transaction._connection, schema.delivery, DELIVERY, rows)
    assert await shelf.storage.deliveries() == dict(rows)


async def test_a_batch_of_1000_is_one_statement_in_every_table(shelf: SqlShelf) -> None:
    async with counted(shelf) as statements, shelf.storage.transaction() as transaction:
        for table in (schema.history, schema.endpoint_state, schema.push):
            names = [column.name for column in table.columns]
            amount = 4000 if table is schema.history else 1000
            rows = [(number, *[0] * (len(names) - 1)) for number in range(1, amount + 1)]
            await dialects.insert(transaction._connection, table, names, rows)
    assert len(statements) == 3


async def test_rows_are_rewritten_by_their_key_and_others_left(shelf: SqlShelf) -> None:
    async with shelf.storage.transaction() as transaction:
        connection = transaction._connection
        await dialects.insert(connection, schema.delivery, DELIVERY, [(1, 1), (2, 2), (3, 3)])
        await dialects.update(connection, schema.delivery, DELIVERY, [(1, 10), (3, 30), (4, 40)])
    assert await shelf.storage.deliveries() == {1: 10, 2: 2, 3: 30}


async def test_rows_come_out_as_they_went_in(shelf: SqlShelf) -> None:
    texts = ["", "läb", '"o\'clock"', "日本", "a\nb"]
    async with shelf.storage.transaction() as transaction:
        connection = transaction._connection
        rows = [(number, 0, text) for number, text in enumerate(texts, 1)]
        await dialects.insert(connection, schema.push, ("revision", "endpoint_id", "topic"), rows)
        statement = dialects.rows([schema.push.c.revision, schema.push.c.topic])
        assert await dialects.fetch(connection, statement) == [[number, text] for number, text in enumerate(texts, 1)]
        nothing = statement.where(schema.push.c.revision > 99)
        assert await dialects.fetch(connection, nothing) == []


async def test_a_statement_compiled_once_answers_as_it_does_otherwise(shelf: SqlShelf) -> None:
    delivery = schema.delivery.c
    statement = dialects.rows([delivery.packet_id, delivery.digest]).where(
        delivery.packet_id > bindparam("low"), delivery.digest < bindparam("high"), delivery.digest != 40
    )
    prepared = dialects.prepared(statement)
    async with shelf.storage.transaction() as transaction:
        connection = transaction._connection
        await dialects.insert(connection, schema.delivery, DELIVERY, [(number, number * 10) for number in range(9)])
        for low, high in ((2, 60), (0, 20), (8, 0)):
            expected = await dialects.fetch(connection, statement, low=low, high=high)
            assert await dialects.fetch(connection, prepared, high=high, low=low) == expected


async def test_lists_and_values_of_types_of_ours_are_in_what_is_compiled_once(shelf: SqlShelf) -> None:
    delivery = schema.delivery.c
    halved = delivery.digest * literal(0.5, elements.Number())
    statement = dialects.rows([delivery.packet_id]).where(
        delivery.packet_id.in_([2, 3, 5]), halved > literal(10, elements.Number()), delivery.digest < bindparam("high")
    )
    async with shelf.storage.transaction() as transaction:
        await dialects.insert(
            transaction._connection, schema.delivery, DELIVERY, [(number, number * 10) for number in range(9)]
        )
        assert await dialects.fetch(transaction._connection, dialects.prepared(statement), high=50) == [[3]]
    compiled = dialects.prepared(statement).on(dialects.DRIVERS["postgresql"])
    assert [compiled.fixed[name] for name in compiled.names if name != "high"] == [Decimal("0.5"), Decimal(10), 2, 3, 5]


async def test_errors_of_the_driver_become_those_of_storage_and_others_stay(shelf: SqlShelf) -> None:
    async with shelf.storage.reading() as connection:
        own = sqlite3.OperationalError("database is locked")
        told = dialects.translated(connection, OperationalError("", {}, own))
        assert told is not None
        assert (told.reason, told.transient) == ("database is locked", True)
        assert dialects.translated(connection, ZeroDivisionError()) is None
