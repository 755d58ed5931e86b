"""Brings the broker back to what the database says, after every connect and, by samples, all the time.

Rules:
- Order after a connect: our own marker has come through (everything queued before it is committed), the sentinel is
  read back, pushes go on from the revision it names; timers run only then.
- Whatever fails is begun again on the newest connection: without a reconciliation no offer leaves.
- Sentinel absent, foreign, from before a restore, or ahead of this database: everything is rendered. Equal: nothing.
  Lower: everything since.
- State is never rebuilt from retained messages (invariant 1).
- A slow tick reads some topics back on a clean connection; one that differs has the whole partition rendered.

Layer: application.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson
import structlog

from orchestrator.application.ports import SUBSCRIBED
from protocol import topics
from protocol.links import REFUSED, LinkLost, Outbound

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.outages import Outages
    from orchestrator.application.parts import Parts
    from orchestrator.application.publisher import Publisher
    from orchestrator.application.pushes import Push
    from protocol.links import Connection

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 30.0
"""After which a marker that has not come through is sent again: a broker whose queue is full drops it."""
PAUSE_SECONDS = 1.0
"""The same, when the broker has refused it; and before any other step is tried again on the same connection."""
SAMPLE = 100
"""Endpoints whose topics one slow tick reads back."""


class Reconciler:
    """One partition's."""

    def __init__(self, parts: Parts, publisher: Publisher, outages: Outages, *, lost_at: datetime | None) -> None:
        """Take what it works with; `lost_at` is when an earlier run was last alive."""
        self._link = parts.link
        self._storage = parts.storage
        self._publisher = publisher
        self._presence = parts.presence
        self._outages = outages
        self._clock = parts.clock
        self._signals = parts.signals
        self._tallies = parts.tallies
        self._steps = parts.steps
        self._installation = (parts.installation, parts.generation)
        self._marker_topic = topics.marker_topic(parts.partition)
        self._sentinel_topic = topics.sentinel_topic(parts.partition)
        self._subscribed = parts.subscribed
        self._lost_at = lost_at
        self._sampled = 0

    async def run(self) -> None:
        """Reconcile after every connect, until cancelled."""
        last = 0
        while True:
            connection = await self._presence.connected(last)
            last = connection.number
            try:
                await self._reconcile(connection)
            except LinkLost as lost:
                log.info("the connection ended while reconciling", reason=lost.reason)
                if self._link.connection == connection:
                    # The second one, by which the broker is read.
                    last = await self._once_more(last)
            except Exception:  # one of the three places: one reconcile step
                log.exception("reconciling failed; trying again")
                last = await self._once_more(last)

    async def _once_more(self, number: int) -> int:
        """Pause; return the number after which to begin, so that this connection is taken unless a newer one is up."""
        await asyncio.sleep(PAUSE_SECONDS)
        return number - 1

    async def _reconcile(self, connection: Connection) -> None:
        await self._end_outage()
        await self._pass_marker(connection.number)
        self._steps("marker-seen")
        await self._note_subscribed()
        after = await self._resume_point()
        self._publisher.resume(connection.number, after)
        self._presence.reconciled = connection.number
        self._steps("connection-reconciled")
        self._signals.work.set()
        self._signals.dates.set()

    async def _pass_marker(self, number: int) -> None:
        """Send ourselves the marker of connection `number` until it has come through.

        Raises:
            LinkLost: a newer connection is up.
        """
        marker = Outbound(topic=self._marker_topic, payload=self._presence.marker(number))
        while True:
            (code,) = await self._link.publish([marker])
            if code >= REFUSED:
                log.warning("broker.marker-refused", reason_code=code)
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS if code >= REFUSED else AGAIN_SECONDS):
                    if not await self._presence.wait_marked(number):
                        raise LinkLost("a newer one is up")
                    return

    async def _end_outage(self) -> None:
        if self._lost_at is None:
            return
        now = self._clock.now()
        self._outages.add(self._lost_at, now)
        async with self._storage.transaction() as transaction:
            await transaction.add_outage(self._lost_at, now)
            self._steps("outage-written")
        self._steps("outage-committed")
        self._lost_at = None

    async def _note_subscribed(self) -> None:
        """Our own marker has come by what we have asked the broker for in this session: it is subscribed to."""
        present = self._subscribed
        if present is None or (await self._storage.deliveries()).get(SUBSCRIBED) == present:
            return
        async with self._storage.transaction() as transaction:
            await transaction.remember([(SUBSCRIBED, present)])

    def lost(self) -> None:
        """There is no connection now; the time until the next one is an outage."""
        if self._lost_at is None:
            self._lost_at = self._clock.now()

    async def _resume_point(self) -> int:
        """The revision after which the broker's retained messages are not known to be right."""
        retained = (await self._link.read_retained([self._sentinel_topic])).get(self._sentinel_topic)
        last = await self._storage.last_revision()
        raised = self._read(retained)
        if raised is None or raised > last:
            found = "absent" if retained is None else "unknown"
            if last:
                log.warning("the broker's store is not the one we know; rendering everything", sentinel=found)
            self._tallies.reconciliations[found] += 1
            return 0
        lower = raised < await self._storage.watermark()
        if lower:
            log.warning("the broker's store is older than the database; rendering what followed", revision=raised)
        self._tallies.reconciliations["lower" if lower else "equal"] += 1
        return raised

    def _read(self, payload: bytes | None) -> int | None:
        if payload is None:
            return None
        try:
            value = orjson.loads(payload)
            if (value["installation"], value.get("generation", 0)) == self._installation:
                return int(value["revision"])
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        return None

    async def sample(self) -> None:
        """Read some topics back, in turn; on a difference render everything."""
        chosen = await self._storage.push_sample(self._sampled, SAMPLE)
        self._sampled = chosen[-1].key if len(chosen) == SAMPLE else 0
        wanted = [topic for push in chosen for topic in self._publisher.expected(push)]
        if not wanted:
            return
        found = await self._link.read_retained(wanted)
        wrong = [push for push in chosen if self._differs(push, found)]
        if not wrong:
            return
        # What changed while we were reading is not wrong: it is on its way.
        now = {push.key: push for push in await self._storage.pushes_of([push.key for push in wrong])}
        wrong = [push for push in wrong if now.get(push.key) == push and push.revision <= self._publisher.cursor]
        connection = self._link.connection
        if wrong and connection is not None:
            self._tallies.mismatches += len(wrong)
            log.warning("topics hold what they should not; rendering everything", topics=len(wrong))
            self._publisher.resume(connection.number, 0)

    def _differs(self, push: Push, found: dict[str, bytes]) -> bool:
        return any(found.get(topic) != payload for topic, payload in self._publisher.expected(push).items())
