from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import sweeps
from orchestrator.application.paces import Pace
from orchestrator.application.ports import StorageError
from orchestrator.application.sweeps import Sweeper
from tests.parts import without_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.persistence.transactions import SqlTransaction
    from tests.unit.orchestrator.application.desks import Desk

FLEET = ("a", "b", "c")
DEADLINE_SECONDS = 20


class Crash(BaseException):
    """The process is killed."""


async def fill(desk: Desk) -> None:
    for name in FLEET:
        await desk.enrol(name, "1.0.0")
    await desk.define("1.1.0", "1.0.0")


def sweeper(desk: Desk, killed_at: str | None = None) -> Sweeper:
    """With pages of one endpoint; it dies at the second time of a step."""
    seen: list[str] = []

    def step(name: str) -> None:
        seen.append(name)
        if seen.count(killed_at or "") == 2:
            raise Crash

    made = Sweeper(replace(without_broker(desk.storage, desk.directory, desk.clock), steps=step))
    made._pages._pace = Pace(most=1, size=1)
    return made


async def offers(desk: Desk) -> list[str]:
    return [name for name in FLEET if await desk.offer_of(name) is not None]


@pytest.mark.parametrize(
    ("step", "swept"), [("sweep-read", ["a"]), ("sweep-written", ["a"]), ("sweep-committed", ["a", "b"])]
)
async def test_a_sweep_that_is_killed_goes_on_behind_its_last_page_that_was_committed(
    desk: Desk, step: str, swept: list[str]
) -> None:
    await fill(desk)
    (work,) = await desk.storage.works()
    with pytest.raises(Crash):
        await sweeper(desk, step).work_off(work)
    assert await offers(desk) == swept
    (left,) = await desk.storage.works()
    await sweeper(desk).work_off(left)
    assert await offers(desk) == list(FLEET)
    # Nobody is offered anything twice.
    assert len(await desk.storage.pushes(0, 10)) == len(FLEET)


async def test_the_loop_works_when_it_is_woken_and_goes_on_after_a_fault_that_passes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(desk)
    monkeypatch.setattr(sweeps, "RETRY_SECONDS", 0.0)
    done = asyncio.Event()
    parts = without_broker(desk.storage, desk.directory, desk.clock)
    # The last page is the one that finds nobody.
    commits = iter([False, True])
    parts = replace(parts, steps=lambda step: done.set() if step == "sweep-committed" and next(commits) else None)
    really, faults = desk.storage.transaction, iter([True])

    @asynccontextmanager
    async def sometimes() -> AsyncIterator[SqlTransaction]:
        if next(faults, False):
            raise StorageError("the database is locked", transient=True)
        async with really() as transaction:
            yield transaction

    monkeypatch.setattr(desk.storage, "transaction", sometimes)
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        running = group.create_task(Sweeper(parts).run())
        parts.signals.work.set()
        await done.wait()
        running.cancel()
    assert await desk.storage.works() == []
    assert await offers(desk) == list(FLEET)
