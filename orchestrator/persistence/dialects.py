"""What differs between databases: how many rows travel in one statement, and connection settings.

Rules:
- A batch of rows is one statement and one step of the database, in both directions. Row-wise fetching or executing
  hands the interpreter lock back once per row, which under a busy event loop costs ten times the throughput.
- Statements exist in a few sizes; a batch is padded with rows whose first column is null, and these are ignored.
- The largest size holds what 500 messages can cause, so that the number of statements does not grow with the batch.

Layer: persistence. Today: SQLite.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import aiosqlite
import orjson
from sqlalchemy import case, func, literal, select
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.dialects.sqlite import insert as upserting
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from orchestrator.persistence import temporary
from orchestrator.persistence.functions import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from sqlite3 import Connection as SqliteConnection

    from sqlalchemy import ColumnElement, FromClause, Insert, Select, Table, Update
    from sqlalchemy.dialects.sqlite import Insert as Upsert
    from sqlalchemy.ext.asyncio import AsyncConnection

Value = int | float | str | bytes | None
Row = tuple[Value, ...]
"""One row, in the order of the columns named beside it."""

_DIALECT = dialect(paramstyle="qmark")

SIZES = (1, 8, 64, 512, 1536, 2560)
"""Rows of a statement; 500 messages write at most five history entries each, and mostly three."""
VARIABLES = 32_766
"""Values that a statement of SQLite takes, unless it was built otherwise."""


def configure(connection: SqliteConnection) -> None:
    """Set a new SQLite connection up: WAL, durable commits, rare checkpoints, foreign keys, functions of ours."""
    for name, function in FUNCTIONS.items():
        connection.create_function(name, 1, function, deterministic=True)
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "wal_autocheckpoint=100000",
        "cache_size=-8000",
        "busy_timeout=10000",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.execute("PRAGMA temp_store=MEMORY")
    for table in temporary.metadata.sorted_tables:
        cursor.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
    cursor.close()


@lru_cache(maxsize=256)
def _values(width: int, size: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return "VALUES " + ",".join([row] * size)


def _insert_text(table: str, columns: Sequence[str], size: int, conflict: str) -> str:
    picked = ",".join(f"column{n}" for n in range(1, len(columns) + 1))
    return (
        f"INSERT INTO {table} ({','.join(columns)}) SELECT {picked} "  # noqa: S608 - names come from the schema
        f"FROM ({_values(len(columns), size)}) WHERE column1 IS NOT NULL {conflict}"
    )


def _update_text(table: str, columns: Sequence[str], size: int) -> str:
    key, *rest = columns
    assignments = ",".join(f"{name}=v.column{n}" for n, name in enumerate(rest, 2))
    return (
        f"UPDATE {table} SET {assignments} FROM ({_values(len(columns), size)}) AS v "  # noqa: S608 - the same
        f"WHERE {table}.{key} = v.column1"
    )


async def insert(
    connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Row], *, conflict: str = ""
) -> None:
    """Insert rows, given in the order of `columns`; the first column must not be null. `conflict` is an ON CONFLICT."""
    for part, size in _parts(rows, len(columns)):
        text = _insert_text(table.name, tuple(columns), size, conflict)
        await _run(connection, text, _flat(part, len(columns), size))


async def update(connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Rewrite rows that exist, found by the first of `columns`, their integer key."""
    for part, size in _parts(rows, len(columns)):
        text = _update_text(table.name, tuple(columns), size)
        await _run(connection, text, _flat(part, len(columns), size))


def _parts(rows: Sequence[Row], width: int) -> list[tuple[Sequence[Row], int]]:
    largest = max(size for size in SIZES if size * width <= VARIABLES)
    parts = [rows[start : start + largest] for start in range(0, len(rows), largest)]
    return [(part, next(size for size in SIZES if size >= len(part))) for part in parts]


def _flat(rows: Sequence[Row], width: int, size: int) -> Row:
    return (*chain.from_iterable(rows), *((None,) * (width * (size - len(rows)))))


def rows_as_json(columns: Sequence[ColumnElement[Any]]) -> Select[str]:
    """Start a SELECT that answers all its rows in one JSON text; read it with `fetch`."""
    return select(func.json_group_array(func.json_array(*columns)))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that never changes, compiled once."""

    text: str
    names: tuple[str, ...]
    """Its parameters in the order of their places."""
    fixed: dict[str, Any]
    """Those that have a value of their own."""


def prepared(statement: Select[str] | Insert | Update) -> Prepared:
    """Compile a statement that never changes."""
    compiled = statement.compile(dialect=_DIALECT)
    return Prepared(str(compiled), tuple(compiled.positiontup or ()), dict(compiled.params))


async def run(connection: AsyncConnection, statement: Prepared, parameters: Mapping[str, Any]) -> None:
    """Run a prepared statement that answers nothing; parameters that it does not name are left aside."""
    values = {**statement.fixed, **parameters}
    await _run(connection, statement.text, tuple(values[name] for name in statement.names))


async def fetch(
    connection: AsyncConnection, statement: Select[str] | Prepared, **parameters: object
) -> list[list[Any]]:
    """Run a statement made by `rows_as_json`, prepared or not; return its rows."""
    if isinstance(statement, Prepared):
        values = statement.fixed | parameters
        ((text,),) = await _run(connection, statement.text, tuple(values[name] for name in statement.names))
    else:
        text = (await connection.execute(statement, parameters)).scalar_one()
    rows: list[list[Any]] = orjson.loads(text)
    return rows


async def _run(connection: AsyncConnection, text: str, parameters: tuple[Any, ...]) -> Iterable[Any]:
    """Run one statement in one visit to the driver's thread; a cursor of SQLAlchemy's takes four."""
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, aiosqlite.Connection):
        raise TypeError(type(driver))
    return await driver.execute_fetchall(text, parameters)


def text_member(document: ColumnElement[str], name: str) -> ColumnElement[str]:
    """The member of a JSON object, where it is a text; else an empty one."""
    path = f'$."{name}"'
    return case((func.json_type(document, path) == "text", func.json_extract(document, path)), else_="")


def upsert(table: Table) -> Upsert:
    """Start an INSERT that may have an ON CONFLICT."""
    return upserting(table)


def driver_error(error: BaseException) -> BaseException | None:
    """The driver's own error, wrapped by SQLAlchemy or not; None when it is another's."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return origin if isinstance(origin, sqlite3.Error) else None


def listed(parameter: ColumnElement[str], name: str) -> FromClause:
    """A table of one column `value`: the items of a JSON array given as one parameter."""
    return func.json_each(parameter).table_valued("value", name=name)


def listed_here(items: Sequence[int]) -> ColumnElement[int]:
    """The column of a table that holds these numbers."""
    value: ColumnElement[int] = listed(literal(listing(items)), "given").c.value
    return value


def listing(items: Sequence[object]) -> str:
    """The parameter that `listed` reads."""
    return orjson.dumps(items).decode()
