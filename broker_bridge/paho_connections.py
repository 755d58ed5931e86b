"""One MQTT connection: a paho client driven by the event loop, from CONNECT to its end.

Rules:
- The event loop alone touches the client after the blocking connect, which runs in a thread.
- A connection that its opener gave up on sends no CONNECT: it would take the session from its successor.

Spec: MQTT 5.0 §3.1-3.4, §3.14.
Layer: adapter; only public names of paho.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from broker_bridge import paho_clients
from broker_bridge.paho_sockets import Pump
from protocol.links import Inbound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, SocketLike
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from broker_bridge.paho_clients import Profile
    from protocol.links import Outbound, Subscription

_T = TypeVar("_T")

_LARGEST_RECEIVE_MAXIMUM = 65_535
"""What holds when the broker names none (MQTT 5.0 §3.2.2.3.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The broker's CONNACK."""

    reason_code: int
    reason: str
    session_present: bool = False
    receive_maximum: int = _LARGEST_RECEIVE_MAXIMUM
    maximum_packet_bytes: int | None = None
    retain_available: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a connection ended; the reason code is the broker's own DISCONNECT, None when it sent none."""

    reason: str
    reason_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told what a connection brings; called on the event loop."""

    on_message: Callable[[Inbound], None]
    on_malformed: Callable[[int], None]
    """A message whose topic is not UTF-8, by its packet identifier (0 with QoS 0)."""
    on_answered: Callable[[int, int], None]
    """A publish is answered (QoS 1) or written (QoS 0): packet identifier and reason code."""
    on_read: Callable[[], None]
    """A turn of reading is over."""


class PahoConnection:
    """One connection; make it, `await open()`, use it until `ended` is done, `close()` it in any case."""

    def __init__(self, profile: Profile, listener: Listener) -> None:
        """Make an unconnected client.

        Raises:
            AddressError: the URL or a TLS file cannot be used.
        """
        self._profile = profile
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._client: Client = paho_clients.make(profile)
        self._pump = Pump(self._client, listener.on_read)
        self._abandoned = False
        self._accepted: asyncio.Future[Accepted] = self._loop.create_future()
        self._granted: dict[int, asyncio.Future[list[int]]] = {}
        self.ended: asyncio.Future[Ending] = self._loop.create_future()

    @property
    def reading(self) -> bool:
        """Whether the socket is being read."""
        return self._pump.reading

    async def open(self) -> Accepted:
        """Connect, and wait for the broker's answer, which may be a refusal.

        Raises:
            OSError: the broker cannot be reached, or the connection ended before it answered.
        """
        client = self._client
        client.on_socket_open = self._opened
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._message
        client.on_publish = self._answered
        client.on_subscribe = self._subscribed
        try:
            await self._loop.run_in_executor(None, paho_clients.connect, client, self._profile)
        except asyncio.CancelledError:
            self._abandoned = True
            raise
        # From here on only the event loop touches the client: these callbacks were not set while the thread had it.
        self._pump.attach()
        return await self._or_ended(self._accepted)

    async def subscribe(self, subscriptions: Sequence[Subscription], *, read_retained: bool = False) -> list[int]:
        """Subscribe with QoS 1; return one reason code for each.

        Raises:
            OSError: the connection ended before the broker answered.
        """
        packet_id = paho_clients.subscribe(
            self._client, subscriptions, read_retained=read_retained, level=self._profile.level
        )
        if packet_id is None:
            raise ConnectionResetError("the connection ended")
        granted = self._granted[packet_id] = self._loop.create_future()
        return await self._or_ended(granted)

    def publish(self, message: Outbound) -> int:
        """Queue one message for the next flush; return its packet identifier."""
        return paho_clients.publish(self._client, message, level=self._profile.level)

    def acknowledge(self, packet_ids: Iterable[int]) -> None:
        """Queue PUBACKs, in this order, for the next flush."""
        for packet_id in packet_ids:
            self._client.ack(packet_id, 1)

    def pause(self) -> None:
        """Stop reading; the broker's answers to our own publishes wait as well."""
        self._pump.pause()

    def resume(self) -> None:
        """Read again."""
        self._pump.resume()

    def tick(self) -> None:
        """Keep the connection alive and find out when it is not; call it about once a second."""
        self._client.loop_misc()
        if not self._pump.reading and self._pump.hung_up():
            self.end("the broker closed the connection while we were not reading")

    def end(self, reason: str, reason_code: int | None = None) -> None:
        """Count the connection as over from now on; the first reason stays."""
        if not self.ended.done():
            self.ended.set_result(Ending(reason=reason, reason_code=reason_code))

    def close(self) -> None:
        """Send what is queued and DISCONNECT, as far as the socket takes it at once, and close; never blocks."""
        self._abandoned = True
        self.end("closed by us")
        if self._client.is_connected():
            self._client.disconnect()
            self._client.loop_write()
        self._pump.detach()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    async def _or_ended(self, answer: asyncio.Future[_T]) -> _T:
        await asyncio.wait((answer, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ConnectionResetError(self.ended.result().reason)

    def _opened(self, _client: Client, _userdata: object, sock: SocketLike) -> None:
        # In the connecting thread, before CONNECT is sent.
        if self._abandoned:
            raise ConnectionAbortedError
        if isinstance(sock, socket.socket):
            paho_clients.without_delay(sock)

    def _connected(
        self,
        _client: Client,
        _userdata: object,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if not self._accepted.done():
            self._accepted.set_result(
                Accepted(
                    reason_code=reason_code.value,
                    reason=str(reason_code),
                    session_present=flags.session_present,
                    receive_maximum=getattr(properties, "ReceiveMaximum", _LARGEST_RECEIVE_MAXIMUM),
                    maximum_packet_bytes=getattr(properties, "MaximumPacketSize", None),
                    retain_available=bool(getattr(properties, "RetainAvailable", 1)),
                )
            )

    def _disconnected(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        by_broker = flags.is_disconnect_packet_from_server
        self.end(str(reason_code), reason_code.value if by_broker else None)

    def _subscribed(
        self,
        _client: Client,
        _userdata: object,
        packet_id: int,
        reason_codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        granted = self._granted.pop(packet_id, None)
        if granted is not None and not granted.done():
            granted.set_result([code.value for code in reason_codes])

    def _answered(
        self,
        _client: Client,
        _userdata: object,
        packet_id: int,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._pump.progressed()
        self._listener.on_answered(packet_id, reason_code.value)

    def _message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._pump.progressed()
        packet_id = message.mid if message.qos else 0
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._listener.on_malformed(packet_id)
            return
        self._listener.on_message(
            Inbound(
                topic=topic,
                payload=bytes(message.payload),
                qos=message.qos,
                retain=bool(message.retain),
                duplicate=message.dup,
                packet_id=packet_id,
                response_topic=getattr(message.properties, "ResponseTopic", None),
                correlation_data=getattr(message.properties, "CorrelationData", None),
            )
        )
