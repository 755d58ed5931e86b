"""What the writer of a storage has the database do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiosqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.storages import SqlShelf

_FRAME = ("BEGIN", "COMMIT", "ROLLBACK")


@asynccontextmanager
async def counted(shelf: SqlShelf) -> AsyncIterator[list[str]]:
    """Collect the beginnings of the statements of whole transactions, begin and commit left out.

    The database itself tells them, whichever way they come.
    """
    statements: list[str] = []
    driver = await _driver(shelf)
    await driver.set_trace_callback(lambda text: None if text.startswith(_FRAME) else statements.append(text[:40]))
    try:
        yield statements
    finally:
        await driver.set_trace_callback(_ignore)


def _ignore(_text: str) -> None:
    """Nobody listens any more."""


async def _driver(shelf: SqlShelf) -> aiosqlite.Connection:
    """The one connection that writes; nobody may be writing now."""
    async with shelf.storage._writer.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, aiosqlite.Connection)
    return driver
