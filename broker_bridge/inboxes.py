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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocol.links import Received

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.links import Connection, Inbound


@dataclass(slots=True, kw_only=True)
class _Arrivals:
    """What one connection has brought."""

    connection: Connection
    announced: bool = True
    """Whether the notice of it still waits."""
    messages: deque[Inbound] = field(default_factory=deque)


class Inbox:
    """A queue of messages and connection notices.

    Args:
        limit: the number at which it counts as full, at least 1.
        limit_bytes: the size of topics and payloads at which it does, too.
    """

    def __init__(self, limit: int, limit_bytes: int = 1 << 30) -> None:
        """Start empty."""
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._arrivals: deque[_Arrivals] = deque()
        self._count = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        """Messages and notices that wait."""
        return self._count

    @property
    def full(self) -> bool:
        """Whether the link must stop reading."""
        return self._count >= self._limit or self._bytes >= self._limit_bytes

    @property
    def roomy(self) -> bool:
        """Whether half of the room is free, so that it is worth to read again."""
        return self._count <= self._limit // 2 and self._bytes <= self._limit_bytes // 2

    def announce(self, connection: Connection) -> None:
        """Put the notice that this connection has come up."""
        if self._arrivals and self._arrivals[-1].announced and not self._arrivals[-1].messages:
            self._arrivals.pop()
            self._count -= 1
        self._arrivals.append(_Arrivals(connection=connection))
        self._grow(1)

    def put(self, connection: Connection, messages: Sequence[Inbound]) -> None:
        """Put messages of the connection announced last; also when full: what has been read cannot be given back."""
        if not self._arrivals:
            self._arrivals.append(_Arrivals(connection=connection, announced=False))
        self._arrivals[-1].messages += messages
        self._bytes += _size(messages)
        self._grow(len(messages))

    async def take(self, limit: int) -> Received:
        """Wait for a notice, which is a `Received` without messages, or for 1 to `limit` messages of one connection."""
        while not self._count:
            self._arrived.clear()
            await self._arrived.wait()
        first = self._arrivals[0]
        taken: list[Inbound] = []
        if first.announced:
            first.announced = False
        else:
            taken = [first.messages.popleft() for _ in range(min(limit, len(first.messages)))]
        if not first.messages:
            self._arrivals.popleft()
        self._count -= len(taken) or 1
        self._bytes -= _size(taken)
        if not self.full:
            self._room.set()
        return Received(connection=first.connection, messages=tuple(taken))

    async def room(self) -> None:
        """Wait until the queue is not full."""
        await self._room.wait()

    def _grow(self, count: int) -> None:
        self._count += count
        self._arrived.set()
        if self.full:
            self._room.clear()


def _size(messages: Sequence[Inbound]) -> int:
    """Bytes of topics and payloads; a topic's characters are counted, which is less where they are not ASCII."""
    return sum(len(message.topic) + len(message.payload) for message in messages)
