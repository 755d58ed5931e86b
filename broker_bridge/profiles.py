"""How the connections of one link differ: its own, with a persistent session, and the one that reads back.

Spec: MQTT 5.0 §3.1 CONNECT; MQTT 3.1.1 §3.1.
Layer: adapter; pure but for reading TLS files.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker_bridge.errors import AddressError
from broker_bridge.options import Address
from broker_bridge.packets import Connect
from protocol.links import MQTT_5

if TYPE_CHECKING:
    from broker_bridge.options import LinkOptions

_MQTT_3_1_1 = 4
"""The protocol level of MQTT 3.1.1 in CONNECT (§3.1.2.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of connection."""

    options: LinkOptions
    clean: bool

    @property
    def level(self) -> int:
        """The protocol level as CONNECT carries it: 5 or 4."""
        return MQTT_5 if self.options.protocol == "5" else _MQTT_3_1_1

    @property
    def connect(self) -> Connect:
        """What such a connection says first."""
        options = self.options
        address = Address.parse(options.url)
        return Connect(
            level=self.level,
            client_id=options.client_id,
            clean=self.clean,
            keep_alive_seconds=int(options.keep_alive.total_seconds()),
            session_expiry_seconds=0 if self.clean else options.session_expiry_seconds,
            receive_maximum=options.receive_maximum,
            user=address.user,
            password=address.password,
            will=options.will,
        )

    def tls(self) -> ssl.SSLContext | None:
        """What encrypts such a connection; None when nothing does.

        Raises:
            AddressError: a TLS file cannot be read.
        """
        options = self.options
        if not Address.parse(options.url).encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=options.ca_file)
            if options.certificate_file is not None:
                context.load_cert_chain(options.certificate_file, options.key_file)
        except OSError as error:
            raise AddressError(f"a TLS file cannot be used: {error.strerror or type(error).__name__}") from error
        return context


def session(options: LinkOptions) -> Profile:
    """The link's own connection, with its persistent session."""
    return Profile(options=options, clean=False)


def reader(options: LinkOptions) -> Profile:
    """A second, clean connection that reads retained messages: other ID, no will, no subscriptions."""
    return Profile(
        options=replace(options, client_id=f"{options.client_id}-reader", will=None, subscriptions=()), clean=True
    )
