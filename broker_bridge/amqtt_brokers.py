"""amqtt's broker with those of its faults mended that a fleet would stumble over.

Rules:
- Only methods that amqtt calls itself are replaced, each for the one fault that its docstring names;
  tests/integration/test_embedded_broker.py shows each with real clients, so that a later amqtt cannot undo them unseen.
- No access rules: whoever reaches the port may do everything.

What is left: QoS 1 messages that a client has not acknowledged after five seconds, or when its connection ends, are not
delivered again; what a session missed may come after what is sent while it comes back; sessions and retained messages
are in memory only.

Spec: MQTT 3.1.1 §3.3.1.3 (retain), §3.8.4, §4.4.
Layer: adapter; imports amqtt, and is imported late.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError

if TYPE_CHECKING:
    from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
    from amqtt.session import Session

LISTENER = "default"


class MendedBroker(Broker):
    """A broker without a listener of its own: connections are handed to `external_connected`."""

    def __init__(self) -> None:
        """Load no plugin: amqtt's own greet every client as anonymous, whose sessions it then forgets."""
        listeners = {LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)}
        super().__init__(BrokerConfig(listeners=listeners, plugins={}))
        self._serving: set[BrokerProtocolHandler] = set()

    async def serve(self, packet: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it is gone; `packet` is its CONNECT, which has been read from `reader` already."""
        await self.external_connected(_Replayed(packet, reader), StreamWriterAdapter(writer), LISTENER)

    async def _authenticate(self, session: Session, _: ListenerConfig) -> bool:  # noqa: ARG002 - amqtt's signature
        """Let everybody in; without a plugin amqtt lets nobody."""
        return True

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Send retained messages when a client subscribes, and at no other time.

        amqtt also sends every client that connects what matches the subscriptions of all others, and fails with
        "dictionary changed size during iteration", which leaves the client connected and deaf, when another subscribes
        meanwhile.
        """
        if self._get_handler(session) in self._serving:
            await super()._publish_retained_messages_for_subscription(subscription, session)

    async def _publish_session_retained_messages(self, session: Session) -> None:
        """Send what was kept for a session while its client was away, without the retain flag that amqtt sets."""
        handler = self._get_handler(session)
        if handler is None:
            return
        try:
            async with asyncio.TaskGroup() as group:
                while not session.retained_messages.empty():
                    kept = session.retained_messages.get_nowait()
                    group.create_task(handler.mqtt_publish(kept.topic, kept.data, kept.qos, retain=False))
        except* (AMQTTError, TimeoutError) as unacknowledged:
            self.logger.debug("%s: %s", session.client_id, unacknowledged)

    async def _client_message_loop(self, client_session: Session, handler: BrokerProtocolHandler) -> None:
        """Disconnect a client whose message the broker will not take (a topic that begins with `$`).

        amqtt leaves it connected, acknowledges what it sends, and hands none of it on.
        """
        self._serving.add(handler)
        try:
            await super()._client_message_loop(client_session, handler)
            if client_session.transitions.state == "connected":
                ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                ended.set_result(None)
                await self._handle_disconnect(client_session, handler, ended)
        finally:
            self._serving.discard(handler)

    async def _handle_disconnect(
        self, client_session: Session, handler: BrokerProtocolHandler, disconnect_waiter: asyncio.Future[Any]
    ) -> None:
        """Forget a clean session at once; amqtt would hand it to a client that comes back within a second."""
        await super()._handle_disconnect(client_session, handler, disconnect_waiter)
        if client_session.clean_session and client_session.client_id is not None:
            await self._cleanup_session(client_session.client_id)


class _Replayed(StreamReaderAdapter):
    """A stream with some bytes put back before it, which are read on their own."""

    def __init__(self, ahead: bytes, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._ahead = ahead

    async def read(self, n: int = -1) -> bytes:
        if not self._ahead:
            return await super().read(n)
        data, self._ahead = self._ahead[:n], self._ahead[n:]
        return data
