"""Errors of the MQTT edge.

BrokerError
├── AddressError       broker-address-invalid   the URL or the TLS files cannot be used
├── BrokerRefused      broker-refused           the broker does not want us; trying again does not help
└── MalformedPacket    packet-malformed         the broker sent what is not MQTT; the connection is given up

Rules:
- A message never holds the URL as given: it may hold a password.
- `BrokerRefused` is also a `ProtocolError`, because the port promises one and its users cannot import this package.

Layer: adapter.
"""

from __future__ import annotations

from protocol.errors import ProtocolError


class BrokerError(Exception):
    """The MQTT edge cannot do its work; `code` is stable, kebab-case, and shown to users."""

    code = "broker-error"
    transient = False
    """Whether trying again may help."""


class AddressError(BrokerError):
    """The broker's address cannot be used."""

    code = "broker-address-invalid"

    def __init__(self, reason: str) -> None:
        """Say what is wrong, without quoting the URL."""
        super().__init__(f"the broker's address cannot be used: {reason}")
        self.reason = reason


class BrokerRefused(BrokerError, ProtocolError):
    """The broker refuses this client for good: credentials, client ID, MQTT version, certificate or subscriptions."""

    code = "broker-refused"

    def __init__(self, reason: str, reason_code: int | None = None) -> None:
        """Keep the broker's words and its MQTT 5 reason code; None when it refused before MQTT began."""
        super().__init__(f"the broker refuses us: {reason}")
        self.reason = reason
        self.reason_code = reason_code


class MalformedPacket(BrokerError):
    """What the broker sent is not MQTT, or no packet that a broker may send us."""

    code = "packet-malformed"
    transient = True

    def __init__(self, reason: str) -> None:
        """Say what is wrong, without quoting the packet."""
        super().__init__(f"the broker sent what is not MQTT: {reason}")
        self.reason = reason
