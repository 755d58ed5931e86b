"""Makes TCP and TLS connections to one broker, and finds out beforehand whether it lets us in.

Rules:
- The name is looked up once, however many connections follow.
- Every wait has a deadline.

Layer: device_sim.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from device_sim import packets
from device_sim.errors import BrokerRefusedError, BrokerUnreachableError, MalformedPacketError
from device_sim.packets import Connack, Decoder

if TYPE_CHECKING:
    from device_sim.addresses import Address
    from device_sim.carriers import Carrier, Identity

DIAL_SECONDS = 10.0
_READ_BYTES = 4096
_REASONS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not take the client ID",
    3: "it is not available",
    4: "user name or password is wrong",
    5: "not authorized",
}
"""MQTT 3.1.1 §3.2.2.3."""


class Broker:
    """A broker's address, looked up; make it with `open_broker`."""

    def __init__(self, address: Address, host: str, family: int, context: ssl.SSLContext | None) -> None:
        self._address = address
        self._host = host
        self._family = family
        self._context = context

    async def dial(self, carrier: Carrier) -> None:
        """Make a connection for a carrier that has none.

        Raises:
            OSError: it cannot be made, or not within ten seconds.
        """
        async with asyncio.timeout(DIAL_SECONDS):
            await asyncio.get_running_loop().create_connection(
                lambda: carrier,
                self._host,
                self._address.port,
                family=self._family,
                ssl=self._context,
                server_hostname=self._address.host if self._context else None,
            )

    async def knock(self, identity: Identity) -> None:
        """Connect once and leave again.

        Raises:
            BrokerUnreachableError: there is no broker.
            BrokerRefusedError: there is one, and it does not let us in.
        """
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                connack = await self._greet(identity)
        except (OSError, MalformedPacketError) as error:
            raise BrokerUnreachableError(self._address.place, str(error) or "no answer in time") from error
        if connack.code:
            raise BrokerRefusedError(self._address.place, _REASONS.get(connack.code, f"code {connack.code}"))

    async def _greet(self, identity: Identity) -> Connack:
        reader, writer = await asyncio.open_connection(
            self._host,
            self._address.port,
            family=self._family,
            ssl=self._context,
            server_hostname=self._address.host if self._context else None,
        )
        try:
            connect = packets.connect(identity.client_id, identity.keep_alive, identity.username, identity.password)
            writer.write(connect)
            decoder = Decoder()
            while data := await reader.read(_READ_BYTES):
                for packet in decoder.feed(data):
                    if isinstance(packet, Connack):
                        writer.write(packets.DISCONNECT)
                        return packet
        finally:
            await _end(writer)
        raise ConnectionResetError("it closes the connection at once")


async def open_broker(address: Address) -> Broker:
    """Look the broker's name up.

    Raises:
        BrokerUnreachableError: the name has no address.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BrokerUnreachableError(address.place, str(error)) from error
    host, family = await _first(address, [(str(place[0]), family) for family, _, _, _, place in found])
    return Broker(address, host, family, ssl.create_default_context() if address.encrypted else None)


async def _first(address: Address, places: list[tuple[str, int]]) -> tuple[str, int]:
    """The first of a name's addresses where somebody listens; else the first."""
    for host, family in places if len(places) > 1 else []:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                _, writer = await asyncio.open_connection(host, address.port, family=family)
        except OSError:
            continue
        await _end(writer)
        return host, family
    return places[0]


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
