"""The messages that cross the MQTT edge, and the port behind which MQTT itself lives.

Rules:
- A message is acknowledged only by `Link.acknowledge`, never by what implements the port.
- What was received on one connection can be acknowledged on that connection only.
- A publish with QoS 1 ends with the broker's reason code, or with `LinkLost`.

Spec: MQTT 5.0 §3.3, §3.4, §4.4, §4.6.
Layer: protocol; no I/O, no clock. `broker_bridge` implements the port, `orchestrator.application` uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from protocol.errors import ProtocolError
from protocol.values import quick

if TYPE_CHECKING:
    from collections.abc import Sequence

MQTT_5 = 5
"""The protocol level of MQTT 5."""
REFUSED = 0x80
"""Reason codes from here on are refusals (MQTT 5.0 §2.4)."""


@quick(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One PUBLISH as the broker delivered it."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    packet_id: int = 0
    """1-65535 with QoS 1 and 2, 0 with QoS 0; unique only among unacknowledged ones."""
    response_topic: str | None = None
    correlation_data: bytes | None = None


@quick(frozen=True, slots=True, kw_only=True)
class Outbound:
    """One PUBLISH to send."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    correlation_data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What the broker said when it accepted us (CONNACK)."""

    number: int
    """Grows by one with every connection of one link, from 1."""
    session_present: bool
    receive_maximum: int
    """How many QoS 1 publishes of ours the broker takes unacknowledged."""
    maximum_packet_bytes: int | None
    protocol_level: int
    """4 for MQTT 3.1.1, 5 for MQTT 5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Messages of one connection, in order of receipt; none when the connection has just come up."""

    connection: Connection
    messages: tuple[Inbound, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A topic filter that the link keeps subscribed on every connection, with QoS 1."""

    topic_filter: str
    echo: bool = False
    """Whether our own publishes that match shall come back to us (MQTT 5: no-local is its opposite)."""


class LinkLost(ProtocolError):
    """The connection ended before the broker had answered; the caller renders anew on the next one."""

    code = "link-lost"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the connection to the broker ended: {reason}")
        self.reason = reason


class Link(Protocol):
    """A connection to an MQTT broker that comes back by itself, with one persistent session."""

    @property
    def connection(self) -> Connection | None:
        """The connection that is up now, or None."""

    async def run(self) -> None:
        """Connect, subscribe, and connect again whenever the connection ends, until cancelled.

        Raises:
            ProtocolError: the broker refuses us for good (wrong credentials, banned, not authorised to connect).
        """

    async def receive(self, limit: int) -> Received:
        """Wait for a new connection or for messages; at most `limit` of them, never of two connections."""

    def acknowledge(self, received: Received) -> None:
        """Send the PUBACKs of these messages in order of receipt; does nothing when their connection has ended."""

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        """Send in order, a bounded window unacknowledged; return one reason code for each (0 with QoS 0).

        Raises:
            LinkLost: there is no connection, or it ended, or the broker did not answer in time.
        """

    async def read_retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        """Read back what the broker retains on these exact topics, on a second, clean connection.

        Topics that retain nothing are absent from the answer.

        Raises:
            LinkLost: the second connection could not be made, or did not answer in time.
        """
