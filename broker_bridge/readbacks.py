"""Reads back what the broker retains on given topics, on a second, clean connection.

Rules:
- The answer is complete when a message that we publish to ourselves after the SUBSCRIBE has come back: brokers hand out
  retained messages of a subscription before later publishes. (One that does not makes a topic look empty; the caller
  then publishes what is there already.)
- Only the topics asked for count: amqtt sends retained messages of other clients' subscriptions as well.
- A retained publish that arrives meanwhile counts, as the newer word on its topic (MQTT 5; 3.1.1 does not show it).

Spec: MQTT 5.0 §3.3.1.3, §3.8.4.
Layer: adapter.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from broker_bridge import profiles, reasons
from broker_bridge.connections import BrokerConnection, Listener
from broker_bridge.errors import AddressError
from broker_bridge.packets import Misspelt
from protocol.links import REFUSED, LinkLost, Outbound, Subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_bridge.options import LinkOptions
    from protocol.links import Inbound

_TOPICS_AT_A_TIME = 100
"""Well below the default limits of brokers for queued messages (Mosquitto: 1000) and for filters in one packet."""


async def read_retained(options: LinkOptions, topics: Sequence[str]) -> dict[str, bytes]:
    """The retained payloads of these exact topics; topics without one are absent.

    Raises:
        LinkLost: the connection could not be made, was refused or ended, or did not answer in time.
    """
    if not topics:
        return {}
    readback = _Readback(options)
    try:
        return await readback.run(list(dict.fromkeys(topics)))
    except TimeoutError as error:
        raise LinkLost("the reading connection did not answer in time") from error
    except (AddressError, OSError) as error:
        raise LinkLost(f"the reading connection: {error}") from error
    finally:
        readback.connection.close()


class _Readback:
    """One reading connection."""

    def __init__(self, options: LinkOptions) -> None:
        self._options = options
        self._found: dict[str, bytes] = {}
        self._asked: frozenset[str] = frozenset()
        self._refused: int | None = None
        self._probe = f"otao/v1/partition/{options.client_id}/probe/{secrets.token_hex(8)}"
        self._round = b""
        self._changed = asyncio.Event()
        self.connection = BrokerConnection(
            profiles.reader(options), Listener(on_messages=self._messages, on_answers=self._answers)
        )
        self.connection.ended.add_done_callback(lambda _ended: self._changed.set())

    async def run(self, topics: list[str]) -> dict[str, bytes]:
        async with asyncio.timeout(self._options.connect_timeout.total_seconds()):
            accepted = await self.connection.open()
        if accepted.reason_code >= REFUSED:
            raise LinkLost(f"the reading connection was refused: {reasons.name(accepted.reason_code)}")
        self._asked = frozenset(topics)
        await self._subscribe([self._probe])
        for start in range(0, len(topics), _TOPICS_AT_A_TIME):
            async with asyncio.timeout(self._options.publish_timeout.total_seconds()):
                await self._subscribe(topics[start : start + _TOPICS_AT_A_TIME])
                await self._own_message(str(start).encode())
        return self._found

    async def _subscribe(self, topics: list[str]) -> None:
        subscriptions = [Subscription(topic_filter=topic, echo=True) for topic in topics]
        codes = await self.connection.subscribe(subscriptions, read_retained=True)
        if max(codes) >= REFUSED:
            raise LinkLost(f"the broker refused to let us read (reason code {max(codes):#04x})")

    async def _own_message(self, payload: bytes) -> None:
        self._changed.clear()
        self.connection.publish(Outbound(topic=self._probe, payload=payload))
        while self._round != payload:
            if self._refused is not None:
                raise LinkLost(f"the broker refused our own message (reason code {self._refused:#04x})")
            if self.connection.ended.done():
                raise LinkLost(self.connection.ended.result().reason)
            await self._changed.wait()
            self._changed.clear()

    def _messages(self, messages: Sequence[Inbound | Misspelt]) -> None:
        for message in messages:
            if not isinstance(message, Misspelt):
                self._message(message)
        self.connection.acknowledge([message.packet_id for message in messages if message.packet_id])
        self._changed.set()

    def _message(self, message: Inbound) -> None:
        if message.topic == self._probe:
            self._round = message.payload
        elif message.retain and message.topic in self._asked:
            if message.payload:
                self._found[message.topic] = message.payload
            else:
                self._found.pop(message.topic, None)

    def _answers(self, answers: Sequence[tuple[int, int]]) -> None:
        for _packet_id, reason_code in answers:
            if reason_code >= REFUSED:
                self._refused = reason_code
        self._changed.set()
