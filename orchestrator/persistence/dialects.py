"""The one way to statements that take or give many rows, on whichever database a connection leads to.

Rules:
- A batch of rows is one statement, in both directions: see `sqlite` and `postgresql`.
- A statement that never changes is compiled once for each kind of database.

Layer: persistence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, TypeDecorator, select
from sqlalchemy.sql.compiler import SQLCompiler

from orchestrator.persistence.drivers import Compiled, Driver, Row
from orchestrator.persistence.postgresql import Postgresql
from orchestrator.persistence.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Delete, Insert, Table, Update
    from sqlalchemy.engine import Dialect
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.types import TypeEngine

    from orchestrator.application.ports import StorageError
    from orchestrator.persistence.drivers import Answer, Statement, Upsert

__all__ = [
    "Prepared",
    "Row",
    "fetch",
    "filled",
    "insert",
    "insertion",
    "prepared",
    "rewriting",
    "rows",
    "run",
    "update",
    "upsert",
    "write",
]

DRIVERS: Mapping[str, Driver] = {"sqlite": Sqlite(), "postgresql": Postgresql()}
"""By SQLAlchemy's name."""


def driver_of(bind: AsyncConnection | AsyncEngine) -> Driver:
    """The kind of database that a connection or an engine leads to."""
    return DRIVERS[bind.dialect.name]


def insertion(
    connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Row], *, conflict: str = ""
) -> list[Statement]:
    """How rows, given in the order of `columns`, are inserted; the first column must not be null.

    `conflict` is an ON CONFLICT. None for no rows.
    """
    return driver_of(connection).insertion(table, columns, rows, conflict)


def rewriting(
    connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Row]
) -> list[Statement]:
    """How rows that exist, found by the first of `columns`, their integer key, are rewritten. None for no rows."""
    return driver_of(connection).rewriting(table, columns, rows)


async def write(connection: AsyncConnection, statements: Sequence[Statement]) -> None:
    """Run statements that answer nothing, in their order."""
    if statements:
        await driver_of(connection).write(connection, statements)


async def insert(
    connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Row], *, conflict: str = ""
) -> None:
    """Insert rows at once; see `insertion`."""
    await write(connection, insertion(connection, table, columns, rows, conflict=conflict))


async def update(connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Rewrite rows at once; see `rewriting`."""
    await write(connection, rewriting(connection, table, columns, rows))


def rows(columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """Start a SELECT whose rows are read all at once, by `fetch`, in no order."""
    return select(*columns)


class Prepared:
    """A statement that never changes."""

    def __init__(self, statement: Select[Any] | Insert | Update | Delete) -> None:
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
        compiled = statement.compile(dialect=driver.dialect)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(type(compiled))
        # Lists of values are written out, and values go in as their types have them.
        named = {bind.key for bind in compiled.binds.values() if bind.required}
        found = compiled.construct_expanded_state(dict.fromkeys(named), escape_names=False)
        converts = {bind.key: _converter(bind.type, driver.dialect) for bind in compiled.binds.values()}
        converts |= found.processors
        values = ((name, value, converts.get(name)) for name, value in found.parameters.items() if name not in named)
        fixed = {name: value if convert is None else convert(value) for name, value, convert in values}
        return Compiled(found.statement, tuple(found.positiontup or ()), fixed)


prepared = Prepared


def _converter(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """What makes a value of a type into one for the driver, if anything does."""
    own = kind if isinstance(kind, TypeDecorator) else kind.dialect_impl(dialect)
    convert: Callable[[Any], Any] | None = own.bind_processor(dialect)
    return convert


async def run(connection: AsyncConnection, statement: Prepared, parameters: Mapping[str, Any]) -> None:
    """Run a prepared statement that answers nothing; parameters that it does not name are left aside."""
    await write(connection, [filled(connection, statement, parameters)])


def filled(connection: AsyncConnection, statement: Prepared, parameters: Mapping[str, Any]) -> Statement:
    """A prepared statement with its parameters; those that it does not name are left aside."""
    compiled = statement.on(driver_of(connection))
    values = {**compiled.fixed, **parameters}
    return compiled.text, tuple(values[name] for name in compiled.names)


async def fetch(connection: AsyncConnection, statement: Select[Any] | Prepared, **parameters: object) -> Answer:
    """Run a statement made by `rows`, prepared or not; return its rows."""
    driver = driver_of(connection)
    if isinstance(statement, Prepared):
        return driver.rows(await driver.read(connection, filled(connection, statement, parameters)))
    return driver.rows((await connection.execute(driver.gathered(statement), parameters)).all())


def upsert(connection: AsyncConnection, table: Table) -> Upsert:
    """Start an INSERT that may have an ON CONFLICT."""
    return driver_of(connection).upsert(table)


def translated(bind: AsyncConnection | AsyncEngine, error: BaseException) -> StorageError | None:
    """What an error of the driver means to a caller; None when it is another's error."""
    driver = driver_of(bind)
    origin = driver.own(error)
    return None if origin is None else driver.told(origin)
