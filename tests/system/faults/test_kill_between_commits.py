"""Kill -9 before and after each commit beside batches and sweeps: all of it is done or nothing, and nothing twice."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.domain.endpoints import HistoryKind
from tests import databases
from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, topic, until_retained
from tests.system.kills import count, die_at, stored
from tests.system.rollouts import check_recount, documents

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

TOKENS = ["a", "b", "c"]
BEFORE = {"a": "2.0.0", "c": "1.1.0"}
"""What is offered in the database that most tests start from."""
CHANGE_STEPS = ["change-written", "change-committed"]
TIMER_STEPS = ["timers-stored", "timers-committed"]
PRUNING_STEPS = ["pruning-written", "pruning-committed"]
PARKING_STEPS = ["parking-written", "parking-committed"]
BURIAL_STEPS = ["burial-written", "burial-committed"]
SESSION_STEPS = ["forgetting-written", "deliveries-forgotten"]
OUTAGE_STEPS = ["outage-written", "outage-committed"]
DATE_STEPS = ["dates-written", "dates-committed"]
WATERMARK_STEPS = ["watermark-written"]
LEAVE_STEPS = ["leave-written", "leave-committed"]


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which "a" has moved to 1.1.0 and is offered 2.0.0, and "c" runs 1.0.0 and is offered 1.1.0."""
    return asyncio.run(_prepared(tmp_path_factory.mktemp("under-way")))


async def _prepared(folder: Path) -> Path:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await service.define()
        await service.put("/applications/lamp", {"appVersions": ["lamp-v1"], "registration": "open"})
        for token, version in (("a", "1.0.0"), ("c", "1.0.0"), ("a", "1.1.0")):
            await report(broker, token, version)
            await service.until_running(token, version)
        assert await service.terminate() == 0
        return await databases.keep(service.database, folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of an operator, how its effect is seen, and what is offered then."""

    name: str
    """Of the audited action."""
    method: str
    path: str
    content: bytes
    shown: Callable[[Service], Awaitable[bool]]
    offered: dict[str, str]

    async def quietly(self, service: Service) -> None:
        """Make the call; the service may die in the middle of its answer."""
        headers = {"content-type": "application/x-ndjson" if self.name == "endpoint.import" else "application/json"}
        if self.method in {"DELETE", "PUT"}:
            headers["if-match"] = "*"
        try:
            async with service.client() as client:
                await client.request(
                    self.method, f"/api/v1/applications/{self.path}", content=self.content, headers=headers
                )
        except httpx2.HTTPError:
            return


async def _found(service: Service, path: str) -> Any:  # noqa: ANN401 - JSON
    async with service.client() as client:
        response = await client.get(f"/api/v1/applications/{path}")
    return response.json() if response.is_success else None


async def _imported(service: Service) -> bool:
    return await _found(service, "kettle/endpoints/n") is not None


async def _suspended(service: Service) -> bool:
    return bool((await _found(service, "kettle/endpoints/c"))["tokenState"] == "suspended")


async def _frozen(service: Service) -> bool:
    return (await _found(service, "kettle"))["frozen"] is not None


async def _deleted(service: Service) -> bool:
    return await _found(service, "lamp") is None


LINE = json.dumps({"endpointId": "n", "token": "n", "runningVersion": "1.0.0"}).encode() + b"\n"
CALLS = [
    Call(
        name="endpoint.import",
        method="POST",
        path="kettle/endpoints",
        content=LINE,
        shown=_imported,
        offered={**BEFORE, "n": "1.1.0"},
    ),
    Call(
        name="endpoint.token",
        method="POST",
        path="kettle/endpoints/c/token",
        content=b'{"state":"suspended"}',
        shown=_suspended,
        offered={"a": "2.0.0", "n": "1.1.0"},
    ),
    Call(
        name="application.delete",
        method="DELETE",
        path="lamp",
        content=b"",
        shown=_deleted,
        offered={"a": "2.0.0", "n": "1.1.0"},
    ),
    Call(
        name="freeze.set",
        method="POST",
        path="kettle/freeze",
        content=b'{"reason":"fire"}',
        shown=_frozen,
        offered={},
    ),
]


async def test_invariant_3_kill_before_or_after_the_commit_of_an_operators_call_does_all_of_it_or_nothing(
    under_way: Path,
) -> None:
    """One call after the other, each killed before its commit, and made again and killed after it."""
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker, template=under_way) as service:
        offered = BEFORE
        for call in CALLS:
            for step in CHANGE_STEPS:
                await service.start(KILL_AT=step)
                assert not await call.shown(service), f"{call.name} before {step}"
                await service.ready()
                await until_retained(broker, offered)
                await call.quietly(service)
                assert await service.died() == -9
            offered = call.offered
        await service.start()
        await service.ready()
        for call in CALLS:
            assert await call.shown(service), call.name
            # Once: what was killed before its commit has left nothing.
            assert await count(service, "audit", f"action = '{call.name}'") == 1
        await until_retained(broker, offered)
        assert [document["offer"] for document in await documents(service)] == [None] * 3
        await check_recount(service)


@pytest.mark.parametrize("step", TIMER_STEPS)
async def test_invariant_2_kill_before_or_after_the_commit_of_passed_terms_confirms_once(step: str) -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await service.define()
        await service.software("1.1.0", ["1.0.0"], rollout={"stages": [{"percent": 100, "soak": "PT2S"}]})
        for token in ("a", "b"):
            await report(broker, token, "1.0.0")
            await service.until_offered(token, "1.1.0")
        assert await service.terminate() == 0
        await service.start(KILL_AT=step)
        await service.ready()
        for token in ("a", "b"):
            await report(broker, token, "1.1.0")
        assert await service.died() == -9
        assert await stored(service, HistoryKind.SOAKING) > 0
        assert (await stored(service, HistoryKind.CONFIRMED) > 0) is (step == "timers-committed")
        await service.start()
        await until_retained(broker, {"a": "2.0.0", "b": "2.0.0"})
        for token in ("a", "b"):
            kinds = await service.history(token)
            assert kinds[-3:] == [("soaking", "1.1.0"), ("confirmed", "1.1.0"), ("offered", "2.0.0")]
        await check_recount(service)


async def test_kill_before_or_after_the_commit_of_a_pruning_keeps_every_push_that_is_needed(under_way: Path) -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker, template=under_way) as service:
        pushes = await count(service, "push")
        before, after = PRUNING_STEPS
        await die_at(service, before)
        assert await count(service, "push") == pushes
        await die_at(service, after)
        assert await count(service, "push") == len(BEFORE) < pushes
        # A broker that has lost everything gets all of it from what was left.
        await broker.kill()
        broker.wipe()
        await broker.start()
        await service.start()
        await service.ready()
        await until_retained(broker, BEFORE)


async def test_kill_before_or_after_the_commit_of_a_parking_forgets_no_refused_push_and_keeps_none_that_was_taken() -> (
    None
):
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await service.define()
        assert await service.terminate() == 0
        rules = broker.folder / "acl"
        allowed = rules.read_text()
        denied = "user otao\ntopic deny kp1/kettle-v1/cmx_ota/a/config/json/status\n"
        rules.write_text(allowed.replace("user otao\n", denied))
        broker.reload()
        before, after = PARKING_STEPS
        await service.start(KILL_AT=before)
        await service.ready()
        await report(broker, "a", "1.0.0")
        assert await service.died() == -9
        assert await count(service, "parked_push") == 0
        await die_at(service, after)
        assert await count(service, "parked_push") == 1
        rules.write_text(allowed)
        broker.reload()
        # The same push is published again, and taken: it is parked no more.
        await die_at(service, before)
        assert await count(service, "parked_push") == 1
        await service.start()
        await until_retained(broker, {"a": "1.1.0"})

        async def taken() -> bool:
            return await count(service, "parked_push") == 0

        await eventually(taken, "it is not parked any more")


async def test_invariant_10_kill_before_or_after_the_commit_of_a_dead_letter_buries_it_once() -> None:
    async with Mosquitto(tokens=[*TOKENS, "bad"]) as broker, Service(broker) as service:
        await service.define()
        assert await service.terminate() == 0
        for token in ("a", "bad", "c"):
            await report(broker, token, "1.0.0")
        before, after = BURIAL_STEPS
        await die_at(service, before, POISON="bad")
        assert await count(service, "dead_letter") == 0
        await die_at(service, after, POISON="bad")
        assert await count(service, "dead_letter") == 1
        # Neither it nor those beside it were acknowledged; who would apply it again would bury it again.
        await service.start(POISON="bad")
        await service.ready()
        await until_retained(broker, {"a": "1.1.0", "c": "1.1.0"})

        async def recognised() -> bool:
            return await service.metric("otao_repeats_total") >= 1

        await eventually(recognised, "what was stored is recognised when it comes again")
        assert await count(service, "dead_letter") == 1
        for token in ("a", "c"):
            assert await service.history(token) == [("reported", "1.0.0"), ("offered", "1.1.0")]


async def test_invariant_2_kill_before_or_after_deliveries_of_a_lost_session_are_forgotten_loses_no_report(
    under_way: Path,
) -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker, template=under_way) as service:
        known = await count(service, "delivery")
        assert known > 0
        # This broker has never heard of us.
        before, after = SESSION_STEPS
        await die_at(service, before)
        assert await count(service, "delivery") == known
        # The killed connection's session is there; another broker has none.
        await broker.kill()
        broker.wipe()
        await broker.start()
        await die_at(service, after)
        assert await count(service, "delivery") == 0
        await service.start()
        await service.ready()
        await report(broker, "a", "2.0.0")
        await service.until_running("a", "2.0.0")
        await until_retained(broker, {"c": "1.1.0"})


async def test_kill_before_or_after_the_commit_of_an_outage_keeps_one_that_does_not_overlap(under_way: Path) -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker, template=under_way) as service:
        known = await count(service, "outage")
        before, after = OUTAGE_STEPS
        await die_at(service, before)
        assert await count(service, "outage") == known
        await die_at(service, after)
        assert await count(service, "outage") == known + 1
        # Neither run has noted that it was alive: for the next one the outage goes on.
        for step in WATERMARK_STEPS:
            await die_at(service, step)
        assert await count(service, "outage") == known + 1
        spans = await databases.read(service.database, "SELECT started_ms, ended_ms FROM outage ORDER BY started_ms")
        assert all(ended <= started for (_, ended), (started, _) in pairwise(spans))
        await service.start()
        await service.ready()
        await until_retained(broker, BEFORE)


async def test_kill_before_or_after_the_commit_of_a_date_that_comes_opens_it_once(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    date = datetime.now(UTC) + timedelta(seconds=120)
    listed = [{"filterId": "all", "rolloutDate": date.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}]
    before, after = DATE_STEPS
    async with (
        Mosquitto(tokens=TOKENS) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(offset)) as service,
    ):
        await service.define()
        await service.put("/applications/kettle/filters/all", {"expression": "attributes.site == 'lab'"})
        members = {"token": "a", "appVersion": "kettle-v1", "attributes": {"site": "lab"}}
        await service.put("/applications/kettle/endpoints/a", members)
        await report(broker, "a", "2.0.0")
        await service.until_running("a", "2.0.0")
        await service.software("3.0.0", ["2.0.0"], rolloutStrategy="targeted", filters=listed)
        assert await service.terminate() == 0
        offset.write_text("150")
        await die_at(service, before)
        assert await count(service, "work") == 0
        await die_at(service, after)
        assert await count(service, "work") == 1
        await service.start()
        await until_retained(broker, {"a": "3.0.0"})
        assert (await service.history("a")).count(("offered", "3.0.0")) == 1
        await check_recount(service)


async def test_kill_at_the_last_commit_of_a_stop_leaves_nothing_half_done(under_way: Path) -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker, template=under_way) as service:
        for step in LEAVE_STEPS:
            await service.start(KILL_AT=step)
            await service.ready()
            await until_retained(broker, BEFORE)
            assert await service.terminate() == -9
        async with connect(broker, "c") as device:
            # What is said while nobody serves waits for who comes next.
            await device.publish(topic("c", "applied/json"), '{"configId":"1.1.0"}', qos=1)
        await service.start()
        await service.ready()
        await until_retained(broker, {"a": "2.0.0", "c": "2.0.0"})
        assert (await service.history("c")).count(("reported", "1.1.0")) == 1
        await check_recount(service)
