"""The links that the contract suite runs on, and the few moves that its tests are made of."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from broker_bridge.backoffs import Backoff
from broker_bridge.links import MqttLink
from broker_bridge.options import LinkOptions
from protocol import topics
from protocol.links import Inbound, Outbound, Received, Subscription
from tests.contract.deadlines import SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from protocol.links import Link

REQUESTS = "kp1/+/cmx_ota/+/#"
MARKER = "otao/v1/partition/p/marker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a test wants of a link, in words that every implementation understands."""

    url: str
    client_id: str = "contract"
    subscriptions: tuple[Subscription, ...] = field(
        default=(Subscription(topic_filter=REQUESTS), Subscription(topic_filter=MARKER, echo=True))
    )
    inbox_limit: int = 40_000
    publish_window: int = 100
    publish_timeout: timedelta = timedelta(seconds=30)
    ca_file: Path | None = None
    will: Outbound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation:
    """One way to make a link."""

    name: str
    level: int
    make: Callable[[Setup], Link]


def _mqtt(protocol: str) -> Callable[[Setup], Link]:
    def make(setup: Setup) -> Link:
        options = LinkOptions(
            url=setup.url,
            client_id=setup.client_id,
            subscriptions=setup.subscriptions,
            protocol="5" if protocol == "5" else "3.1.1",
            inbox_limit=setup.inbox_limit,
            publish_window=setup.publish_window,
            publish_timeout=setup.publish_timeout,
            ca_file=setup.ca_file,
            will=setup.will,
            backoff=Backoff(longest=timedelta(milliseconds=200)),
        )
        return MqttLink(options, is_ours=topics.is_ours)

    return make


IMPLEMENTATIONS = (
    Implementation(name="mqtt-5", level=5, make=_mqtt("5")),
    Implementation(name="mqtt-3.1.1", level=4, make=_mqtt("3.1.1")),
)


@asynccontextmanager
async def running(link: Link) -> AsyncIterator[Link]:
    """Run the link, wait until its first connection is up, and stop it in the end."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(link.run(), name="link")
        try:
            await came_up(link)
            yield link
        finally:
            task.cancel()


async def came_up(link: Link) -> Received:
    """The next notice of a new connection; messages before it are taken and not acknowledged."""
    async with asyncio.timeout(SECONDS):
        while (received := await link.receive(500)).messages:
            pass
        return received


async def take(link: Link, count: int, *, limit: int = 500) -> list[Received]:
    """Batches with at least `count` messages in all, unacknowledged."""
    batches: list[Received] = []
    async with asyncio.timeout(SECONDS):
        while sum(len(batch.messages) for batch in batches) < count:
            batches.append(await link.receive(limit))
    return batches


async def take_acknowledged(link: Link, count: int) -> list[Inbound]:
    """At least `count` messages, each batch acknowledged when it is there."""
    messages: list[Inbound] = []
    async with asyncio.timeout(SECONDS):
        while len(messages) < count:
            received = await link.receive(500)
            link.acknowledge(received)
            messages.extend(received.messages)
    return messages


async def up_to_marker(link: Link, name: bytes) -> list[Inbound]:
    """All that arrives before a marker that the link publishes to itself, acknowledged; the marker itself left out."""
    assert await link.publish([Outbound(topic=MARKER, payload=name)]) == [0]
    messages: list[Inbound] = []
    async with asyncio.timeout(SECONDS):
        while True:
            received = await link.receive(500)
            link.acknowledge(received)
            for message in received.messages:
                if message.topic == MARKER and message.payload == name:
                    return messages
                messages.append(message)


def flat(batches: list[Received]) -> list[Inbound]:
    """The messages of these batches, in order."""
    return [message for batch in batches for message in batch.messages]
