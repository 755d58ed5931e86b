"""A broker that says exactly what a test tells it to, for what no real one does on demand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.contract.deadlines import eventually

if TYPE_CHECKING:
    import ssl

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, DISCONNECT = 1, 3, 4, 8, 14


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet that a client sent: its type, its flags, and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes


def encoded(first_byte: int, body: bytes) -> bytes:
    """One packet with its fixed header (MQTT 5.0 §2.1)."""
    length, head = len(body), bytearray([first_byte])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


class ScriptedBroker:
    """Accepts connections on MQTT 5 or 3.1.1 and answers CONNECT and SUBSCRIBE, nothing else.

    Args:
        level: 5 or 4.
        connack: reason code of the CONNACK; 0 accepts.
        properties: properties of a MQTT 5 CONNACK, without their length.
        suback: reason code for every subscription; None never answers one.
        session_present: the flag in the CONNACK.
        tls: listen encrypted.
    """

    def __init__(
        self,
        *,
        level: int = 5,
        connack: int | None = 0,
        properties: bytes = b"",
        suback: int | None = 1,
        session_present: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.level = level
        self.connack = connack
        self.properties = properties
        self.suback = suback
        self.session_present = session_present
        self.tls = tls
        self.packets: list[Packet] = []
        self.connections = 0
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        # asyncio leaks a connection that it has accepted and not yet set up when its server closes: let it finish.
        for _turn in range(20):
            await asyncio.sleep(0)
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://127.0.0.1:{self.port}"

    def kinds(self) -> list[int]:
        return [packet.kind for packet in self.packets]

    async def gets(self, kind: int, count: int = 1) -> list[Packet]:
        """The packets of a kind, once there are as many."""
        await eventually(lambda: self.kinds().count(kind) >= count, f"{count} packets of type {kind}")
        return [packet for packet in self.packets if packet.kind == kind]

    def send(self, first_byte: int, body: bytes) -> None:
        """Send one packet on the newest connection."""
        self.write(encoded(first_byte, body))

    def write(self, packets: bytes) -> None:
        """Send encoded packets on the newest connection, in one TLS record when there is TLS and they fit."""
        if self._writers:
            self._writers[-1].write(packets)

    def publish(self, topic: bytes, payload: bytes = b"", *, packet_id: int = 0) -> None:
        """Send a PUBLISH, with QoS 1 when it has an identifier."""
        self.write(self.encoded_publish(topic, payload, packet_id=packet_id))

    def encoded_publish(self, topic: bytes, payload: bytes = b"", *, packet_id: int = 0) -> bytes:
        """A PUBLISH, with QoS 1 when it has an identifier."""
        identifier = packet_id.to_bytes(2, "big") if packet_id else b""
        properties = b"\x00" if self.level == 5 else b""
        body = len(topic).to_bytes(2, "big") + topic + identifier + properties + payload
        return encoded(0x32 if packet_id else 0x30, body)

    def puback(self, packet_id: int, reason_code: int = 0) -> None:
        """Answer a publish."""
        tail = bytes([reason_code]) if self.level == 5 and reason_code else b""
        self.send(0x40, packet_id.to_bytes(2, "big") + tail)

    def disconnect(self, reason_code: int) -> None:
        """MQTT 5: say goodbye, and close."""
        self.send(0xE0, bytes([reason_code, 0]))
        self._writers[-1].close()

    def stop_reading(self) -> None:
        """Let what clients send from now on wait in the network, after the packet that is being read."""
        self._may_read.clear()

    def go_on_reading(self) -> None:
        """Read again."""
        self._may_read.set()

    def cut(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.connections += 1
        try:
            while True:
                await self._answer(await self._packet(reader))
                await self._may_read.wait()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    async def _packet(self, reader: asyncio.StreamReader) -> Packet:
        first = (await reader.readexactly(1))[0]
        length = shift = 0
        while True:
            digit = (await reader.readexactly(1))[0]
            length |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                break
        return Packet(first >> 4, first & 15, await reader.readexactly(length))

    async def _answer(self, packet: Packet) -> None:
        self.packets.append(packet)
        if packet.kind == CONNECT and self.connack is not None:
            properties = bytes([len(self.properties)]) + self.properties if self.level == 5 else b""
            self.send(0x20, bytes([self.session_present and not self.connack, self.connack]) + properties)
        elif packet.kind == SUBSCRIBE and self.suback is not None:
            self.send(0x90, packet.body[:2] + (b"\x00" if self.level == 5 else b"") + bytes([self.suback]))


def packet_ids(packets: list[Packet]) -> list[int]:
    """The identifiers of PUBACK packets, in order."""
    return [int.from_bytes(packet.body[:2], "big") for packet in packets]
