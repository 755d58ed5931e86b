"""How a database says that it would find the rows of a statement.

Rules:
- Every statement counts, whether it goes by SQLAlchemy or past it to the driver.
- It is asked after the work, of the connection that writes, with the parameters that the statement had. It is
  tried as well, and what it looks at counted: an index that finds all endpoints of an application is a scan, too.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiosqlite
from sqlalchemy import event

from orchestrator.persistence import dialects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.persistence.drivers import Statement
    from tests.contract.storages import SqlShelf

MANY = 1000
"""More rows than what is asked about a few endpoints needs."""
THOUSANDS = 10
"""Of steps of SQLite's machine: it takes several for each row that it looks at."""
_ASKED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")


@contextmanager
def noted(shelf: SqlShelf) -> Iterator[list[Statement]]:
    """Collect what a storage has its database do, readers and writer."""
    statements: list[Statement] = []
    engines = (shelf.storage._writer.sync_engine, shelf.storage._readers.sync_engine)
    driver = dialects.driver_of(shelf.storage._writer)
    read, write = driver.read, driver.write

    async def reading(connection: AsyncConnection, statement: Statement) -> Sequence[Any]:
        statements.append(statement)
        return await read(connection, statement)

    async def writing(connection: AsyncConnection, given: Sequence[Statement]) -> None:
        statements.extend(given)
        await write(connection, given)

    def executing(*given: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        statements.append((given[2], tuple(given[3])))

    vars(driver).update(read=reading, write=writing)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", executing)
    try:
        yield statements
    finally:
        vars(driver).clear()
        for engine in engines:
            event.remove(engine, "before_cursor_execute", executing)


async def scanned(shelf: SqlShelf, statements: Sequence[Statement]) -> dict[str, list[str]]:
    """What each statement, by its text, would read from end to end, or too much of: tables.

    SQLite names them as the statement does, by their alias where they have one.
    """
    found = {}
    async with shelf.storage._writer.connect() as connection:
        ask = _of_sqlite if connection.dialect.name == "sqlite" else _of_postgresql
        for text, parameters in statements:
            if text.startswith(_ASKED):
                found[text] = await ask(connection, text, parameters)
    return found


async def _of_sqlite(connection: AsyncConnection, text: str, parameters: tuple[Any, ...]) -> list[str]:
    rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)
    steps = [row.detail.split() for row in rows]
    # What the statement itself makes is made by steps of its own; rows that it was given are no table.
    made = {step[1] for step in steps if step[0] in {"CO-ROUTINE", "MATERIALIZE"}}
    scans = [step for step in steps if step[0] == "SCAN" and not {"CONSTANT", "VIRTUAL"} & set(step)]
    found = [step[1] for step in scans if step[1] not in made]
    return found if text.startswith("INSERT") or await _cheap(connection, text, parameters) else [*found, "much"]


async def _cheap(connection: AsyncConnection, text: str, parameters: tuple[Any, ...]) -> bool:
    """Try a statement; return whether SQLite took few steps for it."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, aiosqlite.Connection)
    thousands: list[None] = []
    await driver.set_progress_handler(lambda: thousands.append(None), 1000)
    begun = await connection.begin_nested()
    await connection.exec_driver_sql(text, parameters)
    await begun.rollback()
    await driver.set_progress_handler(lambda: 0, 0)
    return len(thousands) <= THOUSANDS


async def _of_postgresql(connection: AsyncConnection, text: str, parameters: tuple[Any, ...]) -> list[str]:
    # An INSERT looks for nothing, and cannot be done again.
    how = "" if text.startswith("INSERT") else "ANALYZE, "
    begun = await connection.begin_nested()
    told = (await connection.exec_driver_sql(f"EXPLAIN ({how}FORMAT JSON) {text}", parameters)).scalar_one()
    await begun.rollback()
    (explained,) = json.loads(told) if isinstance(told, str) else told
    return list(_scans(explained["Plan"]))


def _scans(node: dict[str, Any], *, limited: bool = False) -> Iterator[str]:
    """The tables that a plan reads from end to end, by themselves or along an index; `limited`: it stops early."""
    kind = node["Node Type"]
    whole = kind.startswith(("Index", "Bitmap Index")) and "Index Cond" not in node
    if kind == "Seq Scan" or (whole and ("Filter" in node or not limited)) or _rows(node) > MANY:
        yield node.get("Relation Name", kind)
    for part in node.get("Plans", ()):
        yield from _scans(part, limited=kind == "Limit")


def _rows(node: dict[str, Any]) -> int:
    """How many rows a node has looked at, as far as that was tried."""
    each = node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)
    return int(each * node.get("Actual Loops", 0))
