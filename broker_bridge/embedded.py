"""The embedded broker: amqtt behind a door of our own, so that a demonstration needs nothing but Python.

Rules:
- For demonstrations, on loopback only: no passwords, no access rules, nothing survives a restart. The log says so.
- A client is judged by its CONNECT before amqtt sees it (`admissions`), and has ten seconds to send it.
- A second client with the ID of a connected one takes its place: the first is disconnected, and gone, before amqtt is
  told of the second (amqtt would leave both connected and count neither as being so).
- Stopping takes at most `_STOP_SECONDS`: connections are cut, then amqtt is closed.
- amqtt's own log, which reports every probe of the port as an error, is heard only when asked for.

Spec: MQTT 3.1.1 §3.1.4 (one client per ID).
Layer: adapter; amqtt is imported when a broker is opened, not before.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from broker_bridge import admissions
from broker_bridge.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from structlog.typing import FilteringBoundLogger

    from broker_bridge.amqtt_brokers import MendedBroker

_log: FilteringBoundLogger = structlog.get_logger(__name__)

_FIRST_PACKET_SECONDS = 10.0
_STOP_SECONDS = 3.0
_QUIET = logging.CRITICAL + 1


class EmbeddedBrokerError(BrokerError):
    """The embedded broker cannot listen."""

    code = "embedded-broker-failed"

    def __init__(self, address: str, reason: str) -> None:
        """Name the address and the system's reason."""
        super().__init__(f"the embedded broker cannot listen on {address}: {reason}")
        self.address = address
        self.reason = reason


@asynccontextmanager
async def open_embedded(host: str, port: int, *, verbose: bool = False) -> AsyncIterator[str]:
    """Run a broker on this loopback address while the context lasts; yield its URL.

    Port 0 takes any that is free. With `verbose` amqtt's own warnings are logged.

    Raises:
        EmbeddedBrokerError: nobody can listen there.
    """
    from broker_bridge.amqtt_brokers import MendedBroker  # noqa: PLC0415 - half a second, and most never need it

    logging.getLogger("amqtt").setLevel(logging.WARNING if verbose else _QUIET)
    broker = MendedBroker()
    door = _Door(broker)
    await broker.start()
    try:
        try:
            server = await asyncio.start_server(door.enter, host, port)
        except OSError as error:
            raise EmbeddedBrokerError(f"{host}:{port}", error.strerror or type(error).__name__) from error
        url = _url(server)
        _log.warning("embedded-broker.listening", url=url, hint="for demonstrations: no passwords, nothing is kept")
        try:
            yield url
        finally:
            server.close()
            await door.close()
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await broker.shutdown()
        _log.info("embedded-broker.stopped")


def _url(server: asyncio.Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"mqtt://[{host}]:{port}" if ":" in host else f"mqtt://{host}:{port}"


@dataclass(slots=True, kw_only=True, eq=False)
class _Guest:
    """One connection that came in."""

    writer: asyncio.StreamWriter
    left: asyncio.Event = field(default_factory=asyncio.Event)


class _Door:
    """Lets clients in to one broker, and out in the end."""

    def __init__(self, broker: MendedBroker) -> None:
        self._broker = broker
        self._guests: set[_Guest] = set()
        self._by_id: dict[str, _Guest] = {}

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        guest = _Guest(writer=writer)
        self._guests.add(guest)
        try:
            verdict = await _first_packet(reader)
            if isinstance(verdict, admissions.Refused):
                _log.info("embedded-broker.refused", reason=verdict.reason)
                writer.write(verdict.answer)
                await writer.drain()
                writer.close()
            elif verdict is not None:
                await self._serve(guest, verdict, reader)
        except OSError as error:
            _log.debug("embedded-broker.cut", reason=str(error))
        finally:
            self._guests.discard(guest)
            guest.left.set()
            if not writer.is_closing():
                writer.transport.abort()

    async def close(self) -> None:
        """Cut every connection, and wait until amqtt has let go of them, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS / 2):
                while self._guests:
                    guest = next(iter(self._guests))
                    guest.writer.transport.abort()
                    await guest.left.wait()

    async def _serve(self, guest: _Guest, admitted: admissions.Admitted, reader: asyncio.StreamReader) -> None:
        while (earlier := self._by_id.get(admitted.client_id)) is not None:
            _log.info("embedded-broker.taken-over", client_id=admitted.client_id)
            earlier.writer.transport.abort()
            await earlier.left.wait()
        self._by_id[admitted.client_id] = guest
        try:
            await self._broker.serve(admitted.packet, reader, guest.writer)
        finally:
            del self._by_id[admitted.client_id]


async def _first_packet(reader: asyncio.StreamReader) -> admissions.Admitted | admissions.Refused | None:
    """Read and judge the first packet; None when none came."""
    try:
        async with asyncio.timeout(_FIRST_PACKET_SECONDS):
            (first,) = await reader.readexactly(1)
            if not admissions.begins(first):
                return admissions.Refused(reason="its first packet is no CONNECT")
            size = await _remaining_length(reader)
            if size > admissions.LONGEST_PACKET:
                return admissions.Refused(reason=f"its CONNECT has {size} bytes")
            body = await reader.readexactly(size)
    except (TimeoutError, asyncio.IncompleteReadError):
        return None
    return admissions.admit(body, new_id=f"unnamed-{secrets.token_hex(8)}")


async def _remaining_length(reader: asyncio.StreamReader) -> int:
    size = 0
    for shift in (0, 7, 14, 21):
        (digit,) = await reader.readexactly(1)
        size |= (digit & 0x7F) << shift
        if digit < 0x80:  # noqa: PLR2004 - the continuation bit
            break
    return size
