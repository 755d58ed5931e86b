"""One connection of the link with all that belongs to it: what it brought, owes to the broker, and waits for.

Rules:
- It is up once the broker has accepted our subscriptions; the notice of it goes before its first message. Where the
  broker has our session, it is up at once: whatever waited for us, however much, comes before that answer (Mosquitto up
  to 2.0.11 sends all of it, whatever the receive maximum), and has to be restrained as on any other connection.
- Our own echoes and what matches none of our subscriptions (both on MQTT 3.1.1: the second is a fault of amqtt's), and
  topics that are not UTF-8, are acknowledged in their place and go no further.
- A publish that the broker leaves unanswered for too long ends the connection. While we do not keep up with reading,
  the answer waits behind what we have not read, and time does not count.

Spec: MQTT 5.0 §3.2.2.3 (limits of the broker), §4.6.
Layer: adapter.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from broker_bridge import profiles, reasons
from broker_bridge.acknowledgements import Acknowledgements
from broker_bridge.connections import BrokerConnection, Listener
from broker_bridge.encodings import LARGEST_INTEGER
from broker_bridge.errors import BrokerRefused
from broker_bridge.packets import Connack, Misspelt
from broker_bridge.subscriptions import Subscriptions
from broker_bridge.windows import Window
from protocol.links import MQTT_5, REFUSED, Connection, LinkLost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker_bridge.counters import Counters
    from broker_bridge.exchanges import Ending
    from broker_bridge.inboxes import Inbox
    from broker_bridge.options import LinkOptions
    from protocol.links import Inbound, Outbound, Received, Subscription

_TICK_SECONDS = 1.0
_LONGEST_TOPIC_BYTES = 65_535
_HEADER_BYTES = 16
"""An upper bound for what a PUBLISH has beside topic, payload and correlation data."""


class LinkSession:
    """One connection; `await open()`, `await until_ended()`, and `close()` it in any case."""

    def __init__(
        self,
        options: LinkOptions,
        *,
        is_ours: Callable[[str], bool],
        inbox: Inbox,
        counters: Counters,
        left: set[str],
    ) -> None:
        """Make it unconnected; `left` are topic filters that were given up and may be subscribed to still."""
        profile = profiles.session(options)
        self._options = options
        self._level = profile.level
        self._is_ours = is_ours
        self._inbox = inbox
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._owed = Acknowledgements()
        self._early: list[Inbound] = []
        self._accepted: Connack | None = None
        self._window: Window | None = None
        self._behind_at = 0.0
        """When we last went on reading."""
        self.connection: Connection | None = None
        """What is told to the link's user; None until it is up."""
        self._wire = BrokerConnection(profile, Listener(on_messages=self._messages, on_answers=self._answers))
        self._subscriptions = Subscriptions(options, self._wire, counters, left=left, clock=self._loop.time)

    @property
    def refused(self) -> list[str]:
        """Topic filters that the broker does not accept at present."""
        return self._subscriptions.refused

    async def open(self, number: int) -> Connection:
        """Connect and subscribe; `number` is the connection's own.

        Raises:
            AddressError: a TLS file cannot be used.
            BrokerRefused: the broker will not have us, however often we come.
            OSError: it cannot be reached, is busy, or the connection ended.
        """
        try:
            accepted = await self._wire.open()
        except ssl.SSLCertVerificationError as error:
            raise BrokerRefused(f"we do not trust its certificate: {error.verify_message}") from error
        if accepted.reason_code >= REFUSED:
            reason = reasons.name(accepted.reason_code)
            if reasons.is_for_good(accepted.reason_code):
                raise BrokerRefused(reason, accepted.reason_code)
            raise ConnectionRefusedError(reason)
        if accepted.session_present:
            self._subscriptions.resume(self._level)
        else:
            await self._subscriptions.begin()
        return self._come_up(number, accepted)

    def cover(self, subscriptions: tuple[Subscription, ...]) -> None:
        """Be subscribed to exactly these from now on."""
        self._subscriptions.cover(subscriptions)

    @property
    def answered(self) -> bool:
        """Whether the broker has answered all that we have asked it to subscribe to."""
        return self._subscriptions.answered

    async def covered(self) -> None:
        """Return when the broker has answered what `cover` has changed, or the connection has ended."""
        await self._subscriptions.covered()

    async def until_ended(self) -> Ending:
        """Keep the connection alive until it ends; return why.

        Raises:
            BrokerRefused: it had our session, and does not accept our subscriptions any more.
        """
        while not self._wire.ended.done():
            awaited: list[asyncio.Future[Any]] = [self._wire.ended, *self._subscriptions.answers]
            await asyncio.wait(awaited, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            self._subscriptions.tick()
            self._wire.tick()
            self._end_if_unanswered()
        return self._wire.ended.result()

    def _end_if_unanswered(self) -> None:
        since = self._window.waiting_since() if self._window else None
        if since is None or not self._wire.reading:
            return
        if self._loop.time() - max(since, self._behind_at) > self._options.publish_timeout.total_seconds():
            self._wire.end("the broker left a publish unanswered for too long")

    def acknowledge(self, received: Received) -> None:
        """Queue the PUBACKs of these messages, which this connection brought."""
        due = self._owed.release([message.packet_id for message in received.messages if message.qos])
        if due:
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
        if not self._wire.reading and self._inbox.roomy and len(self._owed) <= half:
            self._behind_at = self._loop.time()
            self._wire.resume()

    def close(self) -> None:
        """Close the connection and let every publish in flight fail; never blocks."""
        self._wire.close()
        if self._window is not None:
            self._window.fail(self._wire.ended.result().reason)

    def _come_up(self, number: int, accepted: Connack) -> Connection:
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
        if self._early:
            self._inbox.put(self.connection, self._early)
            self._restrain()
        return self.connection

    def _refusal(self, message: Outbound) -> int:
        # What the broker would end the connection for: refused here, as the broker would.
        topic_bytes = len(message.topic.encode(errors="replace"))
        if not message.topic or "+" in message.topic or "#" in message.topic or topic_bytes > _LONGEST_TOPIC_BYTES:
            return reasons.TOPIC_NAME_INVALID
        accepted = self._accepted
        if accepted is None:
            return 0
        size = _HEADER_BYTES + topic_bytes + len(message.payload) + len(message.correlation_data or b"")
        if size > (accepted.maximum_packet_bytes or LARGEST_INTEGER):
            return reasons.PACKET_TOO_LARGE
        if message.qos > accepted.maximum_qos:
            return reasons.QOS_NOT_SUPPORTED
        return reasons.RETAIN_NOT_SUPPORTED if message.retain and not accepted.retain_available else 0

    def _messages(self, messages: Sequence[Inbound | Misspelt]) -> None:
        wanted: list[Inbound] = []
        for message in messages:
            if isinstance(message, Misspelt):
                self._counters.malformed += 1
                self._drop(message.packet_id)
            elif self._level < MQTT_5 and self._unwanted(message.topic):
                self._drop(message.packet_id)
            else:
                wanted.append(message)
                if message.qos:
                    self._owed.received(message.packet_id)
        self._counters.inbound += len(wanted)
        if self.connection is None:
            self._early += wanted
        elif wanted:
            self._inbox.put(self.connection, wanted)
            self._restrain()

    def _unwanted(self, topic: str) -> bool:
        if self._is_ours(topic):
            self._counters.echoes += 1
            return True
        if not self._subscriptions.matches(topic):
            self._counters.unasked += 1
            return True
        return False

    def _drop(self, packet_id: int) -> None:
        if packet_id:
            due = self._owed.dropped(packet_id)
            if due:
                self._wire.acknowledge(due)

    def _answers(self, answers: Sequence[tuple[int, int]]) -> None:
        if self._window is None:
            return
        for packet_id, reason_code in answers:
            self._window.answered(packet_id, reason_code)
        self._window.pump()

    def _restrain(self) -> None:
        """Stop reading when too much waits or is unacknowledged."""
        if self._wire.reading and (self._inbox.full or len(self._owed) >= self._options.inbox_limit):
            self._counters.paused_reads += 1
            self._wire.pause()
