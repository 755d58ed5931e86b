"""MQTT 3.1.1 on bare connections: a client that sends without waiting for each answer, and one that never reads.

A client of a library waits for every PUBACK and reads whatever comes; neither is too much for anybody.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from broker_bridge import packets
from protocol.links import Outbound, Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

LEVEL = 4
"""MQTT 3.1.1."""
WINDOW = 1000
"""Messages on their way to the broker at one time."""
_PIECE = 250
_PUBACK_BYTES = 4
_CONNACK_BYTES = 4
_SUBACK_BYTES = 5
_IDENTIFIERS = 60_000
SMALL_BYTES = 4096
"""Room for what is not read; the system doubles it."""


class Pipeline:
    """Sends messages with QoS 1, as many at a time as the window lets; made by `pipelined`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._room = asyncio.Condition()
        self._received_bytes = 0
        self.sent = 0

    @property
    def acknowledged(self) -> int:
        """How many the broker has taken."""
        return self._received_bytes // _PUBACK_BYTES

    async def send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send topics with payloads; return when all are written and the last ones on their way."""
        for start in range(0, len(messages), _PIECE):
            async with self._room:
                await self._room.wait_for(lambda: self.sent - self.acknowledged <= WINDOW - _PIECE)
            self._writer.writelines(map(self._packet, messages[start : start + _PIECE]))
            await self._writer.drain()

    async def answered(self) -> None:
        """Return when the broker has taken all of them."""
        async with self._room:
            await self._room.wait_for(lambda: self.acknowledged == self.sent)

    async def listen(self) -> None:
        """Count acknowledgements to the end of the connection."""
        while data := await self._reader.read(65_536):
            async with self._room:
                self._received_bytes += len(data)
                self._room.notify_all()

    def _packet(self, message: tuple[str, bytes]) -> bytes:
        topic, payload = message
        self.sent += 1
        identifier = self.sent % _IDENTIFIERS + 1
        return packets.encode_publish(Outbound(topic=topic, payload=payload, qos=1), identifier, LEVEL)


@asynccontextmanager
async def pipelined(port: int) -> AsyncIterator[Pipeline]:
    """A sender on a broker without passwords, which it is never too silent for."""
    reader, writer = await _connected(port, "pipeline")
    pipeline = Pipeline(reader, writer)
    try:
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(pipeline.listen())
            yield pipeline
            listening.cancel()
    finally:
        writer.close()


@asynccontextmanager
async def deaf(port: int, topic_filter: str) -> AsyncIterator[None]:
    """A client of a broker without passwords that subscribes with QoS 1 and reads nothing of what comes."""
    reader, writer = await _connected(port, "deaf", buffer_bytes=SMALL_BYTES)
    writer.write(packets.encode_subscribe([Subscription(topic_filter=topic_filter)], 1, LEVEL))
    await reader.readexactly(_SUBACK_BYTES)
    writer.transport.pause_reading()  # type: ignore[attr-defined] # of a transport that also reads
    try:
        yield
    finally:
        writer.transport.abort()


async def opened(port: int, buffer_bytes: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection; with so little room for what is not read, if that is said."""
    connection = socket.socket()
    connection.setblocking(False)
    if buffer_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=connection, limit=SMALL_BYTES)


async def _connected(port: int, name: str, buffer_bytes: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await opened(port, buffer_bytes)
    writer.write(packets.encode_connect(packets.Connect(level=LEVEL, client_id=name, clean=True, keep_alive_seconds=0)))
    answer = await reader.readexactly(_CONNACK_BYTES)
    assert answer[3] == 0, f"the broker answers with return code {answer[3]}"
    return reader, writer
