"""Kill -9 between any two steps: nothing is lost, nothing is applied twice, no revert is invented."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests import databases
from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, topic, until_retained
from tests.system.kills import stored

if TYPE_CHECKING:
    from pathlib import Path

FLEET = ["t0", "t1", "t2", "t3", "t4"]
COMMIT_STEPS = ["batch-received", "batch-read", "message-applied", "message-applied:3", "batch-decided", "batch-stored"]
"""Before the commit of the messages that are in hand."""
BATCH_STEPS = [
    *COMMIT_STEPS,
    "batch-committed",
    "batch-acknowledged",
    "answers-published",
    "pushes-rendered:2",
    "pushes-acknowledged:2",
    "watermark-stored:2",
    "sentinel-raised:2",
]
"""What has `:2` happens once while the service becomes ready."""
REPORTS = 4
"""That are sent to be in hand; two were stored before."""
SWEEP_STEPS = ["sweep-read", "sweep-written", "sweep-committed", "pushes-rendered", "pushes-acknowledged"]
ASK_STEPS = ["batch-committed", "pushes-rendered", "pushes-acknowledged"]
START_STEPS = ["marker-seen", "connection-reconciled"]


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which "a" and "c" run 1.0.0 and are offered 1.1.0."""
    return asyncio.run(_prepared(tmp_path_factory.mktemp("under-way"), {"a": "1.0.0", "c": "1.0.0"}))


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which every endpoint runs 2.0.0, the newest."""
    return asyncio.run(_prepared(tmp_path_factory.mktemp("settled"), dict.fromkeys(FLEET, "2.0.0")))


async def _prepared(folder: Path, running: dict[str, str]) -> Path:
    async with Mosquitto(tokens=list(running)) as broker, Service(broker) as service:
        await service.define()
        for token, version in running.items():
            await report(broker, token, version)
            await service.until_running(token, version)
        assert await service.terminate() == 0
        return await databases.keep(service.database, folder)


@pytest.mark.parametrize("step", BATCH_STEPS)
async def test_invariant_2_kill_at_each_step_of_a_batch_loses_and_repeats_nothing(step: str, under_way: Path) -> None:
    async with Mosquitto(tokens=["a", "b", "c"]) as broker, Service(broker, template=under_way) as service:
        await service.start(KILL_AT=step)
        # Alive: it did not come to the step by its greeting, nor by its marker.
        await service.ready()
        async with connect(broker, "a") as a, connect(broker, "b") as b, connect(broker, "c") as c:
            await a.publish(topic("a", "applied/json/1"), '{"configId":"1.0.0"}', qos=1)
            await a.publish(topic("a", "applied/json/2"), '{"configId":"1.1.0"}', qos=1)
            await b.publish(topic("b", "applied/json/1"), '{"configId":"1.0.0"}', qos=1)
            await c.publish(topic("c", "applied/json/1"), '{"configId":"1.1.0","statusCode":500}', qos=1)
            assert await service.died() == -9
        told = await stored(service) - 2
        # Something was in hand: not stored yet, or stored already.
        assert told < REPORTS if step in COMMIT_STEPS else told > 0
        await service.start()
        await service.ready()
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0"})
        if step == "batch-committed":
            # None of them was acknowledged.
            await eventually(lambda: _repeated(service, told), "what was in hand came again")
        histories = {name: await service.history(name) for name in ("a", "b", "c")}
        for name, reports in (("a", 3), ("b", 1), ("c", 2)):
            kinds = [kind for kind, _ in histories[name]]
            assert kinds.count("reported") == reports, histories[name]
            assert "reverted" not in kinds
        assert (await service.endpoint("a"))["runningVersion"] == "1.1.0"
        failed = [kind for kind, _ in histories["c"]].count("failed")
        assert failed == 1


@pytest.mark.parametrize("step", SWEEP_STEPS)
async def test_invariant_3_kill_during_a_change_of_software_leaves_every_offer_published(
    step: str, settled: Path
) -> None:
    async with Mosquitto(tokens=FLEET) as broker, Service(broker, template=settled) as service:
        await service.start(KILL_AT=step)
        await service.ready()
        async with asyncio.TaskGroup() as group:
            putting = group.create_task(_put_quietly(service))
            assert await service.died() == -9
            await putting
        await service.start()
        await service.ready()
        await until_retained(broker, dict.fromkeys(FLEET, "3.0.0"))
        for token in FLEET:
            assert [kind for kind, _ in await service.history(token)].count("offered") == 1


async def _repeated(service: Service, times: int) -> bool:
    return await service.metric("otao_repeats_total") == times


async def _put_quietly(service: Service) -> None:
    """Define 3.0.0; the service may die in the middle of its answer."""
    try:
        await service.software("3.0.0", ["2.0.0"])
    except Exception:  # noqa: BLE001 - whatever a client sees of a killed server
        return


@pytest.mark.parametrize("step", START_STEPS)
async def test_kill_while_reconciling_is_made_good_at_the_next_start(step: str) -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        await service.terminate()
        await broker.terminate()
        broker.wipe()
        await broker.start()
        await service.start(KILL_AT=step)
        assert await service.died() == -9
        await service.start()
        await service.ready()
        await until_retained(broker, {"a": "1.1.0"})


async def test_kill_between_commit_and_puback_applies_the_report_once() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await service.until_offered("a", "1.1.0")
        await service.terminate()
        await service.start(KILL_AT="batch-committed")
        await service.ready()
        await report(broker, "a", "1.1.0")
        assert await service.died() == -9
        # The newer report is queued behind the one that will be redelivered.
        await report(broker, "a", "2.0.0")
        await service.start()
        await service.until_running("a", "2.0.0")

        async def counted() -> bool:
            return await service.metric("otao_repeats_total") == 1

        await eventually(counted, "the redelivered report was recognised")
        kinds = [kind for kind, _ in await service.history("a")]
        assert kinds.count("reported") == 3
        assert kinds.count("confirmed") == 2


@pytest.mark.parametrize("step", ASK_STEPS)
async def test_invariant_3_kill_between_commit_and_publish_loses_no_ask(step: str) -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define(consent="required")
        await service.terminate()
        await service.start(KILL_AT=step)
        await service.ready()
        await report(broker, "a", "1.0.0")
        assert await service.died() == -9
        await service.start()
        await service.ready()
        await until_retained(broker, {"a": "1.1.0"}, resource="consent/json")
        assert await service.history("a") == [("reported", "1.0.0"), ("asked", "1.1.0")]


async def test_invariant_1_state_is_never_rebuilt_from_retained_messages() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        await service.kill()
        await databases.drop(service.database)
        await service.start()
        await service.ready()
        async with service.client() as client:
            assert (await client.get("/api/v1/applications")).json()["items"] == []
