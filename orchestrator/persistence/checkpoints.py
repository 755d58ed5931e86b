"""SQLite's log is copied into the database beside the writer, which else would do it in the middle of a commit.

Rules:
- What is copied while the writer goes on holds nobody. The log begins anew only when all of it is copied: the little
  that is then left is copied in the writer's turn, between two transactions.
- A log that grows faster than it is copied is copied by the writer itself after all, when it is very long.

Spec: SQLite, *Write-Ahead Logging*, 2.1 and 3.3; `PRAGMA wal_checkpoint`.
Layer: persistence.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
"""As long as there is something new in the log, it is copied so often."""
REST_PAGES = 500
"""So few are copied in the writer's turn."""
PASSES = 4
"""Each copies what was written during the one before."""


class Checkpointer:
    """Copies the log of one database."""

    def __init__(self, path: Path, engine: AsyncEngine, turn: asyncio.Lock) -> None:
        """Copy the log of the file at `path` over the one connection of `engine`; `turn` is the writer's."""
        self._log = Path(f"{path}-wal")
        self._engine = engine
        self._turn = turn
        self._written_at = 0

    async def run(self) -> None:
        """Copy the log whenever there is something new in it, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            written_at = self._log.stat().st_mtime_ns if self._log.exists() else 0
            if written_at == self._written_at:
                continue
            try:
                await self.copy()
            except DBAPIError as error:
                log.warning("the log could not be copied; trying again", reason=str(error.orig))
            else:
                self._written_at = written_at

    async def copy(self) -> None:
        """Copy the log, the last of it in the writer's turn, so that it begins anew.

        Raises:
            DBAPIError: the disk is full, or what else the database says.
        """
        copied = await self._copied()
        for _ in range(PASSES):
            before, copied = copied, await self._copied()
            if copied - before <= REST_PAGES:
                async with self._turn:
                    await self._copied()
                return

    async def _copied(self) -> int:
        """Copy what is in the log by now; return how many of its pages are copied, since it began."""
        async with self._engine.connect() as connection:
            busy_pages_copied: tuple[int, ...] = tuple(
                (await connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")).one()
            )
            return busy_pages_copied[2]
