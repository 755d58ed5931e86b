"""PostgreSQL: rows go in as one array per column, and come out as rows; which of its errors may pass.

Rules:
- A batch of rows is one statement of one size: each column is one parameter, an array. So a statement is prepared once
  for each connection, whatever the batch.
- What is in an INSERT with ON CONFLICT twice by its key is an error here: callers give each key once.

Spec: PostgreSQL 15, appendix A (error codes), §9.19 (unnest).
Layer: persistence.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.exceptions._base import DataError as UnfitError  # what the driver cannot write as the server's type
from sqlalchemy import Boolean, Text
from sqlalchemy.dialects.postgresql import insert as upserting
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.engine import Dialect  # noqa: TC002 - mypy needs the name here
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from orchestrator.application.ports import StorageError, ValueRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select, Table
    from sqlalchemy.dialects.postgresql import Insert as Upsert
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.types import TypeEngine

    from orchestrator.persistence.drivers import Answer, Row, Statement

DIALECT: Dialect = dialect()  # type: ignore[no-untyped-call] # SQLAlchemy's class has no annotations

_PASSING = (
    "08",  # the connection is lost, or cannot be made
    "25006",  # a standby took the connection: its primary is being replaced
    "40",  # rolled back for another's sake: serialization, deadlock
    "53",  # no connection, memory or disk left
    "55P03",  # a lock was not to be had in time
    "57",  # shut down, crashed, starting, or a statement that took too long
    "58",  # the machine below: an error of the disk
)
_OF_VALUES = (
    "22",  # out of range, not a text
    "23",  # against a constraint
    "54",  # too large for a row or an index
)
_LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, PoolTimeoutError)
"""What a connection that is gone, or cannot be had, is told by without a code of the server."""
ERRORS = (DBAPIError, asyncpg.PostgresError, *_LOST)
"""All that comes of talking to a server."""


@lru_cache(maxsize=64)
def _arrays(table: Table, columns: tuple[str, ...]) -> tuple[str, tuple[int, ...]]:
    """The columns of a batch as a table `v`, and the places of those that are booleans."""
    kinds = [table.c[name].type for name in columns]
    texts = [_written(kind) for kind in kinds]
    arrays = ",".join(f"${place}::{text}[]" for place, text in enumerate(texts, 1))
    flags = tuple(place for place, kind in enumerate(kinds) if isinstance(kind, Boolean))
    return f"unnest({arrays}) AS v({','.join(columns)})", flags


def _written(kind: TypeEngine[Any]) -> str:
    # The driver has to ask the server what an array of VARCHAR is.
    return "TEXT" if isinstance(kind, Text) else kind.compile(DIALECT)


@lru_cache(maxsize=64)
def _insert_text(table: Table, columns: tuple[str, ...], conflict: str) -> str:
    given, _ = _arrays(table, columns)
    picked = ",".join(f"v.{name}" for name in columns)
    names = ",".join(columns)
    return f"INSERT INTO {table.name} ({names}) SELECT {picked} FROM {given} {conflict}"  # noqa: S608 - the schema's names


@lru_cache(maxsize=64)
def _update_text(table: Table, columns: tuple[str, ...]) -> str:
    given, _ = _arrays(table, columns)
    key, *rest = columns
    assignments = ",".join(f"{name}=v.{name}" for name in rest)
    return f"UPDATE {table.name} SET {assignments} FROM {given} WHERE {table.name}.{key} = v.{key}"  # noqa: S608 - the same


def _turned(table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> tuple[list[Any], ...]:
    """The values column by column."""
    turned: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    for place in _arrays(table, columns)[1]:
        turned[place] = [None if value is None else bool(value) for value in turned[place]]
    return tuple(turned)


async def _driver(connection: AsyncConnection) -> asyncpg.Connection:
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, asyncpg.Connection):
        raise TypeError(type(driver))
    return driver


class Postgresql:
    """Implements `drivers.Driver`."""

    @property
    def dialect(self) -> Dialect:
        """See `drivers.Driver.dialect`."""
        return DIALECT

    def gathered(self, statement: Select[Any]) -> Select[Any]:
        """Leave it as it is: the driver reads all rows of an answer at once."""
        return statement

    def rows(self, found: Sequence[Any]) -> Answer:
        """See `drivers.Driver.rows`."""
        return list(found)

    async def read(self, connection: AsyncConnection, statement: Statement) -> Sequence[Any]:
        """Run one statement as asyncpg does: prepared at its first use, and kept."""
        text, parameters = statement
        found: list[Any] = await (await _driver(connection)).fetch(text, *parameters)
        return found

    async def write(self, connection: AsyncConnection, statements: Sequence[Statement]) -> None:
        """Run them the same way, each on a way of its own: asyncpg sends the next when one is answered."""
        driver = await _driver(connection)
        for text, parameters in statements:
            await driver.fetch(text, *parameters)

    def insertion(self, table: Table, columns: Sequence[str], rows: Sequence[Row], conflict: str) -> list[Statement]:
        """See `dialects.insertion`."""
        names = tuple(columns)
        return [(_insert_text(table, names, conflict), _turned(table, names, rows))] if rows else []

    def rewriting(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> list[Statement]:
        """See `dialects.rewriting`."""
        names = tuple(columns)
        return [(_update_text(table, names), _turned(table, names, rows))] if rows else []

    def upsert(self, table: Table) -> Upsert:
        """See `drivers.Driver.upsert`."""
        return upserting(table)

    def own(self, error: BaseException) -> BaseException | None:
        """See `drivers.Driver.own`."""
        origin: BaseException | None = error
        if isinstance(error, DBAPIError) and error.orig is not None:
            # SQLAlchemy's adapter has an error of its own between its wrapper and asyncpg's.
            origin = error.orig.__cause__ or error.orig
        return origin if isinstance(origin, (asyncpg.PostgresError, *_LOST)) else None

    def told(self, error: BaseException) -> StorageError:
        """Tell by its code what concurrency, a restart or want of room may cause from what stays wrong, and values."""
        code = str(getattr(error, "sqlstate", ""))
        if code.startswith(_OF_VALUES) or isinstance(error, UnfitError):
            return ValueRefusedError(str(error) or type(error).__name__)
        transient = isinstance(error, _LOST)
        if isinstance(error, asyncpg.PostgresError):
            transient = code.startswith(_PASSING)
        return StorageError(str(error) or type(error).__name__, transient=transient)
