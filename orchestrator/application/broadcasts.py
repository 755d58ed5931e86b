"""Events and numbers for those who watch over MQTT.

Rules:
- They give way: at most `RATE` a second leave, on the operators' connection, and `BUSY_RATE` while more happens than
  that; what the feed has forgotten by then is told as a count. Offers wait for none of them.
- An application's numbers are retained, and gone when it is.
- What leaves while a connection ends may leave twice; an event's id tells.

Layer: application.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.application.audits import Action
from orchestrator.application.documents import events, texts
from orchestrator.application.documents.events import Event
from protocol import controls
from protocol.links import REFUSED, LinkLost, Outbound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.application.documents.texts import Document
    from orchestrator.application.feeds import Taken
    from orchestrator.application.parts import Parts
    from protocol.links import Link

AT_ONCE = 50
"""Events that leave together."""
RATE = 1_000
"""Events in a second: 15 % of a core."""
BUSY_RATE = 200
"""The same while more than `BEHIND` happenings wait: whatever causes so many needs the core more."""
BEHIND = 5_000
AWAY_SECONDS = 0.2
"""Between two looks whether there is a connection again."""


class Broadcasts:
    """One loop."""

    def __init__(self, link: Link, parts: Parts, *, told: bool) -> None:
        """Take what it works with; `told` says whether events are published, or only the numbers."""
        self._link = link
        self._feed = parts.feed
        self._clock = parts.clock
        self._tallies = parts.tallies
        self._installation = parts.installation
        self._told = told
        self._number = 0

    async def run(self) -> None:
        """Publish what happens, until cancelled."""
        loop = asyncio.get_running_loop()
        with self._feed.read(histories=self._told) as reader:
            while not self._feed.closed:
                await reader.wait()
                started = loop.time()
                messages = list(self.render(reader.take(AT_ONCE)))
                await self._publish(messages)
                rate = RATE if reader.behind < BEHIND else BUSY_RATE
                rest = started + len(messages) / rate - loop.time()
                if rest > 0:
                    await asyncio.sleep(rest)

    async def _publish(self, messages: Sequence[Outbound]) -> None:
        while messages:
            if self._link.connection is not None:
                with suppress(LinkLost):
                    codes = await self._link.publish(messages)
                    self._tallies.events += len(codes)
                    self._tallies.events_refused += sum(code >= REFUSED for code in codes)
                    return
            await asyncio.sleep(AWAY_SECONDS)

    def render(self, taken: Taken) -> Iterator[Outbound]:
        """What to publish for what has come."""
        if self._told:
            for application, count in taken.dropped.items():
                self._tallies.events_dropped += count
                yield self._dropped(application, count)
        for event in taken.events:
            yield from self._of(event)

    def _of(self, event: Event) -> Iterator[Outbound]:
        topic = controls.summary_topic(event.application)
        if event.kind == events.SUMMARY:
            yield Outbound(topic=topic, payload=texts.build(event.data).encode(), retain=True)
        elif self._told:
            yield self._event(event, str(event.number))
        if event.kind == Action.APPLICATION_DELETE.value:
            yield Outbound(topic=topic, payload=b"", retain=True)

    def _dropped(self, application: str, count: int) -> Outbound:
        self._number += 1
        data: Document = {"count": count}
        event = Event(
            number=self._feed.newest,
            application=application,
            kind=events.DROPPED,
            subject=None,
            at=self._clock.now(),
            data=data,
        )
        return self._event(event, f"{event.number}-dropped-{self._number}")

    def _event(self, event: Event, name: str) -> Outbound:
        payload = events.encode(event, self._installation, name=name).encode()
        return Outbound(topic=controls.event_topic(event.application, event.kind), payload=payload)
