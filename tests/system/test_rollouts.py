"""Rollouts of a real service on a real broker with simulated devices: who is offered what, and what stops it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from device_sim import mixes
from device_sim.fleets import Fleet
from device_sim.plans import FleetPlan
from device_sim.tallies import converged
from tests.brokers import Mosquitto
from tests.services import Service, eventually
from tests.system.rollouts import (
    NEW,
    SOFTWARE,
    check_recount,
    define,
    documents,
    lookout,
    move,
    moves,
    offers_everywhere,
    progress,
    until,
    until_versions,
)
from tests.system.test_simulated_fleet import FAST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.system.rollouts import Json, Lookout

OLD = "1.0.0"
BRICKS = {"deadline": {"installing": "PT2S"}}


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Mosquitto, Service, Lookout]]:
    """A broker, a service with an application that has no offers yet, and somebody who looks on."""
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service, lookout(broker) as seen:
        await service.put("/applications/kettle", {"appVersions": ["kettle-v1"], "registration": "open"})
        yield broker, service, seen


def plan(devices: int, fault: str | None = None, *, ring: int = 0, prefix: str = "sim") -> FleetPlan:
    """Devices on 1.0.0 that all have the same fault, or none."""
    return FleetPlan(
        app_version="kettle-v1",
        devices=devices,
        versions=mixes.parse(OLD),
        faults=mixes.parse("" if fault is None else fault),
        attributes={"ring": mixes.parse(str(ring))},
        seed=7,
        pace=FAST,
        prefix=prefix,
    )


async def later(service: Service, seen: Lookout, fleet: int) -> list[str]:
    """The endpoints that were never offered anything; the rest saw its offer come."""
    shown = [document["endpointId"] for document in await documents(service)]
    assert len(shown) == fleet
    histories = {name: [kind for kind, _ in await service.history(name)] for name in shown}
    untouched = [name for name, kinds in histories.items() if "offered" not in kinds]
    await seen.catch_up()
    assert seen.tokens == set(shown) - set(untouched)
    return untouched


async def test_devices_that_fall_back_after_their_reboot_pause_the_rollout_before_its_next_stage() -> None:
    stages = [{"count": 5, "soak": "PT1H", "minAttempted": 3, "maxFailureRate": 0.1}, {"percent": 100}]
    async with stage() as (broker, service, seen), Fleet(plan(20, "fall-back=100%"), broker.url()):
        await until_versions(service, {OLD: 20})
        await define(service, stages)
        shown = await until(service, lambda shown: shown["stages"][0]["reverted"] == 5, "the canaries fall back")
        shown = await until(service, lambda shown: shown["state"] == "paused", "it is paused")
        assert (shown["stage"], shown["by"]) == (0, "otao")
        assert shown["summary"].startswith("paused: stage 1: failure rate 100 % (")
        assert shown["summary"].endswith(" is over the limit 10 %")
        assert [item["state"] for item in shown["stages"]] == ["failed", "waiting"]
        assert sum(item["endpoints"] for item in shown["failures"]) == 5
        untouched = await later(service, seen, 20)
        assert len(untouched) == 15
        explained = await service.get(f"/applications/kettle/endpoints/{untouched[0]}/explain")
        assert (explained["outcome"], explained["hop"]) == ("waiting", None)
        assert await offers_everywhere(broker) == {}
        assert [name for name in await moves(service) if name != "rollout.widen"] == ["rollout.pause"]


@pytest.mark.parametrize(
    ("fault", "kind", "rollout"), [("failing-install", "failed", {}), ("silent", "expired", BRICKS)]
)
async def test_three_endpoints_out_of_three_that_fail_open_nothing(fault: str, kind: str, rollout: Json) -> None:
    async with stage() as (broker, service, seen), Fleet(plan(9, f"{fault}=100%"), broker.url()):
        await until_versions(service, {OLD: 9})
        await define(service, [{"count": 3}, {"percent": 100}], **rollout)
        shown = await until(service, lambda shown: shown["state"] == "paused", "it is paused")
        first, second = shown["stages"]
        assert (first["endpoints"], first["settled"], first[kind]) == (3, 3, 3)
        assert (second["state"], second["offered"]) == ("waiting", 0)
        assert len(await later(service, seen, 9)) == 6
        # Nor does a resume, which acknowledges the three; an operator who wants to go on has to say so.
        resumed = await move(service, "resume")
        assert (resumed["state"], resumed["stage"]) == ("running", 0)
        await move(service, "approve", stage=0)

        async def everybody() -> bool:
            return len(seen.tokens) == 9

        await eventually(everybody, "after the approval everybody is offered it")


async def test_a_recall_brings_a_whole_fleet_back_by_the_authored_edge_and_within_its_limits() -> None:
    async with stage() as (broker, service, seen), Fleet(plan(30), broker.url()) as fleet:
        await until_versions(service, {OLD: 30})
        await define(service, None, rescue=True, limits={"inProgress": 10})
        assert await fleet.until(converged(NEW), seconds=60), fleet.progress()
        await until_versions(service, {NEW: 30})
        await service.put(f"{SOFTWARE}/recall", {"reason": "does not switch off"}, method="POST")
        assert await fleet.until(converged(OLD), seconds=60), fleet.progress()
        await until_versions(service, {OLD: 30})
        assert (await progress(service))["state"] == "recalled"
        for document in await documents(service):
            history = await service.history(document["endpointId"])
            assert [item for item in history if item[0] in {"offered", "confirmed", "reverted"}] == [
                ("offered", NEW),
                ("confirmed", NEW),
                ("offered", OLD),
                ("confirmed", OLD),
            ]
        await seen.catch_up()
        # One message for each offer on the way up, and one on the way back, which the limits of the recalled one pace.
        assert (len(seen.offers), seen.out, seen.most) == (60, set(), 10)


async def test_a_stage_that_fails_under_on_failure_revert_brings_back_those_of_the_stage_before() -> None:
    strict = {"maxFailureRate": 0.1}
    stages = [{"filter": "lab", "minAttempted": 10, **strict}, {"percent": 100, "minAttempted": 5, **strict}]
    async with stage() as (broker, service, seen):
        good, bad = plan(10, ring=1, prefix="good"), plan(8, "failing-install=100%", ring=2, prefix="bad")
        async with Fleet(good, broker.url()) as fleet, Fleet(bad, broker.url()):
            await until_versions(service, {OLD: 18})
            await define(service, stages, rescue=True, onFailure="revert")
            await until(service, lambda shown: shown["state"] == "recalled", "the second stage fails")
            await until_versions(service, {OLD: 18})
            assert await fleet.until(converged(OLD), seconds=30), fleet.progress()
        for document in await documents(service):
            name = document["endpointId"]
            confirmed = [version for kind, version in await service.history(name) if kind == "confirmed"]
            assert confirmed == ([NEW, OLD] if name.startswith("good") else [])
        assert {version for token, version in seen.offers if token.startswith("bad")} == {NEW}
        assert await moves(service) == ["rollout.advance", "rollout.revert"]
        await check_recount(service)
