"""Cuts the bytes that a broker sends into packets, however the network has cut them.

Rules:
- Bytes come in any pieces; a packet is handed out when it is whole, in order.
- A large packet is put together once, not anew for each piece.
- What came before a malformed length is handed out first.

Spec: MQTT 5.0 §2.1 (fixed header); MQTT 3.1.1 §2.2.
Layer: adapter; pure.
"""

from __future__ import annotations

from broker_bridge.encodings import decode_integer
from broker_bridge.errors import MalformedPacket

_SMALLEST_PACKET = 2
_ONE_BYTE_LENGTHS = 0x80


class Stream:
    """What one connection has brought and nobody has taken yet."""

    __slots__ = ("_needed", "_pieces", "_size", "more")

    def __init__(self) -> None:
        """Start empty."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._needed = _SMALLEST_PACKET
        self.more = False
        """Whether `take` left off at its limit: there may be whole packets left."""

    def feed(self, data: bytes) -> None:
        """Add what has been read."""
        self._pieces.append(data)
        self._size += len(data)

    def take(self, limit: int) -> list[tuple[int, bytes]]:
        """At most `limit` whole packets: the first byte, and what follows the fixed header.

        Raises:
            MalformedPacket: the next packet's length has more than four bytes.
        """
        self.more = False
        if self._size < self._needed:
            return []
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        packets: list[tuple[int, bytes]] = []
        at, self._needed = 0, _SMALLEST_PACKET
        while at + 1 < self._size:
            if len(packets) == limit:
                self.more = True
                break
            size = data[at + 1]
            start = at + 2
            if size >= _ONE_BYTE_LENGTHS:
                length = self._length(data, at, first=not packets)
                if length is None:
                    break
                size, start = length
            end = start + size
            if end > self._size:
                self._needed = end - at
                break
            packets.append((data[at], data[start:end]))
            at = end
        self._keep(data, at)
        return packets

    def _length(self, data: bytes, at: int, *, first: bool) -> tuple[int, int] | None:
        """A length of several bytes and where it ends; None when it is not whole, or not well and not the first."""
        try:
            length = decode_integer(data, at + 1)
        except MalformedPacket:
            if first:
                raise
            return None
        if length is None:
            self._needed = len(data) - at + 1
        return length

    def _keep(self, data: bytes, at: int) -> None:
        rest = data[at:]
        self._pieces = [rest] if rest else []
        self._size = len(rest)
