"""The composition root: every part made, joined, started in order and stopped in reverse.

Rules:
- One task group holds every loop; when one fails, all end, and the exit code says so.
- Start: database, embedded broker if any, engine, link, HTTP. Stop: HTTP, then the loops, link last, then the embedded
  broker, then the database.
- A broker that is away does not stop the service from starting; one that refuses it for good does.

Layer: service; the only module that knows all others.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import structlog
from pydantic import SecretStr

from broker_bridge.embedded import open_embedded
from broker_bridge.errors import AddressError, BrokerError
from broker_bridge.options import Address
from orchestrator import api, dashboard, keys, links, outcomes, stops
from orchestrator.api import server
from orchestrator.api.access import Access
from orchestrator.api.exposition import exposition
from orchestrator.api.keyrings import Keyring
from orchestrator.api.sessions import Sessions
from orchestrator.application import garbage
from orchestrator.application.applications import Applications
from orchestrator.application.audits import Audits
from orchestrator.application.batches import Settings as BatchSettings
from orchestrator.application.clocks import SteadyClock
from orchestrator.application.commands import UseCases
from orchestrator.application.declarations import Declarations
from orchestrator.application.definitions import Definitions
from orchestrator.application.diagnoses import Diagnoses, Door
from orchestrator.application.directory import Directory
from orchestrator.application.endpoints import Endpoints
from orchestrator.application.engine import assemble
from orchestrator.application.feeds import Feed
from orchestrator.application.floods import Floods
from orchestrator.application.freezes import Freezes
from orchestrator.application.groups import Groups
from orchestrator.application.housekeeper import Housekeeper
from orchestrator.application.imports import Imports
from orchestrator.application.observations import Observations
from orchestrator.application.parts import Parts, no_steps
from orchestrator.application.plans import Plans
from orchestrator.application.ports import StorageError
from orchestrator.application.retirements import Retirer
from orchestrator.application.watches import Watch
from orchestrator.downloads import Allowances, HttpDownloads
from orchestrator.persistence.databases import check_address
from orchestrator.persistence.storage import open_storage
from orchestrator.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from broker_bridge.counters import Counters
    from broker_bridge.links import MqttLink
    from orchestrator.application.engine import Engine
    from orchestrator.application.ports import Steps
    from orchestrator.persistence.storage import SqlStorage
    from orchestrator.settings import Settings

    Loops: TypeAlias = Mapping[str, Callable[[], Coroutine[None, None, None]]]

log = structlog.get_logger(__name__)

PARTITION = "main"
"""The one partition of a service on SQLite holds every application (decision 0007)."""


def wall() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


async def run(
    settings: Settings,
    *,
    announce: Callable[[str], None],
    steps: Steps = no_steps,
    wall: Callable[[], datetime] = wall,
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    `announce` is called once with the base address of REST. `steps` and `wall` are for tests that stop the world or
    move its clock.
    """
    code = outcomes.DONE
    try:
        with stops.signalled() as stop:
            url = settings.database_url.get_secret_value()
            async with open_storage(url) as storage, _broker(settings) as connectable:
                await _serve(connectable, storage, stop, announce=announce, steps=steps, wall=wall)
    except* (StorageError, BrokerError, server.ListenError) as group:
        code = max(outcomes.told(error) for error in group.exceptions)
    return code


def wrong_addresses(settings: Settings) -> list[str]:
    """A sentence for each address that cannot be used, found before anything is opened."""
    wrong = []
    try:
        if settings.embedded is None:
            Address.parse(settings.mqtt_url.get_secret_value())
    except AddressError as error:
        wrong.append(f"OTAO_MQTT_URL: {error}")
    try:
        check_address(settings.database_url.get_secret_value())
    except StorageError as error:
        wrong.append(f"OTAO_DATABASE_URL: {error}")
    return wrong


def wrong_keys(settings: Settings) -> list[str]:
    """A sentence when the API keys cannot be used, or there is none where one is needed."""
    try:
        present = keys.read(settings.api_keys_file)
    except keys.KeysError as error:
        return [f"OTAO_API_KEYS_FILE: {error}"]
    host, _ = settings.address
    if present or is_loopback(host):
        return []
    lacking = f"{host} can be reached by others, and there is no API key in {settings.api_keys_file}"
    return [f"OTAO_HTTP_LISTEN: {lacking}; make one with `otao keys create NAME`, or listen on 127.0.0.1"]


@asynccontextmanager
async def _broker(settings: Settings) -> AsyncIterator[Settings]:
    """Yield settings that name a broker: as they are, or those of the embedded one, which runs meanwhile."""
    if settings.embedded is None:
        yield settings
        return
    async with open_embedded(*settings.embedded, verbose=settings.log_level == "debug") as url:
        yield settings.model_copy(update={"mqtt_url": SecretStr(url), "mqtt_protocol": "3.1.1"})


async def _serve(
    settings: Settings,
    storage: SqlStorage,
    stop: asyncio.Event,
    *,
    announce: Callable[[str], None],
    steps: Steps,
    wall: Callable[[], datetime],
) -> None:
    link = links.for_endpoints(settings, storage.name, PARTITION)
    operators_link = links.for_operators(settings, storage.name)
    clock = SteadyClock(wall, time.monotonic, floor=await storage.alive_at())
    parts = Parts(
        link=link,
        storage=storage,
        editing=storage,
        directory=Directory(await storage.entries()),
        clock=clock,
        settings=BatchSettings(
            instances=settings.instances, limits=settings.limits, implicit_reports=settings.implicit_reports
        ),
        partition=PARTITION,
        installation=storage.name,
        generation=storage.generation,
        steps=steps,
        floods=Floods(settings.endpoint_messages_per_minute),
        feed=Feed(start=int(clock.now().timestamp() * 1_000_000)),
    )
    engine = await assemble(parts, batch_size=settings.batch_size, sample_every=settings.audit_interval)
    retirer = _retirer(settings, parts, engine, storage)
    access = _access(settings, parts)
    context = _context(settings, parts, engine, link, access, retirer)
    app = api.build(context, hosts=settings.http_hosts, access=access)
    dashboard.install(app, access=access)
    watch = Watch(operators_link, parts, _use_cases(context), events=settings.mqtt_events)
    house = Housekeeper(parts, storage, settings.retention)
    loops = {**storage.loops(), **engine.loops(), **house.loops(), **retirer.loops(), **watch.loops()}
    await _run(loops, watch, stop, lambda: server.serve(app, *settings.address, started=announce))
    await _note_watermark(storage, engine.publisher.watermark, clock.now())


def _retirer(settings: Settings, parts: Parts, engine: Engine, storage: SqlStorage) -> Retirer:
    unseen_after, retire_after = settings.unseen_after, settings.retire_after
    return Retirer(
        parts, storage, engine.publisher, engine.outages, unseen_after=unseen_after, retire_after=retire_after
    )


async def _note_watermark(storage: SqlStorage, watermark: int, at: datetime) -> None:
    """Note what the broker has acknowledged; else the next start renders a little more than it had to."""
    try:
        async with storage.transaction() as transaction:
            await transaction.raise_watermark(watermark, at)
    except StorageError as error:
        if not error.transient:
            raise
        log.warning("stopped without noting what the broker has acknowledged", reason=str(error))


async def _run(
    loops: Loops, watch: Watch, stop: asyncio.Event, http: Callable[[], Coroutine[None, None, None]]
) -> None:
    """Run every loop until a signal, then stop them in reverse order."""
    garbage.tune()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop(), name=name) for name, loop in loops.items()]
        serving = group.create_task(http(), name="api.http")
        await stop.wait()
        log.info("stopping")
        watch.close()
        serving.cancel()
        await asyncio.wait([serving])
        await watch.leave()
        for task in reversed(tasks):
            task.cancel()


def _access(settings: Settings, parts: Parts) -> Access:
    def refused() -> None:
        parts.tallies.refused_keys += 1

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
        offer_bytes=settings.offer_bytes_warning,
    )


def _diagnoses(settings: Settings, parts: Parts, access: Access) -> Diagnoses:
    def door() -> Door:
        return Door(loopback=is_loopback(settings.address[0]), keys=len(access.keyring.credentials().keys))

    return Diagnoses(parts.link, parts.editing, parts.clock, door, partition=parts.partition, instances=parts.instances)


def _context(
    settings: Settings, parts: Parts, engine: Engine, link: MqttLink, access: Access, retirer: Retirer
) -> api.ApiContext:
    storage, directory, clock, gate = parts.editing, parts.directory, parts.clock, engine.publisher
    revisions, wake = engine.revisions, engine.announcer

    def gauges() -> Mapping[str, float]:
        return {
            "ready": float(engine.ready),
            "push_watermark": engine.publisher.watermark,
            "flooding_endpoints": parts.floods.count(clock.now()),
            "endpoints_unseen": float(retirer.unseen),
            "endpoints_retired": float(retirer.retired),
        }

    plans = _plans(settings, parts)
    declarations = Declarations(storage, revisions, plans, clock, registration=settings.registration, steps=parts.steps)

    def unready() -> str | None:
        if link.connection is None:
            return "there is no connection to the broker"
        return None if engine.ready else "what the broker retains is being compared with the database"

    def failed() -> None:
        parts.tallies.failed_requests += 1

    return api.ApiContext(
        applications=Applications(storage, directory, clock, wake, registration=settings.registration),
        audits=Audits(storage),
        declarations=declarations,
        definitions=Definitions(storage, revisions),
        diagnoses=_diagnoses(settings, parts, access),
        freezes=Freezes(storage, directory, clock, gate, wake),
        groups=Groups(revisions),
        imports=Imports(storage, directory, clock, wake, rooms=parts.rooms, instances=settings.instances),
        endpoints=Endpoints(storage, directory, clock, gate, wake, rooms=parts.rooms, instances=settings.instances),
        observations=Observations(storage, directory, clock, parts.floods),
        plans=plans,
        rollouts=engine.rollouts,
        now=clock.now,
        installation=parts.installation,
        feed=parts.feed,
        unready=unready,
        metrics=exposition(parts.tallies, lambda: _link_events(link.counters), gauges),
        failed=failed,
    )


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
