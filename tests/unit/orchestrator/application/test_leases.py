"""A tenure: for how long a holder may go on, by its own clock and by what the database says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from orchestrator.application.leases import Holder, LeaseLostError, Scene, Tenure, Term
from orchestrator.application.ports import StorageError
from orchestrator.persistence.memory_leases import MemoryLeases

TERM = Term(lasts=3.0, margin=1.0, renew_every=0.0, retry_every=0.0)
A = Holder(replica="a", address="127.0.0.1:1")
B = Holder(replica="b", address="127.0.0.1:2")


@dataclass
class Time:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Failing:
    """Leases whose database fails as often as was said, and takes its time."""

    leases: MemoryLeases
    time: Time
    takes: float = 0.0
    errors: list[StorageError] = field(default_factory=list)
    renewals: int = 0

    async def take(self, partition: str, holder: Holder) -> int | None:
        return await self.leases.take(partition, holder)

    async def renew(self, partition: str, epoch: int) -> bool:
        self.renewals += 1
        self.time.now += self.takes
        if self.errors:
            raise self.errors.pop(0)
        return await self.leases.renew(partition, epoch)

    async def release(self, partition: str, epoch: int) -> None:
        await self.leases.release(partition, epoch)

    async def look(self) -> Scene:
        return await self.leases.look()

    async def attend(self, replica: Holder, *, leaving: bool = False) -> None:
        await self.leases.attend(replica, leaving=leaving)

    async def depart(self, replica: Holder) -> None:
        await self.leases.depart(replica)


async def begun() -> tuple[Time, Failing, Tenure]:
    time = Time()
    leases = Failing(MemoryLeases(lasts=TERM.lasts, now=time), time)
    epoch = await leases.take("main", A)
    assert epoch is not None
    return time, leases, Tenure(leases, "main", epoch, begun_at=time.now, term=TERM, elapsed=time)


async def test_a_holder_stops_before_others_may_take_its_lease() -> None:
    time, leases, tenure = await begun()
    assert tenure.left == 2.0
    time.now += 1.999
    assert tenure.left > 0
    time.now += 0.001
    assert tenure.left <= 0
    assert (await leases.look()).holders == {"main": A}


async def test_a_renewal_counts_from_before_it_was_asked_for() -> None:
    _, leases, tenure = await begun()
    leases.takes = 1.5
    await tenure.confirm()
    assert tenure.left == pytest.approx(0.5)


async def test_a_renewal_that_the_database_does_not_answer_is_asked_for_again() -> None:
    _, leases, tenure = await begun()
    leases.errors = [StorageError("gone", transient=True)] * 2
    await tenure.confirm()
    assert leases.renewals == 3


async def test_what_will_not_pass_is_not_tried_again() -> None:
    _, leases, tenure = await begun()
    leases.errors = [StorageError("no such table", transient=False)]
    with pytest.raises(StorageError, match="no such table"):
        await tenure.confirm()
    assert leases.renewals == 1


async def test_who_was_replaced_may_not_connect_and_ends() -> None:
    time, leases, tenure = await begun()
    time.now += TERM.lasts
    assert await leases.take("main", B) == tenure.epoch + 1
    with pytest.raises(LeaseLostError, match="another replica serves the partition main"):
        await tenure.confirm()
    with pytest.raises(LeaseLostError):
        await tenure.run()


async def test_a_lease_that_was_not_renewed_in_time_is_over_though_nobody_has_taken_it() -> None:
    time, _, tenure = await begun()
    time.now += 2.0
    with pytest.raises(LeaseLostError, match="not be renewed in time"):
        await tenure.watch()


async def test_renewals_go_on_and_the_watch_waits_while_they_do() -> None:
    time, leases, tenure = await begun()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(tenure.run()), group.create_task(tenure.watch())]
        while leases.renewals < 50:
            time.now += 0.1
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()


def test_no_default_lets_a_holder_go_on_when_another_may_begin() -> None:
    term = Term()
    assert term.renew_every + term.retry_every < term.lasts - term.margin < term.lasts
    assert term.lasts < 5.0
