"""A TCP forwarder to a server that can cut every connection, fall silent, and cut what goes over it into pieces."""

from __future__ import annotations

import asyncio
from typing import Self


class Forwarder:
    """Listens on a port of its own and passes bytes both ways; use it as an asynchronous context manager.

    Args:
        target_port: where the server listens.
        piece: the most bytes that arrive at once.
    """

    def __init__(self, target_port: int, *, piece: int = 65536) -> None:
        self._target_port = target_port
        self._piece = piece
        self._writers: list[asyncio.StreamWriter] = []
        self._onward, self._back = asyncio.Event(), asyncio.Event()
        self.restore()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        # asyncio leaks a connection that it has accepted and not yet set up when its server closes: let it finish.
        for _turn in range(20):
            await asyncio.sleep(0)
        self.restore()
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """End all connections that are open now, at once and without a word of MQTT."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def move(self, target_port: int) -> None:
        """From now on lead to another server; connections to the one before end."""
        self._target_port = target_port
        self.cut()

    def silence(self, *, onward: bool = True) -> None:
        """Pass nothing on any more, as a network does that is cut: connections stay open, new ones too.

        Without `onward` the server goes on to hear everything, and only nothing comes back.
        """
        self._back.clear()
        if onward:
            self._onward.clear()

    def restore(self) -> None:
        """Pass on everything, also what has come meanwhile."""
        self._onward.set()
        self._back.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._onward.wait()
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, onward_writer]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, onward_writer, self._onward))
            group.create_task(self._pass(onward_reader, writer, self._back))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event) -> None:
        try:
            while chunk := await reader.read(self._piece):
                await passing.wait()
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0)  # the other side's turn, which reads what is there
        except OSError:
            pass
        writer.transport.abort()
