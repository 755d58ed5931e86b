"""Kill -9 while a stage of a rollout begins, or a rollout is aborted: done once or not at all, and never twice."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests import databases
from tests.brokers import Mosquitto
from tests.services import Service, report, until_retained, until_sentinel
from tests.system.rollouts import NEW, check_recount, define, documents, lookout, move, moves, progress, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LAB = ["l0", "l1"]
FIELD = ["f0", "f1", "f2", "f3", "f4"]
MOVE_STEPS = ["revision-written", "revision-committed"]
GATE_STEPS = [*MOVE_STEPS, "rollout-moved", "sweep-read", "sweep-written", "sweep-committed"]
APPROVAL_STEPS = ["revision-committed", "pushes-rendered", "pushes-acknowledged"]
ABORT_STEPS = [*MOVE_STEPS, "sweep-written", "pushes-rendered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A database, and the broker's store beside it."""

    database: Path
    store: bytes

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[Mosquitto, Service]]:
        """A broker from the store, and a service on the database that is not started yet."""
        async with Mosquitto(tokens=[*LAB, *FIELD]) as broker, Service(broker, template=self.database) as service:
            await broker.terminate()
            broker.restore_store(self.store)
            await broker.start()
            yield broker, service


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The lab is offered 1.1.0, the field is not."""
    return asyncio.run(_prepared(tmp_path_factory.mktemp("offered"), "automatic"))


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The lab has confirmed 1.1.0, and the next stage waits for approval."""
    return asyncio.run(_prepared(tmp_path_factory.mktemp("waiting"), "manual"))


async def _prepared(folder: Path, approval: str) -> Scene:
    async with Mosquitto(tokens=[*LAB, *FIELD]) as broker, Service(broker) as service:
        stages = [{"filter": "lab", "minAttempted": 2, "approval": approval}, {"percent": 100, "minAttempted": 5}]
        await define(service, stages)
        for token in [*LAB, *FIELD]:
            ring = 1 if token in LAB else 2
            await service.put(f"/applications/kettle/endpoints/{token}", {"token": token, "attributes": {"ring": ring}})
            await report(broker, token, "1.0.0")
        await until_retained(broker, dict.fromkeys(LAB, NEW))
        if approval == "manual":
            for token in LAB:
                await report(broker, token, NEW)
            await until_retained(broker, {})
            await until(service, lambda shown: shown["state"] == "waiting-approval", "the lab has passed")
        await until_sentinel(broker, len(LAB))
        assert await service.terminate() == 0
        return Scene(database=await databases.keep(service.database, folder), store=await broker.snapshot_store())


async def _quietly(service: Service, name: str) -> None:
    """Move the rollout; the service may die in the middle of its answer."""
    try:
        await move(service, name)
    except Exception:  # noqa: BLE001 - whatever a client sees of a killed server
        return


async def _check_begun_once(broker: Mosquitto, service: Service, begun: str) -> None:
    """The second stage has begun, by one move; everybody in it has one offer, and no other was ever made."""
    await until(service, lambda shown: shown["stages"][1]["offered"] == len(FIELD), "the field is offered it")
    await until_retained(broker, dict.fromkeys(FIELD, NEW))
    shown = await progress(service)
    assert (shown["state"], shown["stage"]) == ("running", 1)
    assert [stage["confirmed"] for stage in shown["stages"]] == [len(LAB), 0]
    assert [name for name in await moves(service) if name != "rollout.pass"] == [begun]
    for document in await documents(service):
        history = await service.history(document["endpointId"])
        assert history.count(("offered", NEW)) == 1, history
        offer = document["offer"]
        assert offer is None or (offer["sequence"], offer["attempt"]) == (1, 1)
    await check_recount(service)


@pytest.mark.parametrize("step", GATE_STEPS)
async def test_invariant_8_kill_at_each_step_at_which_a_gate_opens_a_stage_begins_it_once(
    step: str, offered: Scene
) -> None:
    async with offered.open() as (broker, service):
        await service.start(KILL_AT=step)
        await service.ready()
        async with lookout(broker) as seen:
            for token in LAB:
                await report(broker, token, NEW)
            assert await service.died() == -9
            await service.start()
            await service.ready()
            await _check_begun_once(broker, service, "rollout.advance")
            await seen.catch_up()
            assert seen.events["rollout.advance"] <= 1


@pytest.mark.parametrize("step", APPROVAL_STEPS)
async def test_kill_at_a_step_of_an_approval_that_is_sent_again_begins_one_stage(step: str, waiting: Scene) -> None:
    async with waiting.open() as (broker, service):
        await service.start(KILL_AT=step)
        await service.ready()
        async with lookout(broker) as seen:
            async with asyncio.TaskGroup() as group:
                approving = group.create_task(_quietly(service, "approve"))
                assert await service.died() == -9
                await approving
            await service.start()
            await service.ready()
            # Nobody has told the operator whether it was done.
            await move(service, "approve", stage=0)
            await _check_begun_once(broker, service, "rollout.approve")
            await seen.catch_up()
            assert seen.events["rollout.approve"] <= 1
            # An offer that the broker has taken already is told again at most as the same one.
            assert seen.tokens == set(FIELD)


@pytest.mark.parametrize("step", ABORT_STEPS)
async def test_invariant_7_kill_at_a_step_of_an_abort_leaves_all_offers_or_none(step: str, offered: Scene) -> None:
    async with offered.open() as (broker, service):
        await service.start(KILL_AT=step)
        await service.ready()
        async with asyncio.TaskGroup() as group:
            aborting = group.create_task(_quietly(service, "abort"))
            assert await service.died() == -9
            await aborting
        await service.start()
        await service.ready()
        committed = step != "revision-written"
        assert (await progress(service))["state"] == ("aborted" if committed else "running")
        shown = [document["offer"] is not None for document in await documents(service)]
        assert shown.count(True) == (0 if committed else len(LAB))
        await until_retained(broker, {} if committed else dict.fromkeys(LAB, NEW))
        await move(service, "abort")
        await until_retained(broker, {})
        assert await moves(service) == ["rollout.abort"]
        await check_recount(service)
