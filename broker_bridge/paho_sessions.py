"""One connection of the link with all that belongs to it: what it brought, owes to the broker, and waits for.

Rules:
- It is up once the broker has accepted our subscriptions; the notice of it goes before its first message.
- MQTT 5: subscribed again on every connection, without the retained messages, so that a change of ours takes effect.
  MQTT 3.1.1 cannot leave them out: subscribed only when the broker has no session.
- Our own echoes and what matches none of our subscriptions (both on MQTT 3.1.1: the second is a fault of amqtt's), and
  topics that are not UTF-8, are acknowledged in their place and go no further.
- A publish that the broker leaves unanswered for too long ends the connection.

Spec: MQTT 5.0 §3.2.2.3 (limits of the broker), §3.8.3.1, §4.6; MQTT 3.1.1 §3.8.4.
Layer: adapter.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from broker_bridge import paho_clients, reasons
from broker_bridge.acknowledgements import Acknowledgements
from broker_bridge.errors import BrokerRefused
from broker_bridge.paho_connections import Listener, PahoConnection
from broker_bridge.topic_filters import matcher
from broker_bridge.windows import Window
from protocol.links import REFUSED, Connection, LinkLost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker_bridge.counters import Counters
    from broker_bridge.inboxes import Inbox
    from broker_bridge.options import LinkOptions
    from broker_bridge.paho_connections import Accepted, Ending
    from protocol.links import Inbound, Outbound, Received

_TICK_SECONDS = 1.0
_LONGEST_TOPIC_BYTES = 65_535
_HEADER_BYTES = 16
"""An upper bound for what a PUBLISH has beside topic, payload and correlation data."""


class PahoSession:
    """One connection; `await open()`, `await until_ended()`, and `close()` it in any case."""

    def __init__(
        self, options: LinkOptions, *, is_ours: Callable[[str], bool], inbox: Inbox, counters: Counters
    ) -> None:
        """Make it unconnected."""
        profile = paho_clients.session(options)
        self._options = options
        self._level = profile.level
        self._is_ours = is_ours
        self._asked_for = matcher(subscription.topic_filter for subscription in options.subscriptions)
        self._inbox = inbox
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._owed = Acknowledgements()
        self._early: list[Inbound] = []
        self._accepted: Accepted | None = None
        self._window: Window | None = None
        self.connection: Connection | None = None
        """What is told to the link's user; None until it is up."""
        self._wire = PahoConnection(
            profile,
            Listener(
                on_message=self._message, on_malformed=self._malformed, on_answered=self._answered, on_read=self._read
            ),
        )

    async def open(self, number: int) -> Connection:
        """Connect and subscribe; `number` is the connection's own.

        Raises:
            BrokerRefused: the broker will not have us, however often we come.
            OSError: it cannot be reached, is busy, or the connection ended.
        """
        try:
            accepted = await self._wire.open()
        except ssl.SSLCertVerificationError as error:
            raise BrokerRefused(f"we do not trust its certificate: {error.verify_message}") from error
        if accepted.reason_code >= REFUSED:
            if reasons.is_for_good(accepted.reason_code):
                raise BrokerRefused(accepted.reason, accepted.reason_code)
            raise ConnectionRefusedError(accepted.reason)
        await self._subscribe(session_present=accepted.session_present)
        return self._come_up(number, accepted)

    async def until_ended(self) -> Ending:
        """Keep the connection alive until it ends; return why."""
        while not self._wire.ended.done():
            await asyncio.wait((self._wire.ended,), timeout=_TICK_SECONDS)
            self._wire.tick()
            since = self._window.waiting_since() if self._window else None
            if since is not None and self._loop.time() - since > self._options.publish_timeout.total_seconds():
                self._wire.end("the broker left a publish unanswered for too long")
        return self._wire.ended.result()

    def acknowledge(self, received: Received) -> None:
        """Queue the PUBACKs of these messages, which this connection brought."""
        due = self._owed.release(message.packet_id for message in received.messages if message.qos)
        self._wire.acknowledge(due)
        self._counters.acknowledged += len(due)
        self.relieve()

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        """Send in order; return one reason code for each.

        Raises:
            LinkLost: the connection has ended, or ends before all are answered.
        """
        if self._window is None or self._wire.ended.done():
            raise LinkLost("not connected")
        done: asyncio.Future[list[int]] = self._loop.create_future()
        self._window.add(messages, done)
        return await done

    def relieve(self) -> None:
        """Read again if reading was stopped and half of the room is free."""
        half = self._options.inbox_limit // 2
        if not self._wire.reading and len(self._inbox) <= half and len(self._owed) <= half:
            self._wire.resume()

    def close(self) -> None:
        """Close the connection and let every publish in flight fail; never blocks."""
        self._wire.close()
        if self._window is not None:
            self._window.fail(self._wire.ended.result().reason)

    async def _subscribe(self, *, session_present: bool) -> None:
        if not self._options.subscriptions or (session_present and self._level < paho_clients.MQTT_5):
            return
        codes = await self._wire.subscribe(self._options.subscriptions)
        for subscription, code in zip(self._options.subscriptions, codes, strict=True):
            if code >= REFUSED:
                raise BrokerRefused(f"the subscription to {subscription.topic_filter}", code)

    def _come_up(self, number: int, accepted: Accepted) -> Connection:
        self._accepted = accepted
        self.connection = Connection(
            number=number,
            session_present=accepted.session_present,
            receive_maximum=accepted.receive_maximum,
            maximum_packet_bytes=accepted.maximum_packet_bytes,
            protocol_level=self._level,
        )
        self._window = Window(
            size=min(self._options.publish_window, accepted.receive_maximum),
            refusal=self._refusal,
            send=self._wire.publish,
            clock=self._loop.time,
            counters=self._counters,
        )
        self._inbox.announce(self.connection)
        for message in self._early:
            self._inbox.put(self.connection, message)
        self._early.clear()
        return self.connection

    def _refusal(self, message: Outbound) -> int:
        # What the broker would end the connection for, or the library raise: refused here, as the broker would.
        topic_bytes = len(message.topic.encode(errors="replace"))
        if not message.topic or "+" in message.topic or "#" in message.topic or topic_bytes > _LONGEST_TOPIC_BYTES:
            return reasons.TOPIC_NAME_INVALID
        accepted = self._accepted
        if accepted is None:
            return 0
        limit = accepted.maximum_packet_bytes
        size = _HEADER_BYTES + topic_bytes + len(message.payload) + len(message.correlation_data or b"")
        if limit is not None and size > limit:
            return reasons.PACKET_TOO_LARGE
        return reasons.RETAIN_NOT_SUPPORTED if message.retain and not accepted.retain_available else 0

    def _message(self, message: Inbound) -> None:
        if self._level < paho_clients.MQTT_5 and self._unwanted(message.topic):
            self._drop(message.packet_id)
            return
        self._counters.inbound += 1
        if message.qos:
            self._owed.received(message.packet_id)
        if self.connection is None:
            self._early.append(message)
        else:
            self._inbox.put(self.connection, message)

    def _unwanted(self, topic: str) -> bool:
        if self._is_ours(topic):
            self._counters.echoes += 1
            return True
        if not self._asked_for(topic):
            self._counters.unasked += 1
            return True
        return False

    def _malformed(self, packet_id: int) -> None:
        self._counters.malformed += 1
        self._drop(packet_id)

    def _drop(self, packet_id: int) -> None:
        if packet_id:
            self._wire.acknowledge(self._owed.dropped(packet_id))

    def _answered(self, packet_id: int, reason_code: int) -> None:
        if self._window is not None:
            self._window.answered(packet_id, reason_code)

    def _read(self) -> None:
        if self._window is not None:
            self._window.pump()
        crowded = self._inbox.full or len(self._owed) >= self._options.inbox_limit
        if crowded and self.connection is not None and self._wire.reading:
            self._counters.paused_reads += 1
            self._wire.pause()
