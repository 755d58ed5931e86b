"""How far the engine is with the present connection.

Rules: marker, then reconciliation, then timers; each belongs to one connection, and a new one starts anew.
Layer: application.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.links import Connection


@dataclass(slots=True)
class Presence:
    """The numbers of the connections that got so far; 0 for none."""

    greeted: Connection | None = None
    """The newest connection of which the pipeline has taken notice."""
    marked: int = 0
    """Everything that the broker had queued before this connection's marker is committed."""
    reconciled: int = 0
    """The broker's retained messages are known to follow from the database; only pushes above the cursor are due."""
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def greet(self, connection: Connection) -> None:
        """There is a new connection."""
        async with self.moved:
            self.greeted = connection
            self.moved.notify_all()

    async def connected(self, after: int) -> Connection:
        """Wait for a connection whose number is above `after`."""
        async with self.moved:
            while self.greeted is None or self.greeted.number <= after:
                await self.moved.wait()
            return self.greeted

    async def mark(self, number: int) -> None:
        """The marker of connection `number` has come through."""
        async with self.moved:
            self.marked = max(self.marked, number)
            self.moved.notify_all()

    async def wait_marked(self, number: int) -> None:
        """Wait for that, or for a later connection's."""
        async with self.moved:
            await self.moved.wait_for(lambda: self.marked >= number)
