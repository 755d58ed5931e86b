"""What the connections of a partition that is not alone are subscribed to: its own applications, and nothing else.

Rules:
- `main` hears every command, so that what is for no application is refused. What endpoints of unknown application
  versions say is not heard: one process would have to take in what all endpoints say.
- Subscriptions follow the applications: before a request that changes one is answered, the broker has them as well.
- A broker that is away, or busy, has them later, or with the next connection; the request is answered nevertheless.
- What a partition gave up is given up again by whoever holds it next: the broker may have been away.
- Both connections know what has changed before either is waited for.

Layer: service; stands around the web application.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from orchestrator import links
from orchestrator.application.partitions import MAIN
from orchestrator.application.ports import SUBSCRIBED
from protocol import controls, topics
from protocol.links import Subscription

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from broker_bridge.links import MqttLink
    from orchestrator.api.guards import App, Message, Receive, Scope, Send
    from orchestrator.application.directory import Directory
    from orchestrator.persistence.storage import SqlStorage
    from orchestrator.settings import Settings
    from protocol.topics import Instances

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 5.0
"""How long a request waits for the broker to know of it."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def of_endpoints(directory: Directory, instances: Instances, partition: str) -> list[Subscription]:
    """Everything that endpoints of a directory's applications say, and what the partition says to itself."""
    names = sorted(name for entry in directory.entries() for name in entry.application.app_versions)
    filters = [item for name in names for item in topics.subscriptions(instances, name)]
    return [links.marker_of(partition), *(Subscription(topic_filter=item) for item in filters)]


def left(directory: Directory, instances: Instances, names: Iterable[str]) -> list[str]:
    """What endpoints of application versions say that the partition once had, and has no more."""
    gone = sorted(name for name in names if directory.by_app_version(name) is None)
    return [item for name in gone for item in topics.subscriptions(instances, name)]


def left_of_operators(directory: Directory, partition: str, names: Iterable[str]) -> list[str]:
    """The commands to single applications that a session may have from before; `names` are those that are gone.

    `main` hears all commands at once: a broker would deliver twice what it has heard by the application's name as well,
    in an earlier version.
    """
    present = {entry.application.name for entry in directory.entries()}
    gone = present.union(names) if partition == MAIN else set(names) - present
    return [controls.subscription(name) for name in sorted(gone)]


def of_operators(directory: Directory, partition: str) -> list[Subscription]:
    """Every command to a directory's applications, and in `main` to all others."""
    if partition == MAIN:
        return [Subscription(topic_filter=controls.SUBSCRIPTION)]
    filters = [controls.subscription(entry.application.name) for entry in directory.entries()]
    return [Subscription(topic_filter=item) for item in filters]


@dataclass(slots=True, kw_only=True)
class Coverage:
    """An ASGI application around that of a partition."""

    app: App
    directory: Directory
    instances: Instances
    partition: str
    endpoints: MqttLink
    operators: MqttLink

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self.renew()
            await send(message)

        changes = scope["type"] == "http" and scope["method"] not in _SAFE
        await self.app(scope, receive, answer if changes else send)

    async def renew(self) -> None:
        """Have the broker know what is subscribed to now."""
        self.endpoints.cover(of_endpoints(self.directory, self.instances, self.partition))
        self.operators.cover(of_operators(self.directory, self.partition))
        until = asyncio.get_running_loop().time() + ANSWER_SECONDS
        for name, link in (("endpoints", self.endpoints), ("operators", self.operators)):
            try:
                async with asyncio.timeout_at(until):
                    await link.covered()
            except TimeoutError:
                log.warning("broker.not-covered", partition=self.partition, link=name)


async def links_of(
    settings: Settings,
    storage: SqlStorage,
    partition: str,
    directory: Directory,
    admitted: Callable[[], Awaitable[None]],
) -> tuple[MqttLink, MqttLink]:
    """The connection of a partition for endpoints, and that for operators; `admitted` as for each of them."""
    spoken = ordered = None
    spoken_before: list[str] = []
    commanded: list[str] = []
    if not directory.complete:
        spoken_before = left(directory, settings.instances, await storage.left_app_versions())
        spoken = of_endpoints(directory, settings.instances, partition)
        commanded = left_of_operators(directory, partition, await storage.left_applications())
        ordered = of_operators(directory, partition)
    return (
        links.for_endpoints(
            settings,
            storage.name,
            partition,
            admitted=admitted,
            covered=spoken,
            left=spoken_before,
            subscribed=(await storage.deliveries()).get(SUBSCRIBED),
        ),
        links.for_operators(settings, storage.name, partition, admitted=admitted, covered=ordered, left=commanded),
    )
