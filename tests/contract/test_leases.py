"""The contract of `leases.Leases`: two replicas ask for one lease."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest_asyncio

from orchestrator.application.leases import Holder, Leases
from orchestrator.persistence.leases import open_leases
from orchestrator.persistence.memory_leases import MemoryLeases
from tests import postgres
from tests.services import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import pytest

A = Holder(replica="a", address="127.0.0.1:1")
B = Holder(replica="b", address="127.0.0.1:2")
LONG, SHORT = 50.0, 0.2
MAIN = "main"


async def holder_of(leases: Leases, partition: str) -> Holder | None:
    return (await leases.look()).holders.get(partition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How two replicas see the leases of one database."""

    a: Leases
    b: Leases
    lapse: Callable[[], Awaitable[None]]
    """Let pass what a lease lasts."""
    end_a: Callable[[], Awaitable[None]]
    """End the session that a has with the database."""


@asynccontextmanager
async def open_memory(lasts: float, folder: Path) -> AsyncIterator[Pair]:
    now = 0.0
    leases = MemoryLeases(lasts=lasts, now=lambda: now)

    async def lapse() -> None:
        nonlocal now
        now += lasts

    async def end_a() -> None:
        leases.ended.add(A.replica)

    yield Pair(a=leases, b=leases, lapse=lapse, end_a=end_a)


@asynccontextmanager
async def open_postgresql(lasts: float, folder: Path) -> AsyncIterator[Pair]:
    url = await postgres.shared().fresh(postgres.name_for(folder))
    async with AsyncExitStack() as of_a, open_leases(url, lasts=lasts, shared=True) as b:
        a = await of_a.enter_async_context(open_leases(url, lasts=lasts, shared=True))

        async def lapse() -> None:
            async def nobody() -> bool:
                return await holder_of(b, MAIN) is None

            await eventually(nobody, "the lease ends")

        yield Pair(a=a, b=b, lapse=lapse, end_a=of_a.aclose)


@pytest_asyncio.fixture(params=["memory", "postgresql"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """Leases that do not end by themselves while a test runs."""
    opened = open_memory if request.param == "memory" else open_postgresql
    async with opened(LONG, tmp_path) as found:
        yield found


@pytest_asyncio.fixture(params=["memory", "postgresql"])
async def hasty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """Leases that do."""
    opened = open_memory if request.param == "memory" else open_postgresql
    async with opened(SHORT, tmp_path) as found:
        yield found


async def test_one_of_two_gets_the_lease_and_the_other_sees_who_has_it(pair: Pair) -> None:
    assert await holder_of(pair.b, MAIN) is None
    assert await pair.a.take(MAIN, A) is not None
    assert await pair.b.take(MAIN, B) is None
    assert await holder_of(pair.b, MAIN) == A
    assert await holder_of(pair.a, MAIN) == A


async def test_two_who_ask_at_once_do_not_both_get_it(pair: Pair) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(pair.a.take(MAIN, A)), group.create_task(pair.b.take(MAIN, B))]
    assert [task.result() is None for task in asked].count(True) == 1


async def test_who_holds_it_does_not_get_it_again_but_renews_it(pair: Pair) -> None:
    epoch = await pair.a.take(MAIN, A)
    assert epoch is not None
    assert await pair.a.take(MAIN, A) is None
    assert await pair.a.renew(MAIN, epoch)
    assert not await pair.a.renew(MAIN, epoch + 1)


async def test_a_lease_that_was_released_is_free_at_once_and_its_epoch_never_comes_again(pair: Pair) -> None:
    first = await pair.a.take(MAIN, A)
    assert first is not None
    await pair.a.release(MAIN, first)
    assert await holder_of(pair.b, MAIN) is None
    second = await pair.b.take(MAIN, B)
    assert second is not None
    assert second > first
    assert not await pair.a.renew(MAIN, first)
    await pair.a.release(MAIN, first)
    assert await holder_of(pair.a, MAIN) == B


async def test_a_lease_ends_by_itself_and_then_another_may_have_it(hasty: Pair) -> None:
    first = await hasty.a.take(MAIN, A)
    assert first is not None
    await hasty.lapse()
    second = await hasty.b.take(MAIN, B)
    assert second is not None
    assert second > first
    assert not await hasty.a.renew(MAIN, first)


async def test_a_lease_that_has_ended_may_be_renewed_while_nobody_else_has_it(hasty: Pair) -> None:
    epoch = await hasty.a.take(MAIN, A)
    assert epoch is not None
    await hasty.lapse()
    assert await hasty.a.renew(MAIN, epoch)


async def test_a_lease_ends_with_the_session_of_its_holder(pair: Pair) -> None:
    first = await pair.a.take(MAIN, A)
    await pair.end_a()

    async def nobody() -> bool:
        return await holder_of(pair.b, MAIN) is None

    await eventually(nobody, "the server has noticed that the session has ended")
    second = await pair.b.take(MAIN, B)
    assert first is not None
    assert second is not None
    assert second > first


async def test_partitions_have_leases_of_their_own(pair: Pair) -> None:
    assert await pair.a.take(MAIN, A) is not None
    assert await pair.b.take("kettle", B) is not None
    assert (await holder_of(pair.a, MAIN), await holder_of(pair.a, "kettle")) == (A, B)


async def test_replicas_know_of_each_other_until_one_departs_or_its_session_ends(pair: Pair) -> None:
    await pair.a.attend(A)
    await pair.b.attend(B)
    await pair.b.attend(B)
    assert (await pair.a.look()).present == {"a": A, "b": B}
    await pair.b.depart(B)
    assert (await pair.a.look()).present == {"a": A}
    await pair.b.attend(B)
    await pair.end_a()

    async def alone() -> bool:
        return (await pair.b.look()).present == {"b": B}

    await eventually(alone, "the server has noticed that the session has ended")


async def test_a_replica_that_is_not_heard_any_more_counts_for_nothing(hasty: Pair) -> None:
    await hasty.a.attend(A)

    async def nobody() -> bool:
        await hasty.lapse()
        return not (await hasty.b.look()).present

    assert await hasty.a.take(MAIN, A) is not None
    await eventually(nobody, "it counts for nothing")


async def test_everybody_sees_which_partitions_there_are_whether_or_not_somebody_holds_them(pair: Pair) -> None:
    assert "p2" not in (await pair.a.look()).partitions
    await pair.a.take(MAIN, A)
    epoch = await pair.a.take("p2", A)
    assert epoch is not None
    await pair.a.release("p2", epoch)
    scene = await pair.b.look()
    assert scene.partitions == {MAIN, "p2"}
    assert scene.holders.keys() == {MAIN}


async def test_whoever_is_cancelled_while_it_renews_one_lease_keeps_the_others(pair: Pair) -> None:
    await pair.a.attend(A)
    await pair.a.take(MAIN, A)
    epoch = await pair.a.take("p2", A)
    assert epoch is not None
    for turns in range(60):
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(pair.a.renew("p2", epoch))
            for _ in range(turns):
                await asyncio.sleep(0)
            renewing.cancel()
        # The server may take a moment to notice that a session has ended.
        for _ in range(3):
            scene = await pair.b.look()
            assert scene.holders == {MAIN: A, "p2": A}
            assert scene.present == {"a": A}


async def test_a_replica_that_is_about_to_end_is_known_and_counts_for_nothing(pair: Pair) -> None:
    await pair.a.attend(A)
    await pair.a.attend(A, leaving=True)
    await pair.b.attend(B)
    scene = await pair.b.look()
    assert scene.present == {"b": B}
    assert scene.known == {"a", "b"}
    await pair.a.depart(A)
    assert (await pair.b.look()).known == {"b"}
