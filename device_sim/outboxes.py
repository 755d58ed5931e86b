"""What a client has said and Otao has not yet confirmed.

Rules:
- Whatever has to arrive carries a request ID, and is said again until it is answered.
- About one thing there is one message: a newer one takes the place of the older one, whose answer no longer counts.
- What is said without a connection is kept for the next one; mere news is lost.

Layer: device_sim.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiomqtt

if TYPE_CHECKING:
    from collections.abc import Container

RUNNING = "running"
HEALTH = "health"
CONSENT = "consent"


def failure_of(version: str) -> str:
    """What a report about a failed install is about."""
    return f"failure of {version}"


class Publisher(Protocol):
    """What an outbox needs of a connection; `aiomqtt.Client` is one."""

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Publish, and wait for the broker.

        Raises:
            MqttError: the connection has ended.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A message that Otao has not yet confirmed."""

    topic: str
    payload: bytes


class Outbox:
    """The messages of one client that wait for their confirmation, by what they are about.

    Args:
        base: the client's topics for software, up to the token with a slash.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._publisher: Publisher | None = None
        self._pending: dict[str, _Request] = {}
        self._last_id = 0

    def connect(self, publisher: Publisher) -> None:
        """Use a connection from now on."""
        self._publisher = publisher

    def disconnect(self) -> None:
        """Use no connection any more."""
        self._publisher = None

    async def ask(self, about: str, resource: str, payload: bytes) -> None:
        """Say what has to arrive, in place of whatever was said about the same thing."""
        self._last_id += 1
        request = _Request(topic=f"{self._base}{resource}/{self._last_id}", payload=payload)
        self._pending[about] = request
        await self._publish(request.topic, payload)

    async def tell(self, resource: str, payload: bytes) -> None:
        """Say what may be lost."""
        await self._publish(f"{self._base}{resource}", payload)

    async def repeat(self, about: str | None = None) -> None:
        """Say again what was not answered: all of it, or what is about one thing.

        Raises:
            MqttError: the connection has ended.
        """
        due = [request for subject, request in self._pending.items() if about in {None, subject}]
        for request in due:
            if self._publisher is not None:
                await self._publisher.publish(request.topic, request.payload, qos=1)

    def waits(self, about: str) -> bool:
        """Whether something was said about this and has not been answered."""
        return about in self._pending

    def answered(self, topic: str) -> str | None:
        """What the message on this topic was about, which waits no longer; None: none that waits was."""
        about = next((about for about, request in self._pending.items() if request.topic == topic), None)
        if about is not None:
            del self._pending[about]
        return about

    def keep(self, kept: Container[str]) -> None:
        """Forget all that is about anything else."""
        self._pending = {about: request for about, request in self._pending.items() if about in kept}

    async def _publish(self, topic: str, payload: bytes) -> None:
        """Publish if there is a connection; what has to arrive is among the pending ones."""
        if self._publisher is not None:
            with suppress(aiomqtt.MqttError):
                await self._publisher.publish(topic, payload, qos=1)
