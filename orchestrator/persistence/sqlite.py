"""SQLite: rows go in as one VALUES list and come out as one JSON text; how a connection is set up.

Rules:
- A batch of rows is one step of the database, in both directions. Row-wise fetching or executing hands the interpreter
  lock back once per row, which under a busy event loop costs ten times the throughput.
- Statements exist in a few sizes; a batch is padded with rows whose first column is null, and these are ignored.
- The largest size holds what 1,000 messages cause, so that the number of statements does not grow with the batch.

Layer: persistence.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import aiosqlite
import orjson
from sqlalchemy import func
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.dialects.sqlite import insert as upserting
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.schema import CreateTable

from orchestrator.application.ports import StorageError, ValueRefusedError
from orchestrator.persistence import temporary
from orchestrator.persistence.functions import FUNCTIONS
from orchestrator.persistence.refusals import DatabaseDamagedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection as SqliteConnection

    from sqlalchemy import Select, Table
    from sqlalchemy.dialects.sqlite import Insert as Upsert
    from sqlalchemy.engine import Dialect
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.persistence.drivers import Answer, Row, Statement

_DIALECT = dialect(paramstyle="qmark")

SIZES = (1, 8, 64, 256, 512, 1000, 2000, 4000)
"""Rows of a statement; 1,000 messages write two history entries each, or three, and seldom four."""
READERS_CACHE_KIB = 8_000
"""A reader forgets its pages whenever something was committed."""
WRITERS_CACHE_KIB = 16_000
"""The writer keeps its pages: each of a batch's endpoints is on a page of its own. Taken as it is needed."""
VARIABLES = 32_766
"""Values that a statement of SQLite takes, unless it was built otherwise."""

_OF_VALUES = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""Against a constraint, too large, or nothing that can be bound."""

# Otherwise the driver looks for an adapter of each null that is bound, in vain and holding the interpreter's lock: a
# third of the time that binding a batch takes. Any quick function that answers null will do.
_NULLS: dict[None, None] = {}
sqlite3.register_adapter(type(None), _NULLS.get)


def configure(connection: SqliteConnection, cache_kib: int = READERS_CACHE_KIB) -> None:
    """Set a new connection up: WAL, durable commits, rare checkpoints, foreign keys, functions of ours."""
    for name, function in FUNCTIONS.items():
        connection.create_function(name, 1, function, deterministic=True)
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "wal_autocheckpoint=100000",
        f"cache_size=-{cache_kib}",
        "busy_timeout=10000",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.execute("PRAGMA temp_store=MEMORY")
    for table in temporary.metadata.sorted_tables:
        cursor.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
    cursor.close()


def _values(width: int, size: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return "VALUES " + ",".join([row] * size)


def begin(connection: Any, text: str) -> None:  # noqa: ANN401 - SQLAlchemy's adapter of the driver's connection
    """Begin a transaction in one visit to the driver's thread; a cursor of SQLAlchemy's takes three."""
    connection.run_async(lambda driver: driver.execute_fetchall(text))


@lru_cache(maxsize=256)
def _insert_text(table: str, columns: tuple[str, ...], size: int, conflict: str) -> str:
    picked = ",".join(f"column{n}" for n in range(1, len(columns) + 1))
    return (
        f"INSERT INTO {table} ({','.join(columns)}) SELECT {picked} "  # noqa: S608 - names come from the schema
        f"FROM ({_values(len(columns), size)}) WHERE column1 IS NOT NULL {conflict}"
    )


@lru_cache(maxsize=64)
def _update_text(table: str, columns: tuple[str, ...], size: int) -> str:
    key, *rest = columns
    assignments = ",".join(f"{name}=v.column{n}" for n, name in enumerate(rest, 2))
    return (
        f"UPDATE {table} SET {assignments} FROM ({_values(len(columns), size)}) AS v "  # noqa: S608 - the same
        f"WHERE {table}.{key} = v.column1"
    )


def _parts(rows: Sequence[Row], width: int) -> list[tuple[Sequence[Row], int]]:
    largest = max(size for size in SIZES if size * width <= VARIABLES)
    parts = [rows[start : start + largest] for start in range(0, len(rows), largest)]
    return [(part, next(size for size in SIZES if size >= len(part))) for part in parts]


def _flat(rows: Sequence[Row], width: int, size: int) -> Row:
    return (*chain.from_iterable(rows), *((None,) * (width * (size - len(rows)))))


async def _driver(connection: AsyncConnection) -> aiosqlite.Connection:
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, aiosqlite.Connection):
        raise TypeError(type(driver))
    return driver


class Sqlite:
    """Implements `drivers.Driver`."""

    @property
    def dialect(self) -> Dialect:
        """See `drivers.Driver.dialect`."""
        return _DIALECT

    def gathered(self, statement: Select[Any]) -> Select[Any]:
        """See `drivers.Driver.gathered`."""
        columns = statement.selected_columns
        return statement.with_only_columns(func.json_group_array(func.json_array(*columns)), maintain_column_froms=True)

    def rows(self, found: Sequence[Any]) -> Answer:
        """See `drivers.Driver.rows`."""
        ((text,),) = found
        rows: list[list[Any]] = orjson.loads(text)
        return rows

    async def read(self, connection: AsyncConnection, statement: Statement) -> Sequence[Any]:
        """Run one statement in one visit to the driver's thread; a cursor of SQLAlchemy's takes four."""
        return list(await (await _driver(connection)).execute_fetchall(*statement))

    async def write(self, connection: AsyncConnection, statements: Sequence[Statement]) -> None:
        """Run all of them in one visit: the event loop has other things to do meanwhile."""
        driver = await _driver(connection)

        def run() -> None:
            for text, parameters in statements:
                driver._conn.execute(text, parameters).close()  # noqa: SLF001 - aiosqlite visits once a statement

        await driver._execute(run)  # type: ignore[no-untyped-call]  # noqa: SLF001 - the same

    def insertion(self, table: Table, columns: Sequence[str], rows: Sequence[Row], conflict: str) -> list[Statement]:
        """See `dialects.insertion`."""
        width = len(columns)
        return [
            (_insert_text(table.name, tuple(columns), size, conflict), _flat(part, width, size))
            for part, size in _parts(rows, width)
        ]

    def rewriting(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> list[Statement]:
        """See `dialects.rewriting`."""
        width = len(columns)
        return [
            (_update_text(table.name, tuple(columns), size), _flat(part, width, size))
            for part, size in _parts(rows, width)
        ]

    def upsert(self, table: Table) -> Upsert:
        """See `drivers.Driver.upsert`."""
        return upserting(table)

    def own(self, error: BaseException) -> BaseException | None:
        """See `drivers.Driver.own`."""
        origin = error.orig if isinstance(error, DBAPIError) else error
        return origin if isinstance(origin, (sqlite3.Error, PoolTimeoutError)) else None

    def told(self, error: BaseException) -> StorageError:
        """Tell what concurrency or a full disk may cause from what stays wrong, and from a value that is not taken."""
        if isinstance(error, PoolTimeoutError):
            return StorageError(str(error), transient=True)
        if damaged(error):
            return DatabaseDamagedError("the database", str(error))
        if isinstance(error, _OF_VALUES):
            return ValueRefusedError(str(error))
        return StorageError(str(error), transient=isinstance(error, sqlite3.OperationalError))


def damaged(error: BaseException | None) -> bool:
    """Whether an error says that the file is no database any more."""
    return getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
