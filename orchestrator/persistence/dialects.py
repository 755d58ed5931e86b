"""The one way to statements that take or give many rows, on whichever database a connection leads to.

Rules:
- A batch of rows is one statement, in both directions: see `sqlite` and `postgresql`.
- A statement that never changes is compiled once for each kind of database.

Layer: persistence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select

from orchestrator.persistence.drivers import Compiled, Driver, Row
from orchestrator.persistence.postgresql import Postgresql
from orchestrator.persistence.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Insert, Table, Update
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from orchestrator.application.ports import StorageError
    from orchestrator.persistence.drivers import Answer, Upsert

__all__ = ["Prepared", "Row", "fetch", "insert", "prepared", "rows", "run", "update", "upsert"]

DRIVERS: Mapping[str, Driver] = {"sqlite": Sqlite(), "postgresql": Postgresql()}
"""By SQLAlchemy's name."""


def driver_of(bind: AsyncConnection | AsyncEngine) -> Driver:
    """The kind of database that a connection or an engine leads to."""
    return DRIVERS[bind.dialect.name]


async def insert(
    connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Row], *, conflict: str = ""
) -> None:
    """Insert rows, given in the order of `columns`; the first column must not be null. `conflict` is an ON CONFLICT."""
    await driver_of(connection).insert(connection, table, columns, rows, conflict)


async def update(connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Rewrite rows that exist, found by the first of `columns`, their integer key."""
    await driver_of(connection).update(connection, table, columns, rows)


def rows(columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """Start a SELECT whose rows are read all at once, by `fetch`, in no order."""
    return select(*columns)


class Prepared:
    """A statement that never changes."""

    def __init__(self, statement: Select[Any] | Insert | Update) -> None:
        """It is compiled at its first use."""
        self._statement = statement
        self._compiled: dict[Driver, Compiled] = {}

    def on(self, driver: Driver) -> Compiled:
        """The statement as a kind of database reads it."""
        compiled = self._compiled.get(driver)
        if compiled is None:
            compiled = self._compiled[driver] = self._compile(driver)
        return compiled

    def _compile(self, driver: Driver) -> Compiled:
        statement = self._statement
        if isinstance(statement, Select):
            statement = driver.gathered(statement)
        found = statement.compile(dialect=driver.dialect)
        return Compiled(str(found), tuple(found.positiontup or ()), dict(found.params))


prepared = Prepared


async def run(connection: AsyncConnection, statement: Prepared, parameters: Mapping[str, Any]) -> None:
    """Run a prepared statement that answers nothing; parameters that it does not name are left aside."""
    await _run(connection, statement, parameters)


async def fetch(connection: AsyncConnection, statement: Select[Any] | Prepared, **parameters: object) -> Answer:
    """Run a statement made by `rows`, prepared or not; return its rows."""
    driver = driver_of(connection)
    if isinstance(statement, Prepared):
        return driver.rows(await _run(connection, statement, parameters))
    return driver.rows((await connection.execute(driver.gathered(statement), parameters)).all())


async def _run(connection: AsyncConnection, statement: Prepared, parameters: Mapping[str, Any]) -> Sequence[Any]:
    driver = driver_of(connection)
    compiled = statement.on(driver)
    values = {**compiled.fixed, **parameters}
    return await driver.run(connection, compiled.text, tuple(values[name] for name in compiled.names))


def upsert(connection: AsyncConnection, table: Table) -> Upsert:
    """Start an INSERT that may have an ON CONFLICT."""
    return driver_of(connection).upsert(table)


def translated(bind: AsyncConnection | AsyncEngine, error: BaseException) -> StorageError | None:
    """What an error of the driver means to a caller; None when it is another's error."""
    driver = driver_of(bind)
    origin = driver.own(error)
    return None if origin is None else driver.told(origin)
