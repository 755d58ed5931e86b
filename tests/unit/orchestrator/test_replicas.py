"""A replica between leases: what it does when it gets one, loses one, or cannot ask."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator import settings
from orchestrator.api.fronts import open_front
from orchestrator.application.leases import Holder, LeaseLostError, Tenure
from orchestrator.application.parts import no_steps
from orchestrator.application.ports import StorageError
from orchestrator.assemblies import PARTITION, Surroundings
from orchestrator.persistence.memory_leases import MemoryLeases
from orchestrator.persistence.refusals import DatabaseUnusableError
from orchestrator.replicas import Replica
from tests.contract.deadlines import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

OTHER = Holder(replica="other", address="10.0.0.2:8080")


class Asked(MemoryLeases):
    """Leases of a database that is away while a test says so."""

    away: bool = False

    async def holder(self, partition: str) -> Holder | None:
        if self.away:
            raise StorageError("gone", transient=True)
        return await super().holder(partition)


@dataclass(slots=True, kw_only=True)
class Rehearsed(Replica):
    """Serves nothing: what ends a tenure comes from the test."""

    tenures: list[Tenure] = field(default_factory=list)
    endings: asyncio.Queue[Exception] = field(default_factory=asyncio.Queue)

    async def _hold(self, tenure: Tenure) -> None:
        self.tenures.append(tenure)
        self._settle()
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(self._end())
            await self._leaving.wait()
            ending.cancel()

    async def _end(self) -> None:
        raise await self.endings.get()


@dataclass
class Scene:
    replica: Rehearsed
    leases: Asked
    settled: list[bool]

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        await eventually(holds, what)


@asynccontextmanager
async def opened() -> AsyncIterator[Scene]:
    leases = Asked(lasts=60, now=time.monotonic)
    settled: list[bool] = []
    surroundings = Surroundings.of(settings.load({}), steps=no_steps, wall=lambda: datetime.now(UTC))
    surroundings.gauges.update(leases_held=0, leases_taken=0, leases_lost=0)
    async with open_front("me", lambda: b"") as front:
        replica = Rehearsed(
            holder=Holder(replica="me", address="10.0.0.1:8080"),
            leases=leases,
            front=front,
            surroundings=surroundings,
            settled=lambda: settled.append(True),
        )
        yield Scene(replica=replica, leases=leases, settled=settled)


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.replica.run())
        yield
        scene.replica.leave()


async def test_it_serves_while_it_has_the_lease_and_lets_it_go_in_the_end() -> None:
    async with opened() as scene:
        async with running(scene):
            await scene.until(lambda: len(scene.replica.tenures) == 1, "it serves")
            assert await scene.leases.holder(PARTITION) == scene.replica.holder
        assert await scene.leases.holder(PARTITION) is None
        assert scene.settled == [True]


async def test_while_another_has_the_lease_it_follows_that_one_and_serves_after_it() -> None:
    async with opened() as scene:
        epoch = await scene.leases.take(PARTITION, OTHER)
        assert epoch is not None
        async with running(scene):
            await scene.until(lambda: scene.replica.front.holder == OTHER, "it follows")
            assert scene.replica.tenures == []
            await scene.leases.release(PARTITION, epoch)
            await scene.until(lambda: len(scene.replica.tenures) == 1, "it serves")
        assert scene.replica.tenures[0].epoch > epoch
        assert scene.settled == [True]


async def test_a_lease_that_is_lost_ends_what_was_served_and_not_the_replica() -> None:
    async with opened() as scene, running(scene):
        await scene.until(lambda: len(scene.replica.tenures) == 1, "it serves")
        scene.replica.endings.put_nowait(LeaseLostError("another one serves"))
        await scene.until(lambda: len(scene.replica.tenures) == 2, "it serves again")
        gauges = scene.replica.surroundings.gauges
        assert (gauges["leases_taken"], gauges["leases_lost"], gauges["leases_held"]) == (2, 1, 0)


async def test_a_database_that_is_away_is_waited_for_and_the_holder_that_was_known_is_followed_meanwhile() -> None:
    async with opened() as scene:
        epoch = await scene.leases.take(PARTITION, OTHER)
        assert epoch is not None
        async with running(scene):
            await scene.until(lambda: scene.replica.front.holder == OTHER, "it follows")
            scene.leases.away = True
            await scene.until(lambda: scene.replica._missed, "it has asked")
            assert scene.replica.front.holder == OTHER
            await scene.leases.release(PARTITION, epoch)
            scene.leases.away = False
            await scene.until(lambda: len(scene.replica.tenures) == 1, "it serves")


async def test_what_will_not_pass_ends_the_replica_and_lets_the_lease_go() -> None:
    async with opened() as scene:
        scene.replica.endings.put_nowait(DatabaseUnusableError("it was written by a newer version (schema 9999)"))
        with pytest.raises(ExceptionGroup) as caught:
            await scene.replica.run()
        assert caught.group_contains(DatabaseUnusableError)
        assert await scene.leases.holder(PARTITION) is None
