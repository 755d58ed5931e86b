"""What differs between databases, as a role: how rows travel, how errors are told, and what a statement looks like.

Rules:
- A batch of rows is one statement in both directions, whatever the database.
- Statements that answer nothing are handed over together: each way to the database and back costs.
- `errors` of a driver end here: everybody else asks whether trying again may help.

Layer: persistence; implemented by `sqlite` and `postgresql`, chosen by `dialects`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
    from sqlalchemy.engine import Dialect
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.ports import StorageError

    Upsert: TypeAlias = SqliteInsert | PostgresqlInsert

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = tuple[Value, ...]
"""One row, in the order of the columns named beside it."""
Statement: TypeAlias = tuple[str, tuple[Any, ...]]
"""The text of a statement, and its parameters in the order of their places."""
Answer: TypeAlias = list[Any]
"""Rows that were read, each a sequence of values."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as one kind of database reads it."""

    text: str
    names: tuple[str, ...]
    """Its parameters in the order of their places."""
    fixed: dict[str, Any]
    """Those that have a value of their own."""


class Driver(Protocol):
    """One kind of database."""

    @property
    def dialect(self) -> Dialect:
        """How statements are written."""

    def gathered(self, statement: Select[Any]) -> Select[Any]:
        """The same statement, in the form in which all its rows travel at once."""

    def rows(self, found: Sequence[Any]) -> Answer:
        """The rows of a statement that `gathered` made."""

    async def read(self, connection: AsyncConnection, statement: Statement) -> Sequence[Any]:
        """Run one statement past SQLAlchemy, on the connection's own driver; return its rows."""

    async def write(self, connection: AsyncConnection, statements: Sequence[Statement]) -> None:
        """Run statements the same way, one after the other; see `dialects.write`."""

    def insertion(self, table: Table, columns: Sequence[str], rows: Sequence[Row], conflict: str) -> list[Statement]:
        """See `dialects.insertion`."""

    def rewriting(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> list[Statement]:
        """See `dialects.rewriting`."""

    def upsert(self, table: Table) -> Upsert:
        """Start an INSERT that may have an ON CONFLICT."""

    def own(self, error: BaseException) -> BaseException | None:
        """The driver's own error, wrapped by SQLAlchemy or not; None when it is another's."""

    def told(self, error: BaseException) -> StorageError:
        """What the driver's own error means to a caller, and whether what caused it may pass."""
