"""The engine of one partition: its loops, joined.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.application.announcer import Announcer
from orchestrator.application.gatekeeper import Gatekeeper
from orchestrator.application.inbound import InboundPipeline
from orchestrator.application.outages import Outages
from orchestrator.application.publisher import Publisher
from orchestrator.application.reconciler import Reconciler
from orchestrator.application.revisions import Revisions
from orchestrator.application.rollouts import Rollouts
from orchestrator.application.sizes import Sizes
from orchestrator.application.sweeps import Sweeper
from orchestrator.application.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from orchestrator.application.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The loops of one partition; all run for as long as the service does."""

    inbound: InboundPipeline
    publisher: Publisher
    reconciler: Reconciler
    sweeper: Sweeper
    timers: Timers
    announcer: Announcer
    revisions: Revisions
    rollouts: Rollouts
    outages: Outages
    parts: Parts

    def loops(self) -> dict[str, Callable[[], Coroutine[None, None, None]]]:
        """The loops by name, in the order in which they are started."""
        return {
            "bridge.link": self.parts.link.run,
            "bridge.inbound": self.inbound.run,
            "bridge.publisher": self.publisher.run,
            "bridge.reconciler": self.reconciler.run,
            "engine.sweeps": self.sweeper.run,
            "engine.timers": self.timers.run,
        }

    @property
    def ready(self) -> bool:
        """Whether there is a connection, and the broker holds what the database says."""
        connection = self.parts.link.connection
        return connection is not None and self.parts.presence.reconciled == connection.number


async def assemble(parts: Parts, *, batch_size: int, sample_every: timedelta) -> Engine:
    """Build the engine from what is stored; nothing is started.

    `batch_size` is the most messages in one transaction; some topics are read back every `sample_every`.
    """
    storage = parts.storage
    outages = Outages(await storage.outages())
    publisher = Publisher(parts, watermark=await storage.watermark(), parked=await storage.all_parked_topics())
    delivered = await storage.deliveries()
    reconciler = Reconciler(parts, publisher, outages, lost_at=await storage.alive_at())
    announcer, sizes = Announcer(parts), Sizes(parts.editing, parts.clock, parts.elapsed)
    revisions = Revisions(parts.editing, parts.directory, parts.clock, publisher, announcer, parts.steps)
    rollouts = Rollouts(parts.editing, revisions, sizes)
    gatekeeper = Gatekeeper(parts, rollouts, sizes)
    return Engine(
        inbound=InboundPipeline(parts, publisher, batch_size=batch_size, delivered=delivered),
        publisher=publisher,
        reconciler=reconciler,
        sweeper=Sweeper(parts),
        timers=Timers(parts, publisher, reconciler, outages, gatekeeper, sample_every=sample_every),
        announcer=announcer,
        revisions=revisions,
        rollouts=rollouts,
        outages=outages,
        parts=parts,
    )
