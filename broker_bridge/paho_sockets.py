"""Couples a paho client's socket to the event loop.

Rules:
- Reading goes on until no packet makes progress, at most 256 packets at a time, so that other work gets its turn.
- What was queued in one turn of the loop leaves in one flush.
- The descriptor leaves the loop before it is closed: its number may be another socket's a moment later.

Layer: adapter; only public names of paho, on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import Client

_PACKETS_AT_A_TIME = 256


class Pump:
    """Moves packets between one connected client and its socket; `on_read` is called after each turn of reading."""

    def __init__(self, client: Client, on_read: Callable[[], None]) -> None:
        """Touch nothing yet: the client may still be connecting in a thread."""
        self._client = client
        self._on_read = on_read
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = None
        self._reading = self._writing = self._flush_due = False
        self._progress = 0

    @property
    def reading(self) -> bool:
        """Whether the socket is being read."""
        return self._reading

    def attach(self) -> None:
        """Take over a client that has just connected.

        Raises:
            ConnectionResetError: it has lost its socket already.
        """
        self._client.on_socket_close = self._closing
        self._client.on_socket_register_write = self._want_write
        sock = self._client.socket()
        if sock is None:
            raise ConnectionResetError("the connection ended at once")
        self._descriptor = sock.fileno()
        self.resume()
        if self._client.want_write():
            self._want_write()

    def progressed(self) -> None:
        """Note that a packet has been read; the client's callbacks call this."""
        self._progress += 1

    def pause(self) -> None:
        """Stop reading; the broker's answers to our own publishes wait as well."""
        if self._reading and self._descriptor is not None:
            self._reading = False
            self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        """Read again."""
        if not self._reading and self._descriptor is not None:
            self._reading = True
            self._loop.add_reader(self._descriptor, self._read)
            self._loop.call_soon(self._read)  # TLS may hold decrypted bytes while the socket has none

    def hung_up(self) -> bool:
        """Whether the broker has closed the connection; reading tells by itself, so this is for pauses."""
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLRDHUP)
        return bool(poll.poll(0))

    def detach(self) -> None:
        """Leave the socket alone from now on."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            self._descriptor = None
        self._reading = self._writing = False

    def _read(self) -> None:
        start = self._progress
        while self._reading:
            before = self._progress
            # paho's max_packets is without effect: it reads as many packets as we have publishes in flight, or one.
            self._client.loop_read()
            if self._progress == before or self._progress - start >= _PACKETS_AT_A_TIME:
                break
        sock = self._client.socket()
        if self._reading and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self._loop.call_soon(self._read)
        self._on_read()

    def _want_write(self, *_: object) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._client.loop_write()
        if self._descriptor is None:
            return
        if self._client.want_write():
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._descriptor, self._flush)
        elif self._writing:
            self._writing = False
            self._loop.remove_writer(self._descriptor)

    def _closing(self, *_: object) -> None:
        self.detach()
