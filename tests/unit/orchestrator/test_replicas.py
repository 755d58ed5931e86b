"""A replica between leases: what it does when it gets one, loses one, or cannot ask."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from orchestrator import settings
from orchestrator.api.fronts import open_front
from orchestrator.application import partitions
from orchestrator.application.leases import Holder, LeaseLostError, Tenure
from orchestrator.application.leases import Scene as Sight
from orchestrator.application.partitions import MAIN
from orchestrator.application.parts import no_steps
from orchestrator.application.ports import StorageError
from orchestrator.assemblies import Surroundings
from orchestrator.persistence.memory_leases import MemoryLeases
from orchestrator.persistence.refusals import DatabaseNewerError
from orchestrator.replicas import Replica, Seat
from orchestrator.totals import Totals
from tests.contract.deadlines import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orchestrator.assemblies import Assembly

OTHER = Holder(replica="other", address="10.0.0.2:8080")


class Asked(MemoryLeases):
    """Leases of a database that is away while a test says so."""

    away: bool = False

    async def look(self) -> Sight:
        if self.away:
            raise StorageError("gone", transient=True)
        return await super().look()

    async def held(self, partition: str = MAIN) -> Holder | None:
        return (await self.look()).holders.get(partition)


@dataclass(slots=True, kw_only=True)
class Rehearsed(Replica):
    """Serves nothing: what ends a tenure comes from the test."""

    tenures: list[Tenure] = field(default_factory=list)
    endings: asyncio.Queue[Exception] = field(default_factory=asyncio.Queue)
    slow: dict[str, asyncio.Event] = field(default_factory=dict)
    """What the ends of partitions wait for."""
    newer: set[str] = field(default_factory=set)
    """What a newer version has migrated."""

    async def _hold(self, seat: Seat, tenure: Tenure) -> None:
        self.tenures.append(tenure)
        if seat.partition in self.newer:
            raise DatabaseNewerError("9999")
        seat.assembly = cast("Assembly", object())
        self._settle()
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(self._end())
            await seat.leaving.wait()
            if seat.partition in self.slow:
                await self.slow[seat.partition].wait()
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
async def opened(name: str = "me", leases: Asked | None = None, amount: int = 1) -> AsyncIterator[Scene]:
    leases = leases or Asked(lasts=60, now=time.monotonic)
    settled: list[bool] = []
    surroundings = Surroundings.of(settings.load({}), steps=no_steps, wall=lambda: datetime.now(UTC))
    surroundings.gauges.update(leases_held=0, leases_taken=0, leases_lost=0)
    async with open_front(name, lambda: b"", partitions=partitions.names(amount)) as front:
        replica = Rehearsed(
            holder=Holder(replica=name, address="10.0.0.1:8080"),
            leases=leases,
            front=front,
            surroundings=surroundings,
            settled=lambda: settled.append(True),
            totals=Totals(surroundings.gauges),
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
            assert await scene.leases.held() == scene.replica.holder
        assert await scene.leases.held() is None
        assert scene.settled == [True]


async def test_while_another_has_the_lease_it_follows_that_one_and_serves_after_it() -> None:
    async with opened() as scene:
        epoch = await scene.leases.take(MAIN, OTHER)
        assert epoch is not None
        async with running(scene):
            await scene.until(lambda: scene.replica.front.holders == {MAIN: OTHER}, "it follows")
            assert scene.replica.tenures == []
            await scene.leases.release(MAIN, epoch)
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
        epoch = await scene.leases.take(MAIN, OTHER)
        assert epoch is not None
        async with running(scene):
            await scene.until(lambda: scene.replica.front.holders == {MAIN: OTHER}, "it follows")
            scene.leases.away = True
            await scene.until(lambda: scene.replica._missed, "it has asked")
            assert scene.replica.front.holders == {MAIN: OTHER}
            await scene.leases.release(MAIN, epoch)
            scene.leases.away = False
            await scene.until(lambda: len(scene.replica.tenures) == 1, "it serves")


async def test_what_will_not_pass_ends_the_replica_and_lets_the_lease_go() -> None:
    async with opened() as scene:
        scene.replica.newer.add(MAIN)
        with pytest.raises(ExceptionGroup) as caught:
            await scene.replica.run()
        assert caught.group_contains(DatabaseNewerError)
        assert await scene.leases.held() is None


async def test_a_partition_that_a_newer_version_has_migrated_is_left_and_the_others_are_kept() -> None:
    leases = Asked(lasts=60, now=time.monotonic)
    async with opened("a", leases, 4) as old, opened("b", leases, 4) as new, AsyncExitStack() as stack:
        old.replica.newer.add("p2")
        async with running(old):
            await old.until(
                lambda: old.replica.seats.keys() == {MAIN, "p3", "p4"} and old.replica._attended_at is not None,
                "it has what it can serve, and has said that it takes nothing more",
            )
            await stack.enter_async_context(running(new))
            await new.until(lambda: new.replica.seats.keys() == {"p2"}, "the newer one has the rest")
            assert (await leases.look()).present.keys() == {"b"}
            assert len(old.replica.tenures) == 4
        await new.until(lambda: len(new.replica.seats) == 4, "it has all that the older one had")


async def test_a_replica_that_could_not_serve_what_was_handed_over_to_it_is_given_nothing_more() -> None:
    leases = Asked(lasts=60, now=time.monotonic)
    async with opened("b", leases, 4) as new, opened("a", leases, 4) as old, running(new):
        await new.until(lambda: len(new.replica.seats) == 4, "it has all")
        old.replica.newer.update(partitions.names(4))
        async with running(old):
            await new.until(lambda: len(new.replica.tenures) == 5, "it has one again that it had handed over")
            assert (old.replica.seats, old.replica._newer) == ({}, {"p4"})
            assert (await leases.look()).present.keys() == {"b"}


async def test_a_replica_that_can_serve_nothing_any_more_ends() -> None:
    async with opened("a", None, 3) as scene:
        scene.replica.newer.update(partitions.names(3))
        with pytest.raises(ExceptionGroup) as caught:
            await scene.replica.run()
        assert caught.group_contains(DatabaseNewerError)
        assert (await scene.leases.look()).holders == {}


async def test_replicas_share_partitions_and_take_over_those_of_one_that_leaves() -> None:
    leases = Asked(lasts=60, now=time.monotonic)
    async with opened("a", leases, 4) as first, opened("b", leases, 4) as second, running(first):
        await first.until(lambda: len(first.replica.seats) == 4, "it has all while it is alone")
        async with running(second):
            await first.until(lambda: len(second.replica.seats) == 2, "they share")
            assert set(first.replica.seats) | set(second.replica.seats) == set(partitions.names(4))
            assert first.replica.front.holders.keys() <= second.replica.seats.keys()
            assert {it.replica for it in (await leases.look()).present.values()} == {"a", "b"}
        await first.until(lambda: len(first.replica.seats) == 4, "it has all again")
        assert (await leases.look()).present.keys() == {"a"}
    assert (await leases.look()).holders == {}


async def test_a_partition_that_is_lost_leaves_the_others_alone() -> None:
    async with opened("a", None, 3) as scene, running(scene):
        await scene.until(lambda: len(scene.replica.tenures) == 3, "it serves all")
        scene.replica.endings.put_nowait(LeaseLostError("another one serves"))
        await scene.until(lambda: len(scene.replica.tenures) == 4, "it takes that one again")
        assert len({tenure.epoch for tenure in scene.replica.tenures[:3]}) == 1
        assert scene.replica.surroundings.gauges["leases_lost"] == 1


async def test_what_a_replica_that_is_about_to_end_does_not_take_goes_to_another() -> None:
    leases = Asked(lasts=60, now=time.monotonic)
    async with opened("b", leases, 2) as scene:
        # It comes first, has nothing, and never takes anything.
        await leases.attend(Holder(replica="a", address="10.0.0.9:8080"))
        async with running(scene):
            await scene.until(lambda: len(scene.replica.seats) == 2, "it takes both")


async def test_nothing_is_taken_beside_a_replica_that_knows_of_one_partition_only() -> None:
    async with opened("a", None, 2) as scene:
        epoch = await scene.leases.take(MAIN, OTHER)
        assert epoch is not None
        async with running(scene):
            await scene.until(lambda: scene.replica._waits, "it waits")
            assert scene.replica.seats == {}
            await scene.leases.release(MAIN, epoch)
            await scene.until(lambda: len(scene.replica.seats) == 2, "it takes both")


async def test_a_replica_that_was_heard_before_is_not_taken_for_one_that_serves_alone() -> None:
    async with opened("a", None, 3) as scene:
        await scene.leases.attend(OTHER)
        epochs = {name: await scene.leases.take(name, OTHER) for name in (MAIN, "p2")}
        async with running(scene):
            await scene.until(lambda: scene.replica.seats.keys() == {"p3"}, "it takes what nobody holds")
            await scene.leases.attend(OTHER, leaving=True)
            await scene.leases.release("p2", epochs["p2"] or 0)
            await scene.until(lambda: scene.replica.seats.keys() == {"p2", "p3"}, "it takes what is free now")
            assert not scene.replica._waits


async def test_the_number_of_partitions_is_raised_replica_by_replica() -> None:
    leases = Asked(lasts=60, now=time.monotonic)
    async with AsyncExitStack() as stack:
        scenes = [await stack.enter_async_context(opened(*of)) for of in (("b", leases, 3), ("c", leases, 3))]
        for scene in scenes:
            await stack.enter_async_context(running(scene))
        seats = [scene.replica.seats for scene in scenes]
        await scenes[0].until(lambda: sum(map(len, seats)) == 3, "they share three")
        async with opened("a", leases, 6) as third, running(third):
            await third.until(lambda: [*map(len, seats), len(third.replica.seats)] == [2, 2, 2], "they share six")
            assert all(scene.replica.front.partitions == partitions.names(6) for scene in scenes)
        await scenes[0].until(lambda: [*map(len, seats)] == [3, 3], "they have all six again")


async def test_a_replica_that_was_told_of_one_partition_goes_by_those_that_there_are() -> None:
    leases = Asked(lasts=60, now=time.monotonic)
    async with opened("a", leases, 2) as first, opened("b", leases, 1) as second, running(first):
        await first.until(lambda: len(first.replica.seats) == 2, "it has both")
        async with running(second):
            await first.until(lambda: len(second.replica.seats) == 1, "they share")
            assert second.replica.front.partitions == partitions.names(2)
            assert not any(seat.alone for seat in second.replica.seats.values())
        await first.until(lambda: len(first.replica.seats) == 2, "it has both again")


async def test_a_replica_ends_its_listening_to_everything_before_it_shares() -> None:
    async with opened("a", None, 1) as scene, running(scene):
        await scene.until(lambda: len(scene.replica.tenures) == 1, "it serves")
        assert scene.replica.seats[MAIN].alone
        # Another one looked before it had the lease.
        await scene.leases.take("p2", OTHER)
        await scene.leases.attend(OTHER)
        await scene.until(lambda: len(scene.replica.tenures) == 2, "it serves anew")
        assert not scene.replica.seats[MAIN].alone
        assert (await scene.leases.look()).present.keys() == {"a", "other"}


async def test_what_a_replica_that_ends_slowly_does_not_hold_any_more_is_shared_meanwhile() -> None:
    passed = 0.0
    leases = Asked(lasts=60, now=lambda: time.monotonic() + passed)
    async with opened("a", leases, 4) as first, opened("b", leases, 4) as second, opened("c", leases, 4) as third:
        first.replica.slow[MAIN] = may_end = asyncio.Event()
        async with running(first), AsyncExitStack() as others:
            await first.until(lambda: len(first.replica.seats) == 4, "it has all")
            await others.enter_async_context(running(second))
            await second.until(lambda: len(second.replica.seats) == 2, "they share")
            first.replica.leave()
            await second.until(lambda: len(second.replica.seats) == 3, "the other takes what is let go")
            passed = 45.0
            await others.enter_async_context(running(third))
            await third.until(lambda: len(second.replica.seats) == 2, "they share what the first does not hold")
            await third.until(lambda: len(third.replica.seats) == 1, "and nobody waits for it")
            assert not third.replica._waits
            assert first.replica.seats.keys() == {MAIN}
            may_end.set()
            await third.until(lambda: len(third.replica.seats) == 2, "they have all")
