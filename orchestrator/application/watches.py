"""Everything for people that is not REST: commands and events over MQTT, numbers, and whether the service is there.

Rules:
- `online` is retained at each connection, `offline` when the service stops; the broker says `offline` for one that
  does neither, by the will of its connection.

Layer: application.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.application import products
from orchestrator.application.broadcasts import Broadcasts
from orchestrator.application.commands import Commands
from orchestrator.application.documents import instants
from orchestrator.application.narrator import Narrator
from orchestrator.application.operators import Operators
from orchestrator.application.partitions import presence_of
from orchestrator.application.summaries import Summaries
from protocol import controls
from protocol.links import LinkLost, Outbound

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from orchestrator.application.commands import UseCases
    from orchestrator.application.parts import Parts
    from protocol.links import Link

LEAVING_SECONDS = 1.0
"""How long a stop waits for the broker to take the last word."""


class Watch:
    """The loops for people."""

    def __init__(self, link: Link, parts: Parts, use_cases: UseCases, *, events: bool) -> None:
        """Take what they work with; `events` says whether events are published over MQTT."""
        self._link = link
        self._feed = parts.feed
        self._clock = parts.clock
        self._replica = presence_of(parts.installation, parts.partition)
        self._since = parts.clock.now()
        commands = Commands(use_cases, parts.settings.limits)
        self._summaries = Summaries(parts.feed, use_cases.observations, parts.directory, parts.clock)
        self._narrator = Narrator(parts.feed, use_cases.rollouts, parts.directory, parts.clock)
        self._broadcasts = Broadcasts(link, parts, told=events)
        self._operators = Operators(link, commands, parts, self._greet)

    def loops(self) -> dict[str, Callable[[], Coroutine[None, None, None]]]:
        """The loops by name, in the order in which they are started."""
        return {
            "operators.link": self._link.run,
            "operators.take": self._operators.take,
            "operators.answer": self._operators.answer,
            "operators.broadcasts": self._broadcasts.run,
            "feed.summaries": self._summaries.run,
            "feed.rollouts": self._narrator.run,
        }

    def close(self) -> None:
        """Let streams end, and everybody else who reads events."""
        self._feed.close()

    async def leave(self) -> None:
        """Say that the service is not there any more; to be called while the link still runs."""
        try:
            async with asyncio.timeout(LEAVING_SECONDS):
                await self._link.publish([presence(self._replica, "offline", self._clock.now())])
        except (LinkLost, TimeoutError):
            return

    def _greet(self) -> list[Outbound]:
        """There is a new connection, and maybe a broker that knows nothing: tell it everything again."""
        self._summaries.renew()
        return [presence(self._replica, "online", self._since)]


def presence(replica: str, status: str, since: datetime | None) -> Outbound:
    """What is retained of a replica; `since` is None when nobody can know it."""
    payload = controls.presence(replica, status, instants.build_optional(since), products.version())
    return Outbound(topic=controls.presence_topic(replica), payload=payload, retain=True)


def will(replica: str) -> Outbound:
    """What the broker says of a replica that went without a word."""
    return presence(replica, "offline", None)
