"""Rollouts of a real service on a real broker: how they stand, and what the broker is told. Shared by their tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.persistence.storage import open_storage
from tests import databases
from tests.properties.recounts import recount
from tests.services import SECONDS, Service, connect, eventually, retained, topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import aiomqtt

    from tests.brokers import Mosquitto

# A decoded answer, which tests index as they please.
Json = Any

NEW = "1.1.0"
SOFTWARE = f"/applications/kettle/software/{NEW}"
ROLLOUT = f"{SOFTWARE}/rollout"


@dataclass(slots=True)
class Lookout:
    """What a clean client is told of offers, and of what happens, while it listens."""

    client: aiomqtt.Client
    offers: list[tuple[str, str]] = field(default_factory=list)
    """Token and version of each offer, as they came; those that were retained before came first."""
    out: set[str] = field(default_factory=set)
    """Tokens whose topic holds an offer now."""
    most: int = 0
    """The most topics that held an offer at one time."""
    events: Counter[str] = field(default_factory=Counter)
    """By type."""
    probes: set[str] = field(default_factory=set)
    when: tuple[int, Callable[[], None]] | None = None
    """After so many offers, what is done."""

    @property
    def tokens(self) -> set[str]:
        """Everybody who was offered something."""
        return {token for token, _ in self.offers}

    async def catch_up(self) -> None:
        """Return when everything that the broker was told before has been seen."""
        probe = f"otao/v1/partition/probe/{time.monotonic_ns()}"
        await self.client.subscribe(probe, qos=1)
        await self.client.publish(probe, b"end", qos=1)

        async def seen() -> bool:
            return probe in self.probes

        await eventually(seen, "the probe comes back")

    async def listen(self) -> None:
        """Read, until cancelled."""
        async for message in self.client.messages:
            levels = str(message.topic).split("/")
            assert isinstance(message.payload, bytes)
            if levels[0] == "kp1":
                self._pushed(levels[3], message.payload)
            elif levels[2] == "partition":
                self.probes.add(str(message.topic))
            else:
                self.events[levels[-1]] += 1

    def _pushed(self, token: str, payload: bytes) -> None:
        if not payload:
            self.out.discard(token)
            return
        self.offers.append((token, json.loads(payload)["configId"]))
        self.out.add(token)
        self.most = max(self.most, len(self.out))
        if self.when is not None and len(self.offers) == self.when[0]:
            self.when[1]()


@asynccontextmanager
async def lookout(broker: Mosquitto) -> AsyncIterator[Lookout]:
    """Listen to every push, and to the events of the application."""
    async with connect(broker, "otao") as client, asyncio.TaskGroup() as group:
        await client.subscribe([(topic("+", "config/json/status", app_version="+"), 1), ("otao/v1/kettle/events/#", 1)])
        seen = Lookout(client)
        listening = group.create_task(seen.listen())
        yield seen
        listening.cancel()


async def offers_everywhere(broker: Mosquitto) -> dict[str, str]:
    """What a clean client finds on the push topics of all application versions, by token."""
    return await retained(broker, app_version="+")


async def define(service: Service, stages: list[Json] | None, *, rescue: bool = False, **rollout: object) -> None:
    """1.1.0 from 1.0.0, by such a rollout, and nothing else; with `rescue`, an edge leads back."""
    await service.put("/applications/kettle", {"appVersions": ["kettle-v1"], "registration": "open"})
    await service.put("/applications/kettle/filters/lab", {"expression": "attributes.ring == 1"})
    await service.software("1.0.0", [NEW] if rescue else [])
    await service.software(NEW, ["1.0.0"], rollout=rollout | ({} if stages is None else {"stages": stages}))


async def progress(service: Service) -> Json:
    """How the rollout of 1.1.0 stands."""
    return await service.get(ROLLOUT)


async def until(service: Service, holds: Callable[[Json], bool], what: str, seconds: float = SECONDS) -> Json:
    """Wait until the rollout of 1.1.0 is as wanted; return it."""
    last: Json = None

    async def is_so() -> bool:
        nonlocal last
        last = await progress(service)
        return bool(holds(last))

    try:
        await eventually(is_so, what, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {last}") from error
    return last


async def move(service: Service, name: str, **body: object) -> Json:
    """Pause, resume, approve or abort the rollout of 1.1.0."""
    return await service.put(f"{ROLLOUT}/{name}", body, method="POST")


async def until_versions(service: Service, expected: dict[str, int]) -> None:
    """Wait until so many endpoints are known to run these versions."""
    last: Json = None

    async def same() -> bool:
        nonlocal last
        last = (await service.get("/applications/kettle/summary"))["byVersion"]
        return bool(last == expected)

    try:
        await eventually(same, f"by version {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {last}") from error


async def documents(service: Service, application: str = "kettle") -> list[Json]:
    """Every endpoint of an application."""
    found: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await service.get(f"/applications/{application}/endpoints?limit=500{cursor and '&cursor='}{cursor}")
        found += page["items"]
        cursor = page["next"]
    return found


async def moves(service: Service) -> list[str]:
    """What the audit says was done to rollouts, oldest first."""
    entries = (await service.get("/applications/kettle/audit"))["items"]
    return [entry["action"] for entry in reversed(entries) if entry["action"].startswith("rollout.")]


async def check_recount(service: Service) -> None:
    """Stop the service; its numbers equal its rows (invariant 8)."""
    await service.terminate()
    async with open_storage(await databases.address(service.database)) as storage:
        for entry in await storage.entries():
            key = entry.application.key
            assert await storage.counters(key) == await recount(storage, key)
