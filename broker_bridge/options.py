"""What one link is told: where the broker is, who we are there, and its limits.

Rules:
- The URL may hold a password: it is in no repr and no error.

Layer: adapter; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from broker_bridge.backoffs import Backoff
from broker_bridge.errors import AddressError

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.links import Outbound, Subscription

_PORTS = {"mqtt": 1883, "mqtts": 8883}

FOR_EVER = 0xFFFFFFFF
"""The session expiry interval of a session that does not expire (MQTT 5.0 §3.1.2.11.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the broker listens, and with which credentials we come."""

    host: str
    port: int
    encrypted: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `mqtt://user:password@host:port` or `mqtts://…`; user and password are percent-encoded.

        Raises:
            AddressError: another scheme, no host, a port that is none, or anything after the port.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise AddressError("the port or the host is malformed") from error
        if parts.scheme not in _PORTS:
            raise AddressError("it must begin with mqtt:// or mqtts://")
        if not parts.hostname:
            raise AddressError("it names no host")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise AddressError("nothing may follow the port")
        if port == 0:
            raise AddressError("port 0 is none to connect to")
        return cls(
            host=parts.hostname,
            port=_PORTS[parts.scheme] if port is None else port,
            encrypted=parts.scheme == "mqtts",
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """The settings of one link."""

    url: str = field(repr=False)
    client_id: str
    """Names the session at the broker; two live clients with one ID end each other's connections."""
    subscriptions: tuple[Subscription, ...] = ()
    varying: bool = False
    """Whether subscriptions come and go: the session that the broker has may have others, and one may be refused."""
    renewed: bool = False
    """Whether the session that the broker has may lack some of them: they are asked for until it has answered once."""
    resubscribe: timedelta = timedelta(minutes=1)
    """Until one that was refused is asked for again, where subscriptions vary."""
    unwanted: tuple[str, ...] = ()
    """Topic filters that the session may have from before, and has no more from now on."""
    protocol: Literal["5", "3.1.1"] = "5"
    ca_file: Path | None = None
    """PEM; None trusts the system's certificates."""
    certificate_file: Path | None = None
    key_file: Path | None = None
    keep_alive: timedelta = timedelta(seconds=30)
    session_expiry: timedelta | None = timedelta(days=7)
    """MQTT 5 only; None keeps the session for ever."""
    receive_maximum: int = 2000
    """MQTT 5 only: how many messages the broker may leave unacknowledged with us, 1 to 65535."""
    inbox_limit: int = 100_000
    """Untaken or unacknowledged messages at which the link stops reading.

    Far more than the receive maximum: Mosquitto 2.0 does not keep to that, and while we do not read, the
    acknowledgements of what we publish wait behind all that it has sent: nothing would be published meanwhile. One
    takes about 300 bytes.
    """
    inbox_bytes: int = 32 << 20
    """Topics and payloads of untaken messages, in bytes, at which the link stops reading, too."""
    publish_window: int = 100
    publish_timeout: timedelta = timedelta(seconds=30)
    connect_timeout: timedelta = timedelta(seconds=10)
    will: Outbound | None = None
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def session_expiry_seconds(self) -> int:
        """The session expiry interval as MQTT 5 carries it."""
        return FOR_EVER if self.session_expiry is None else min(int(self.session_expiry.total_seconds()), FOR_EVER)
