"""Kill -9 while a catalogue is applied: all of it is there afterwards, or nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.brokers import Mosquitto
from tests.services import Service, report, until_retained

WRITTEN_STEPS = ["catalogue-application-written", "catalogue-filters-written", "catalogue-written"]
ALL_STEPS = [*WRITTEN_STEPS, "catalogue-committed"]
PATH = "/applications/kettle/catalogue"
CATALOGUE = {
    "appVersions": ["kettle-v1", "kettle-v2"],
    "registration": "open",
    "filters": {"all": "attributes.site == 'lab'"},
    "software": [
        {"version": "1.0.0", "rolloutStrategy": "suspended"},
        {
            "version": "3.0.0",
            "upgradableFrom": ["1.0.0"],
            "rolloutStrategy": "general",
            "specification": {"link": "https://firmware.example/3.0.0.bin"},
        },
    ],
}


async def kill_while_applying(service: Service, step: str) -> None:
    await service.start(KILL_AT=step)
    await service.ready()
    async with asyncio.TaskGroup() as group:
        applying = group.create_task(apply_quietly(service))
        assert await service.died() == -9
        await applying
    await service.start()
    await service.ready()


async def apply_quietly(service: Service) -> None:
    try:
        await service.put(PATH, CATALOGUE)
    except Exception:  # noqa: BLE001 - whatever a client sees of a killed server
        return


@pytest.mark.parametrize("step", WRITTEN_STEPS)
async def test_kill_before_the_commit_of_a_catalogue_leaves_nothing_of_it(step: str) -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.terminate()
        await kill_while_applying(service, step)
        assert (await service.get("/applications"))["items"] == []
        await service.put(PATH, CATALOGUE)
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "3.0.0"})


@pytest.mark.parametrize("step", ALL_STEPS)
async def test_kill_while_a_catalogue_changes_an_application_is_all_or_nothing(step: str) -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        await service.terminate()
        await kill_while_applying(service, step)
        applied = step == "catalogue-committed"
        versions = [item["version"] for item in await service.get("/applications/kettle/software")]
        assert ("3.0.0" in versions) is applied
        assert len((await service.get("/applications/kettle"))["appVersions"]) == (2 if applied else 1)
        assert len((await service.get("/applications/kettle/filters"))["items"]) == (1 if applied else 0)
        audit = (await service.get("/applications/kettle/audit"))["items"]
        assert ("filters/all" in [item["resource"] for item in audit]) is applied
        # What follows from it follows, whatever became of the process.
        await until_retained(broker, {"a": "3.0.0" if applied else "1.1.0"})
