"""The composition root: every part made, joined, started in order and stopped in reverse.

Rules:
- One task group holds every loop; when one fails, all end, and the exit code says so.
- Start: database, embedded broker if any, engine, link, HTTP. Stop: HTTP, then the loops, link last, then the embedded
  broker, then the database.
- On PostgreSQL, HTTP comes first and goes first; what comes after it begins and ends with the lease (`replicas`).
- A broker that is away does not stop the service from starting; one that refuses it for good does.

Layer: service; the only module that knows all others.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from broker_bridge.embedded import open_embedded
from broker_bridge.errors import AddressError, BrokerError
from broker_bridge.options import Address
from orchestrator import keys, outcomes, replicas, stops
from orchestrator.api import server
from orchestrator.application import garbage
from orchestrator.application.parts import no_steps
from orchestrator.application.ports import StorageError
from orchestrator.assemblies import Surroundings, assemble, wall
from orchestrator.persistence import databases
from orchestrator.persistence.storage import open_storage
from orchestrator.settings import BadSettingsError, is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from orchestrator.application.ports import Steps
    from orchestrator.settings import Settings

log = structlog.get_logger(__name__)


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
            async with _broker(settings) as connectable:
                surroundings = Surroundings.of(connectable, steps=steps, wall=wall)
                if databases.is_shared(settings.database_url.get_secret_value()):
                    await replicas.run(surroundings, announce=announce, stop=stop)
                else:
                    await _serve(surroundings, stop, announce=announce)
    except* (StorageError, BrokerError, server.ListenError) as group:
        code = max(outcomes.told(error) for error in outcomes.each(group))
    return code


def wrong_addresses(settings: Settings) -> list[str]:
    """A sentence for each address that cannot be used, found before anything is opened."""
    wrong = []
    try:
        if settings.embedded is None:
            Address.parse(settings.mqtt_url.get_secret_value())
    except AddressError as error:
        wrong.append(f"OTAO_MQTT_URL: {outcomes.line(error)}")
    try:
        databases.check_address(settings.database_url.get_secret_value())
    except StorageError as error:
        wrong.append(f"OTAO_DATABASE_URL: {outcomes.line(error)}")
    return wrong


def wrong_keys(settings: Settings) -> list[str]:
    """A sentence when the API keys cannot be used, or there is none where one is needed."""
    try:
        present = keys.read(settings.api_keys_file)
    except keys.KeysError as error:
        return [f"OTAO_API_KEYS_FILE: {outcomes.line(error)}"]
    host, _ = settings.address
    if present or is_loopback(host):
        return []
    lacking = f"{host} can be reached by others, and there is no API key in {settings.api_keys_file}"
    way_out = "make one with `otao keys create NAME`, or listen on 127.0.0.1"
    return [f"OTAO_HTTP_LISTEN: {lacking}; {way_out} ({BadSettingsError.code})"]


@asynccontextmanager
async def _broker(settings: Settings) -> AsyncIterator[Settings]:
    """Yield settings that name a broker: as they are, or those of the embedded one, which runs meanwhile."""
    if settings.embedded is None:
        yield settings
        return
    async with open_embedded(*settings.embedded, verbose=settings.log_level == "debug") as url:
        yield settings.model_copy(update={"mqtt_url": SecretStr(url), "mqtt_protocol": "3.1.1"})


async def _serve(surroundings: Surroundings, stop: asyncio.Event, *, announce: Callable[[str], None]) -> None:
    """Serve a database that is ours alone."""
    settings = surroundings.settings
    async with open_storage(settings.database_url.get_secret_value()) as storage:
        assembly = await assemble(storage, surroundings)
        leaving = asyncio.Event()
        garbage.tune()
        async with asyncio.TaskGroup() as group:
            group.create_task(assembly.run(leaving.wait()), name="service.assembly")
            serving = group.create_task(
                server.serve(assembly.app, *settings.address, started=announce), name="api.http"
            )
            await stop.wait()
            log.info("stopping")
            assembly.watch.close()
            serving.cancel()
            await asyncio.wait([serving])
            leaving.set()
