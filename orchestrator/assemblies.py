"""One partition's engine with everything around it: links, use cases, the web application, what people watch.

Layer: assemblies; below the service, and knows all others.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import structlog

from broker_bridge.links import at_once
from orchestrator import api, coverages, dashboard, links
from orchestrator.api.access import Access
from orchestrator.api.contexts import Others, alone
from orchestrator.api.exposition import exposition
from orchestrator.api.keyrings import Keyring
from orchestrator.api.sessions import Sessions
from orchestrator.application import engine as engines
from orchestrator.application.applications import Applications
from orchestrator.application.audits import Audits
from orchestrator.application.batches import Settings as BatchSettings
from orchestrator.application.clocks import SteadyClock
from orchestrator.application.commands import UseCases
from orchestrator.application.declarations import Declarations
from orchestrator.application.definitions import Definitions
from orchestrator.application.diagnoses import Complaints, Diagnoses, Door
from orchestrator.application.directory import Directory
from orchestrator.application.endpoints import Endpoints
from orchestrator.application.feeds import Feed
from orchestrator.application.floods import Floods
from orchestrator.application.freezes import Freezes
from orchestrator.application.groups import Groups
from orchestrator.application.housekeeper import Housekeeper
from orchestrator.application.imports import Imports
from orchestrator.application.observations import Observations
from orchestrator.application.partitions import MAIN
from orchestrator.application.parts import Parts, no_steps
from orchestrator.application.plans import Plans
from orchestrator.application.ports import StorageError
from orchestrator.application.retirements import Retirer
from orchestrator.application.tallies import Tallies
from orchestrator.application.watches import Watch
from orchestrator.coverages import Coverage
from orchestrator.downloads import Allowances, HttpDownloads
from orchestrator.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from broker_bridge.counters import Counters
    from broker_bridge.links import MqttLink
    from orchestrator.api.guards import App
    from orchestrator.application.engine import Engine
    from orchestrator.application.partitions import Locations
    from orchestrator.application.ports import Steps
    from orchestrator.persistence.storage import SqlStorage
    from orchestrator.settings import Settings

    Loops: TypeAlias = Mapping[str, Callable[[], Coroutine[None, None, None]]]

log = structlog.get_logger(__name__)


def wall() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What outlives an assembly: settings, keys, numbers, and what tests put in the place of the world's own."""

    settings: Settings
    access: Access
    tallies: Tallies
    steps: Steps = no_steps
    wall: Callable[[], datetime] = wall
    gauges: dict[str, float] = field(default_factory=dict)
    """Shown by `/metrics`."""
    locations: Locations | None = None
    """Where applications are; None: all are in one partition."""

    @classmethod
    def of(cls, settings: Settings, *, steps: Steps, wall: Callable[[], datetime]) -> Surroundings:
        """Those of a process that has just begun."""
        tallies = Tallies()
        return cls(settings=settings, access=_access(settings, tallies), tallies=tallies, steps=steps, wall=wall)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """Everything that serves one open database; nothing is started."""

    app: App
    engine: Engine
    watch: Watch
    house: Housekeeper
    retirer: Retirer
    storage: SqlStorage
    unready: Callable[[], str | None]
    """Why endpoints are not served yet, in words; None: they are."""
    gauges: Callable[[], Mapping[str, float]]
    link_events: Callable[[], Mapping[str, int]]
    """What happened on the connection of endpoints, with how often."""

    def has(self, application: str) -> bool:
        """Whether there is an application of this name here."""
        return self.engine.parts.directory.by_name(application) is not None

    async def run(self, leaving: Awaitable[object]) -> None:
        """Run every loop until `leaving` is over, then stop them in reverse order, the links last."""
        parts = (self.storage, self.engine, self.house, self.retirer, self.watch)
        loops = {name: loop for part in parts for name, loop in part.loops().items()}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop(), name=name) for name, loop in loops.items()]
            await leaving
            await self.watch.leave()
            for task in reversed(tasks):
                task.cancel()
        await self._note_watermark()

    async def _note_watermark(self) -> None:
        """Note what the broker has acknowledged; else the next start renders a little more than it had to."""
        try:
            async with self.storage.transaction() as transaction:
                await transaction.raise_watermark(self.engine.publisher.watermark, self.engine.parts.clock.now())
                self.engine.parts.steps("leave-written")
            self.engine.parts.steps("leave-committed")
        except StorageError as error:
            if not error.transient:
                raise
            log.warning("stopped without noting what the broker has acknowledged", reason=str(error))


async def assemble(
    storage: SqlStorage,
    surroundings: Surroundings,
    *,
    partition: str = MAIN,
    admitted: Callable[[], Awaitable[None]] = at_once,
    others: Others = alone,
) -> Assembly:
    """Put everything together over an open partition; `admitted` returns when the broker may be connected to.

    `others` gives the numbers of applications in other partitions.
    """
    settings, access = surroundings.settings, surroundings.access
    storage.steps = surroundings.steps
    clock = SteadyClock(surroundings.wall, time.monotonic, floor=await storage.alive_at())
    directory = Directory(await storage.entries(), complete=settings.partitions == 1)
    if not directory.complete:
        access = await _shared(access, storage, clock)
    link, operators_link = await coverages.links_of(settings, storage, partition, directory, admitted)
    parts = _parts(surroundings, storage, link, directory, clock, partition)
    engine = await engines.assemble(parts, batch_size=settings.batch_size, sample_every=settings.audit_interval)
    retirer = _retirer(settings, engine, storage)
    context = _context(surroundings, engine, (link, operators_link), retirer, others)
    app = api.build(context, hosts=settings.http_hosts, access=access)
    dashboard.install(app, access=access)
    return Assembly(
        app=app if directory.complete else _coverage(app, parts, link, operators_link),
        engine=engine,
        watch=Watch(operators_link, parts, _use_cases(context), events=settings.mqtt_events),
        house=Housekeeper(parts, storage, settings.retention),
        retirer=retirer,
        storage=storage,
        unready=context.unready,
        gauges=lambda: _gauges(engine, retirer),
        link_events=lambda: _link_events(link.counters),
    )


async def _shared(access: Access, storage: SqlStorage, clock: SteadyClock) -> Access:
    """Sessions are known to all replicas, and so is, also to those that come to serve later, who has signed out."""
    access.sessions.share(storage.secret)
    access.sessions.learn({session: at.timestamp() for session, at in (await storage.signed_out()).items()})

    async def keep(session: str, ends_at: float) -> None:
        await storage.sign_out(session, datetime.fromtimestamp(ends_at, UTC), clock.now())

    return replace(access, keep=keep)


def _parts(
    surroundings: Surroundings,
    storage: SqlStorage,
    link: MqttLink,
    directory: Directory,
    clock: SteadyClock,
    partition: str,
) -> Parts:
    settings = surroundings.settings
    return Parts(
        link=link,
        storage=storage,
        editing=storage,
        directory=directory,
        clock=clock,
        settings=BatchSettings(
            instances=settings.instances, limits=settings.limits, implicit_reports=settings.implicit_reports
        ),
        partition=partition,
        installation=storage.name,
        generation=storage.generation,
        subscribed=links.digest(settings, storage.name, partition) if directory.complete else None,
        locations=surroundings.locations,
        steps=surroundings.steps,
        floods=Floods(settings.endpoint_messages_per_minute),
        feed=Feed(start=int(clock.now().timestamp() * 1_000_000)),
        tallies=surroundings.tallies,
    )


def _coverage(app: App, parts: Parts, link: MqttLink, operators_link: MqttLink) -> Coverage:
    return Coverage(
        app=app,
        directory=parts.directory,
        instances=parts.instances,
        partition=parts.partition,
        endpoints=link,
        operators=operators_link,
    )


def _retirer(settings: Settings, engine: Engine, storage: SqlStorage) -> Retirer:
    unseen_after, retire_after = settings.unseen_after, settings.retire_after
    return Retirer(
        engine.parts, storage, engine.publisher, engine.outages, unseen_after=unseen_after, retire_after=retire_after
    )


def _access(settings: Settings, tallies: Tallies) -> Access:
    def refused() -> None:
        tallies.refused_keys += 1

    open_to_others = not is_loopback(settings.address[0])
    keyring = Keyring(settings.api_keys_file, time.monotonic, required=open_to_others)
    return Access(keyring=keyring, sessions=Sessions(time.monotonic), refused=refused)


def _plans(settings: Settings, parts: Parts) -> Plans:
    return Plans(
        parts.editing,
        parts.directory,
        parts.clock,
        HttpDownloads(Allowances.parse(settings.link_check_allow)),
        registration=settings.registration,
        instances=settings.instances,
        offer_bytes=settings.offer_bytes_warning,
    )


def _diagnoses(settings: Settings, parts: Parts, access: Access, both: Sequence[MqttLink]) -> Diagnoses:
    def door() -> Door:
        return Door(loopback=is_loopback(settings.address[0]), keys=len(access.keyring.credentials().keys))

    return Diagnoses(
        parts.link,
        parts.editing,
        parts.clock,
        door,
        partition=parts.partition,
        instances=parts.instances,
        complaints=Complaints(
            trouble=lambda: both[0].trouble,
            refused=lambda: [item for link in both for item in link.refused],
            untold=lambda: sum(both[1].counters.refused_publishes.values()),
        ),
    )


def _context(
    surroundings: Surroundings, engine: Engine, both: tuple[MqttLink, MqttLink], retirer: Retirer, others: Others
) -> api.ApiContext:
    settings, parts, link = surroundings.settings, engine.parts, both[0]
    storage, directory, clock, gate = parts.editing, parts.directory, parts.clock, engine.publisher
    revisions, wake = engine.revisions, engine.announcer

    def gauges() -> Mapping[str, float]:
        return {**_gauges(engine, retirer), **surroundings.gauges}

    plans = _plans(settings, parts)
    declarations = Declarations(storage, revisions, plans, clock, registration=settings.registration, steps=parts.steps)

    def unready() -> str | None:
        if link.connection is None:
            return "there is no connection to the broker"
        if (hindrance := engine.inbound.hindrance) is not None:
            return f"what endpoints say is not stored: {hindrance}"
        return None if engine.ready else "what the broker retains is being compared with the database"

    def failed() -> None:
        parts.tallies.failed_requests += 1

    return api.ApiContext(
        applications=Applications(storage, directory, clock, wake, registration=settings.registration),
        audits=Audits(storage),
        declarations=declarations,
        definitions=Definitions(storage, revisions),
        diagnoses=_diagnoses(settings, parts, surroundings.access, both),
        freezes=Freezes(storage, directory, clock, gate, wake),
        groups=Groups(revisions),
        imports=Imports(storage, directory, clock, wake, rooms=parts.rooms, instances=settings.instances),
        endpoints=Endpoints(storage, directory, clock, gate, wake, rooms=parts.rooms, instances=settings.instances),
        observations=Observations(storage, directory, clock, parts.floods, parts.silences),
        plans=plans,
        rollouts=engine.rollouts,
        now=clock.now,
        installation=parts.installation,
        feed=parts.feed,
        unready=unready,
        metrics=exposition(parts.tallies, lambda: _link_events(link.counters), gauges),
        failed=failed,
        others=others,
    )


def _gauges(engine: Engine, retirer: Retirer) -> Mapping[str, float]:
    return {
        "ready": float(engine.ready),
        "push_watermark": float(engine.publisher.watermark),
        "flooding_endpoints": float(engine.parts.floods.count(engine.parts.clock.now())),
        "endpoints_unseen": float(engine.parts.silences.total),
        "endpoints_retired": float(retirer.retired),
    }


def _use_cases(context: api.ApiContext) -> UseCases:
    """What operators may do over MQTT, of what they may do over REST."""
    return UseCases(
        definitions=context.definitions,
        endpoints=context.endpoints,
        freezes=context.freezes,
        observations=context.observations,
        plans=context.plans,
        rollouts=context.rollouts,
        now=context.now,
    )


def _link_events(counters: Counters) -> Mapping[str, int]:
    counted = asdict(counters)
    counted["refused_publishes"] = sum(counters.refused_publishes.values())
    return counted
