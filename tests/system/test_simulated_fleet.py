"""A fleet of 200 simulated devices updates in two hops; what is wrong with some of them shows in the service."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from device_sim import mixes
from device_sim.carriers import Carrier
from device_sim.devices import Pace, PowerLost, State
from device_sim.faults import Fault
from device_sim.fleets import Fleet
from device_sim.plans import FleetPlan
from device_sim.tallies import converged
from tests.brokers import ROOT, Mosquitto, free_port
from tests.services import SECONDS, Service, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from device_sim.carriers import Identity, Listener

FAST = Pace(
    download_seconds=0.4,
    verify_seconds=0.1,
    install_seconds=0.3,
    reboot_seconds=0.3,
    check_seconds=0.1,
    retry_seconds=2.0,
    awake_seconds=1.0,
    asleep_seconds=2.0,
    watchdog_seconds=0.3,
)
EACH = 4
PLAN = FleetPlan(
    app_version="kettle-v1",
    devices=200,
    versions=mixes.parse("1.0.0=60%,1.1.0=40%"),
    faults=mixes.parse(",".join(f"{fault}={EACH}" for fault in Fault)),
    attributes={"ring": mixes.parse("0=10%,1=90%")},
    seed=7,
    pace=FAST,
    prefix="kettle",
)


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Mosquitto, Service]]:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        await service.define()
        yield broker, service


async def versions(service: Service) -> dict[str, str | None]:
    """What the service believes: endpointId → version."""
    found: dict[str, str | None] = {}
    cursor: str | None = ""
    while cursor is not None:
        page: Any = await service.get(f"/applications/kettle/endpoints?limit=500{cursor and '&cursor='}{cursor}")
        found |= {item["endpointId"]: item["runningVersion"] for item in page["items"]}
        cursor = page["next"]
    return found


async def until_failed(service: Service, endpoint_id: str) -> None:
    async def failed() -> bool:
        return "failed" in [kind for kind, _ in await service.history(endpoint_id)]

    await eventually(failed, f"{endpoint_id} has failed")


@pytest.mark.parametrize("gateways", [0, 3])
async def test_all_healthy_devices_converge_and_the_others_show_what_is_wrong(gateways: int) -> None:
    plan = FleetPlan(**{name: getattr(PLAN, name) for name in PLAN.__slots__} | {"gateways": gateways})
    async with stage() as (broker, service):
        async with Fleet(plan, broker.url()) as fleet:
            done = await fleet.until(converged("2.0.0"), seconds=60)
            assert done, fleet.progress()
            devices = fleet.devices()
            faults = {device.model.token: device.model.fault for device in devices}
            by_fault = {fault: token for token, fault in faults.items()}
            for fault, kind in ((Fault.FAILING_INSTALL, "failed"), (Fault.FALL_BACK, "reverted")):
                history = [entry for entry, _ in await service.history(by_fault[fault])]
                assert kind in history, (fault, history)
        believed = await versions(service)
        healthy = [token for token, fault in faults.items() if fault is None or fault.converges]
        assert len(healthy) == 200 - EACH * sum(not fault.converges for fault in Fault)
        assert Counter(believed[token] for token in healthy) == {"2.0.0": len(healthy)}
        assert {believed[token] for token, fault in faults.items() if fault is Fault.FOREIGN_CONFIG_ID} <= {None}
        still = (Fault.OFFLINE, Fault.STALL, Fault.FAILING_INSTALL, Fault.NEVER_SUBSCRIBES, Fault.NO_BUMP)
        begun = {device.model.token: device.slots[0] for device in plan.build()}
        for token in (token for token, fault in faults.items() if fault in still):
            assert believed[token] == begun[token], faults[token]
        attributes = (await service.endpoint(healthy[0]))["attributes"]
        assert attributes["ring"] in {0, 1}


async def test_a_broker_that_restarts_in_the_middle_delays_the_fleet_and_no_more() -> None:
    plan = FleetPlan(app_version="kettle-v1", devices=60, versions=mixes.parse("1.0.0"), pace=FAST, seed=3)
    async with stage() as (broker, service), Fleet(plan, broker.url()) as fleet:
        assert await fleet.until(lambda progress: progress.installs > 5, seconds=SECONDS)
        await broker.kill()
        await broker.start()
        assert await fleet.until(converged("2.0.0"), seconds=60), fleet.progress()
        assert fleet.progress().connections_lost > 0
        assert set((await versions(service)).values()) == {"2.0.0"}


async def test_power_cuts_all_over_the_fleet_leave_no_device_behind() -> None:
    plan = FleetPlan(app_version="kettle-v1", devices=40, versions=mixes.parse("1.0.0"), pace=FAST, seed=5)
    async with stage() as (broker, _), Fleet(plan, broker.url()) as fleet:
        busy = {State.DOWNLOADING, State.INSTALLING, State.REBOOTING, State.CHECKING}
        assert await fleet.until(lambda progress: progress.by_state.get(State.REBOOTING, 0) > 3, seconds=SECONDS)
        cut = [number for number, device in enumerate(fleet.devices()) if device.state in busy]
        for number in cut:
            fleet.happen(number, PowerLost())
        assert {fleet.devices()[number].state for number in cut} == {State.OFF}
        assert await fleet.until(converged("2.0.0"), seconds=60), fleet.progress()


async def test_on_the_embedded_broker_a_fleet_with_faults_converges() -> None:
    port = free_port()
    plan = FleetPlan(
        app_version="kettle-v1",
        devices=60,
        versions=mixes.parse("1.0.0"),
        faults=mixes.parse("drops=5,duplicates=5,power-cut=5,sleeper=5,qos0=5,failing-install=5"),
        pace=FAST,
    )
    nobody = Mosquitto()
    nobody.folder.rmdir()
    async with Service(nobody, OTAO_MQTT_URL="embedded", OTAO_EMBEDDED_LISTEN=f"127.0.0.1:{port}") as service:
        await service.define()
        async with Fleet(plan, f"mqtt://127.0.0.1:{port}") as fleet:
            assert await fleet.until(converged("2.0.0"), seconds=60), fleet.progress()


async def sim(broker: Mosquitto, *arguments: str) -> asyncio.subprocess.Process:
    """Start `otao sim` as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator.cli",
        "sim",
        "--app-version",
        "kettle-v1",
        *arguments,
        cwd=ROOT,
        env=os.environ | {"OTAO_MQTT_URL": broker.url()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_command_ends_with_0_when_the_fleet_has_converged_and_with_3_when_not() -> None:
    async with stage() as (broker, _):
        arguments = ("--devices", "20", "--faults", "failing-install=1", "--json", "--until")
        done = await sim(broker, *arguments, "converged:2.0.0", "--within", "60s")
        out, _ = await asyncio.wait_for(done.communicate(), 90)
        assert done.returncode == 0
        document = json.loads(out)
        assert (document["converged"], document["settled"], document["healthy"]) == (True, {"2.0.0": 19}, 19)
        other = await sim(broker, *arguments, "converged:9.0.0", "--within", "1s", "--prefix", "other")
        out, err = await asyncio.wait_for(other.communicate(), SECONDS)
        assert other.returncode == 3
        assert json.loads(out)["converged"] is False
        assert b"0 of 19 healthy devices run 9.0.0" in err


async def test_a_signal_ends_the_command_well_and_it_says_goodbye_to_the_broker() -> None:
    async with Mosquitto(anonymous=True) as broker:
        process = await sim(broker, "--devices", "5", "--seed", "9")
        assert process.stdout is not None
        assert b"5 of 5 connected" in await asyncio.wait_for(process.stdout.readline(), SECONDS)
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), SECONDS)
        assert (process.returncode, err) == (0, b"")
        assert b"none\t5\t1.0.0 5\t0\t0\t0" in out
        assert broker.log().count("sim-00003 disconnected.") == 1


async def test_a_broker_that_refuses_us_ends_the_command_with_4() -> None:
    async with Mosquitto(tokens=["sim-00000"]) as broker:
        process = await sim(broker, "--broker", f"mqtt://sim-00000:wrong@127.0.0.1:{broker.port}")
        _, err = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 4
        assert b"refuses the connection" in err
        assert b"wrong@" not in err


async def test_each_connection_is_made_by_whom_the_fleet_was_told() -> None:
    made: list[int] = []

    def make(number: int, identity: Identity, listener: Listener, buffer: bytearray) -> Carrier:
        made.append(number)
        return Carrier(number, identity, listener, buffer)

    plan = FleetPlan(app_version="kettle-v1", devices=3, versions=mixes.parse("1.0.0"))
    async with Mosquitto(anonymous=True) as broker, Fleet(plan, broker.url(), carrier=make) as fleet:
        assert await fleet.until(lambda progress: progress.connected == len(made) == 3, SECONDS)
    assert made == [0, 1, 2]
