"""Identifiers that the one writer gives out: push revisions, history entries, superseded attempts, endpoints' keys.

Rules: they only grow; a transaction that is rolled back leaves a gap.
Layer: persistence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from orchestrator.application.retentions import Remains
from orchestrator.persistence import remnants, schema
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from sqlalchemy import Column
    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(slots=True)
class Numbers:
    """The last identifier given out, of each kind."""

    revision: int = 0
    history: int = 0
    attempt: int = 0
    _serials: dict[int, int] = field(default_factory=dict)

    async def load(self, connection: AsyncConnection) -> None:
        """Continue after what is stored, and after what was and is removed; pushes are, up to the watermark."""
        pushed = (await connection.execute(select(func.max(schema.push.c.revision)))).scalar() or 0
        raised = (await connection.execute(select(func.max(schema.installation.c.watermark)))).scalar() or 0
        self.revision = max(pushed, raised)
        self.history = await _highest(connection, schema.history.c.id, Remains.HISTORY)
        self.attempt = await _highest(connection, schema.attempt.c.id, Remains.ATTEMPTS)
        self._serials.clear()

    def take(self, kind: str, amount: int) -> int:
        """Reserve `amount` identifiers; return the one before the first."""
        last: int = getattr(self, kind)
        setattr(self, kind, last + amount)
        return last

    async def endpoint_key(self, connection: AsyncConnection, application: int) -> int:
        """The key of a new endpoint of an application."""
        last = self._serials.get(application)
        if last is None:
            first, end = application * KEY_SPAN, (application + 1) * KEY_SPAN
            keys = schema.endpoint.c.id
            query = select(func.max(keys)).where(keys > first, keys < end)
            stored = (await connection.execute(query)).scalar() or first
            last = max(stored, await _removed(connection, endpoints_of(application)))
        self._serials[application] = last + 1
        return last + 1


def endpoints_of(application: int) -> str:
    """The kind of number that keys of an application's endpoints are."""
    return f"endpoints/{application}"


async def _highest(connection: AsyncConnection, number: Column[int], what: Remains) -> int:
    stored = (await connection.execute(select(func.max(number)))).scalar() or 0
    return max(stored, await _removed(connection, what.value))


async def _removed(connection: AsyncConnection, kind: str) -> int:
    until = remnants.removed_until.c
    return (await connection.execute(select(until.number).where(until.kind == kind))).scalar() or 0
