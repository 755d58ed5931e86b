"""Makes paho clients as this package needs them, and the packets' properties.

Rules:
- A client serves one connection. Nothing that was in flight is sent again by the library: the caller renders anew.
- The library never acknowledges, never reconnects, never downgrades the protocol, and keeps no window of its own
  (`max_inflight_messages` 0): its window walks every message in flight at each PUBACK.

Spec: MQTT 5.0 §3.1 CONNECT, §3.8.3.1 subscription options; MQTT 3.1.1 §3.1.
Layer: adapter; only public names of paho.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker_bridge.errors import AddressError
from broker_bridge.options import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker_bridge.options import LinkOptions
    from protocol.links import Outbound, Subscription

MQTT_5 = 5
"""The protocol level of MQTT 5 in CONNECT (§3.1.2.2)."""

_properties: Callable[[int], Properties] = Properties
"""The class as a typed function: paho leaves its constructor untyped."""

_DO_NOT_SEND = 2
"""Retain handling: no retained messages at subscription (MQTT 5.0 §3.8.3.1)."""


class _HandshakingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho drops the socket then, and leaves the closing to chance."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of the standard library
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How one kind of connection differs from another of the same link."""

    options: LinkOptions
    clean: bool

    @property
    def version(self) -> MQTTProtocolVersion:
        """The protocol version as paho names it."""
        return MQTTProtocolVersion.MQTTv5 if self.options.protocol == "5" else MQTTProtocolVersion.MQTTv311

    @property
    def level(self) -> int:
        """The protocol level as CONNECT carries it: 5 or 4."""
        return MQTT_5 if self.options.protocol == "5" else 4


def session(options: LinkOptions) -> Profile:
    """The link's own connection, with its persistent session."""
    return Profile(options=options, clean=False)


def reader(options: LinkOptions) -> Profile:
    """A second, clean connection that reads retained messages: other ID, no will, no subscriptions."""
    return Profile(
        options=replace(options, client_id=f"{options.client_id}-reader", will=None, subscriptions=()), clean=True
    )


def make(profile: Profile) -> Client:
    """An unconnected client.

    Raises:
        AddressError: a TLS file cannot be read.
    """
    options = profile.options
    address = Address.parse(options.url)
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        clean_session=None if profile.level == MQTT_5 else profile.clean,
        protocol=profile.version,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.max_inflight_messages = 0
    client.connect_timeout = options.connect_timeout.total_seconds()
    if address.user is not None:
        client.username_pw_set(address.user, address.password)
    if address.encrypted:
        client.tls_set_context(_tls(options))
    if options.will is not None:
        will = options.will
        client.will_set(will.topic, will.payload, will.qos, will.retain)
    return client


def connect(client: Client, profile: Profile) -> None:
    """Open the socket and send CONNECT; blocks for the name lookup, TCP and TLS, so call it in a thread.

    Raises:
        OSError: the broker cannot be reached, or its certificate is not trusted.
    """
    options = profile.options
    address = Address.parse(options.url)
    keep_alive = int(options.keep_alive.total_seconds())
    if profile.level == MQTT_5:
        properties = _properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = options.receive_maximum
        properties.SessionExpiryInterval = 0 if profile.clean else options.session_expiry_seconds
        client.connect(address.host, address.port, keep_alive, clean_start=profile.clean, properties=properties)
    else:
        client.connect(address.host, address.port, keep_alive)


def without_delay(sock: socket.socket) -> None:
    """Switch Nagle's algorithm off: with delayed acknowledgements it costs 40 ms for each round trip."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def subscribe(client: Client, subscriptions: Sequence[Subscription], *, read_retained: bool, level: int) -> int | None:
    """Send one SUBSCRIBE with QoS 1; return its packet identifier, or None when the connection has just ended.

    On MQTT 5 retained messages come only when asked for, and live ones keep their retain flag.
    """
    if level == MQTT_5:
        code, packet_id = client.subscribe(
            [
                (
                    subscription.topic_filter,
                    SubscribeOptions(
                        qos=1,
                        noLocal=not subscription.echo,
                        retainAsPublished=True,
                        retainHandling=0 if read_retained else _DO_NOT_SEND,
                    ),
                )
                for subscription in subscriptions
            ]
        )
    else:
        code, packet_id = client.subscribe([(subscription.topic_filter, 1) for subscription in subscriptions])
    return packet_id if code == MQTTErrorCode.MQTT_ERR_SUCCESS else None


def publish(client: Client, message: Outbound, *, level: int) -> int:
    """Hand over one message; return its packet identifier, which no other message in flight has."""
    properties = None
    if message.correlation_data is not None and level == MQTT_5:
        properties = _properties(PacketTypes.PUBLISH)
        properties.CorrelationData = message.correlation_data
    while True:
        sent = client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        # The identifier of a message that is still unanswered after 65,535 others is taken: paho says so by this code.
        if sent.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            return sent.mid


def _tls(options: LinkOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        context.sslsocket_class = _HandshakingSocket
        if options.certificate_file is not None:
            context.load_cert_chain(options.certificate_file, options.key_file)
    except OSError as error:
        raise AddressError(f"a TLS file cannot be used: {error.strerror or type(error).__name__}") from error
    return context
