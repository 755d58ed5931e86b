"""What has been received and not yet taken, with the notices of new connections in between.

Rules:
- Order is the order of arrival; a notice stands before the first message of its connection.
- Nothing is dropped here: the link stops reading when `full`, so that the broker keeps the rest.
- Messages of a connection that has ended are still handed out: the broker may have lost its copy. If it has not,
  it delivers them again with DUP, and the caller knows them by their identifier and content.
- A notice that nobody took before the next one, with nothing between them, is replaced: it has no use any more.

Layer: adapter; one consumer, on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from protocol.links import Received

if TYPE_CHECKING:
    from protocol.links import Connection, Inbound


class Inbox:
    """A queue of messages and connection notices; `limit` is the size at which it counts as full, at least 1."""

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self._limit = limit
        self._entries: deque[tuple[Connection, Inbound | None]] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        """Messages and notices that wait."""
        return len(self._entries)

    @property
    def full(self) -> bool:
        """Whether the link must stop reading."""
        return len(self._entries) >= self._limit

    def announce(self, connection: Connection) -> None:
        """Put the notice that this connection has come up."""
        if self._entries and self._entries[-1][1] is None:
            self._entries.pop()
        self._put(connection, None)

    def put(self, connection: Connection, message: Inbound) -> None:
        """Put one message; also when full, as what has been read cannot be given back."""
        self._put(connection, message)

    async def take(self, limit: int) -> Received:
        """Wait for a notice, which is a `Received` without messages, or for 1 to `limit` messages of one connection."""
        while not self._entries:
            self._arrived.clear()
            await self._arrived.wait()
        connection, first = self._entries.popleft()
        messages: list[Inbound] = [] if first is None else [first]
        while messages and len(messages) < limit and self._entries:
            of, message = self._entries[0]
            if message is None or of is not connection:
                break
            messages.append(message)
            self._entries.popleft()
        if not self.full:
            self._room.set()
        return Received(connection=connection, messages=tuple(messages))

    async def room(self) -> None:
        """Wait until the queue is not full."""
        await self._room.wait()

    def _put(self, connection: Connection, message: Inbound | None) -> None:
        self._entries.append((connection, message))
        self._arrived.set()
        if self.full:
            self._room.clear()
