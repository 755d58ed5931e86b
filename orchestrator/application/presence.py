"""How far the engine is with the present connection.

Rules:
- Marker, then reconciliation, then timers; each belongs to one connection, and a new one starts anew.
- A marker is ours by its payload, to the byte: in our session there may be those of a process before us.

Layer: application.
"""

from __future__ import annotations

import asyncio
import secrets
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
    process: str = field(default_factory=lambda: secrets.token_hex(8))
    """Tells this process from those before it, whose connections had the same numbers."""

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

    def marker(self, number: int) -> bytes:
        """The payload of connection `number`'s marker."""
        return f"{self.process}-{number}".encode()

    async def wait_marked(self, number: int) -> bool:
        """Wait for that, or for a newer connection, which this marker tells nothing about; return whether it came."""

        def moved_on() -> bool:
            return self.greeted is not None and self.greeted.number > number

        async with self.moved:
            await self.moved.wait_for(lambda: self.marked >= number or moved_on())
            return self.marked >= number
