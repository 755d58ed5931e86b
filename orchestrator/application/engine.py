"""The engine of one partition: its loops, joined.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.application.inbound import InboundPipeline
from orchestrator.application.outages import Outages
from orchestrator.application.presence import Presence
from orchestrator.application.publisher import Publisher
from orchestrator.application.reconciler import Reconciler
from orchestrator.application.signals import Signals
from orchestrator.application.sweeps import Sweeper
from orchestrator.application.tallies import Tallies
from orchestrator.application.timers import Timers
from protocol import topics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from orchestrator.application.batches import Settings
    from orchestrator.application.directory import Directory
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.ports import Clock, Steps, Storage
    from protocol.links import Link


def no_steps(_step: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The loops of one partition; all run for as long as the service does."""

    inbound: InboundPipeline
    publisher: Publisher
    reconciler: Reconciler
    sweeper: Sweeper
    timers: Timers
    presence: Presence
    signals: Signals
    tallies: Tallies
    link: Link

    def loops(self) -> dict[str, Callable[[], Coroutine[None, None, None]]]:
        """The loops by name, in the order in which they are started."""
        return {
            "bridge.link": self.link.run,
            "bridge.inbound": self.inbound.run,
            "bridge.publisher": self.publisher.run,
            "bridge.reconciler": self.reconciler.run,
            "engine.sweeps": self.sweeper.run,
            "engine.timers": self.timers.run,
        }

    @property
    def ready(self) -> bool:
        """Whether there is a connection, and the broker holds what the database says."""
        connection = self.link.connection
        return connection is not None and self.presence.reconciled == connection.number

    def pushes(self) -> None:
        """See `editing.Wake.pushes`."""
        self.signals.pushes.set()

    def work(self) -> None:
        """See `editing.Wake.work`."""
        self.signals.work.set()
        self.signals.dates.set()


async def assemble(  # noqa: PLR0913 - the one place that joins them all
    link: Link,
    storage: Storage,
    editing: EditingStorage,
    directory: Directory,
    clock: Clock,
    *,
    settings: Settings,
    batch_size: int,
    partition: str,
    installation: str,
    sample_every: timedelta,
    steps: Steps = no_steps,
) -> Engine:
    """Build the engine from what is stored; `link.run` has not been started."""
    presence, signals, tallies = Presence(), Signals(), Tallies()
    outages = Outages(await storage.outages())
    parked = await storage.all_parked_topics()
    watermark = await storage.watermark()
    publisher = Publisher(
        link,
        storage,
        directory,
        clock=clock,
        instances=settings.instances,
        signals=signals,
        tallies=tallies,
        steps=steps,
        watermark=watermark,
        parked=parked,
    )
    inbound = InboundPipeline(
        link,
        storage,
        directory,
        publisher,
        presence,
        clock=clock,
        settings=settings,
        batch_size=batch_size,
        marker_topic=topics.marker_topic(partition),
        tallies=tallies,
        steps=steps,
        delivered=await storage.deliveries(),
    )
    reconciler = Reconciler(
        link,
        storage,
        publisher,
        presence,
        outages=outages,
        clock=clock,
        signals=signals,
        tallies=tallies,
        steps=steps,
        partition=partition,
        installation=installation,
        lost_at=await storage.alive_at(),
    )
    sweeper = Sweeper(
        storage, directory, clock, signals=signals, tallies=tallies, instances=settings.instances, steps=steps
    )
    timers = Timers(
        link,
        storage,
        editing,
        directory,
        publisher,
        reconciler,
        presence,
        outages=outages,
        clock=clock,
        signals=signals,
        tallies=tallies,
        steps=steps,
        installation=installation,
        sample_every=sample_every,
    )
    return Engine(
        inbound=inbound,
        publisher=publisher,
        reconciler=reconciler,
        sweeper=sweeper,
        timers=timers,
        presence=presence,
        signals=signals,
        tallies=tallies,
        link=link,
    )
