"""Who has signed out: sessions that replicas share, and would take on the strength of their signatures.

Rules:
- One table for all partitions, with the tables of `main`: whoever holds any of them knows all.
- A session that would have ended by itself is dropped when the next one is kept.

Layer: persistence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Table, text

from orchestrator.persistence import schema
from orchestrator.persistence.schema import Key, Text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

sign_out = Table(
    "sign_out",
    schema.metadata,
    Column("session", Text, primary_key=True),
    Column("until_ms", Key, nullable=False),
)


async def keep(connection: AsyncConnection, home: str, session: str, until_ms: int, now_ms: int) -> None:
    """Keep that a session was signed out of; `home` stands before the names of tables of `main`."""
    ended = text(f"DELETE FROM {home}sign_out WHERE until_ms <= :now")  # noqa: S608 - a schema of ours
    kept = text(
        f"INSERT INTO {home}sign_out (session, until_ms) VALUES (:session, :until)"  # noqa: S608 - the same
        " ON CONFLICT (session) DO NOTHING"
    )
    await connection.execute(ended, {"now": now_ms})
    await connection.execute(kept, {"session": session, "until": until_ms})


async def kept(connection: AsyncConnection, home: str) -> dict[str, int]:
    """The sessions that were signed out of, with when each would have ended."""
    found = await connection.execute(text(f"SELECT session, until_ms FROM {home}sign_out"))  # noqa: S608 - the same
    return {str(row.session): int(row.until_ms) for row in found}
