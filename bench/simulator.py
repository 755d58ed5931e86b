"""A large simulated fleet updates in two hops: how long, at what memory and processor time of the simulator.

    python bench/simulator.py --devices 20000

One connection per device, keep-alive 60 s, on a real Mosquitto and a real `otao serve` on the same machine. A process
that may open fewer files gets fewer devices, and the broker is such a process too: the figures say how many.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

from _services import Mosquitto, Service, serving

from device_sim import mixes
from device_sim.fleets import Fleet
from device_sim.plans import FleetPlan
from device_sim.tallies import Progress, converged

APPLICATION = "/api/v1/applications/kettle"
SPARE_FILES = 100
SECONDS = 600.0


def put(service: Service, path: str, body: object) -> None:
    """PUT a JSON document."""
    request = Request(f"{service.url}{path}", method="PUT", data=json.dumps(body).encode())  # noqa: S310 - loopback
    request.add_header("Content-Type", "application/json")
    urlopen(request).close()  # noqa: S310 - the same


def processor_seconds(process: int) -> float:
    """Processor seconds of another process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def used() -> tuple[float, float]:
    """Processor seconds, and peak resident MiB, of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


async def measure(devices: int, gateways: int) -> None:
    """One fleet, from switched off to its second update."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not gateways and files != resource.RLIM_INFINITY:
        devices = min(devices, files - SPARE_FILES)
    plan = FleetPlan(
        app_version="kettle-v1", devices=devices, versions=mixes.parse("1.0.0"), gateways=gateways, keep_alive=60
    )
    with tempfile.TemporaryDirectory() as folder:
        async with Mosquitto(anonymous=True) as broker, serving(broker, Path(folder) / "otao.db") as service:
            put(service, APPLICATION, {"appVersions": ["kettle-v1"], "registration": "open"})
            before = time.perf_counter(), *used()
            async with Fleet(plan, broker.url()) as fleet:
                await until(fleet, "1.0.0")
                say("connected and known", plan, before)
                begun = time.perf_counter(), *used()
                for version, source in (("1.1.0", "1.0.0"), ("2.0.0", "1.1.0")):
                    body = {"upgradableFrom": [source], "rolloutStrategy": "general", "specification": {"a": 1}}
                    await asyncio.to_thread(put, service, f"{APPLICATION}/software/{version}", body)
                last = await until(fleet, "2.0.0")
                say("two hops", plan, begun)
                print(f"messages: {last.sent:,} sent, {last.received:,} received; {last.connections_lost} lines lost")
                processor = processor_seconds(service.process.pid)
                print(f"service: {service.memory_mib():.0f} MiB, {processor:.1f} s of a core since its start")
                print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


async def until(fleet: Fleet, version: str) -> Progress:
    """Wait until all run a version and were heard."""
    if not await fleet.until(converged(version), seconds=SECONDS):
        raise TimeoutError(fleet.progress())
    return fleet.progress()


def say(what: str, plan: FleetPlan, before: tuple[float, float, float]) -> None:
    """Print what something took."""
    seconds, (processor, mib) = time.perf_counter() - before[0], used()
    print(f"{what}: {plan.devices:,} devices, {plan.gateways or plan.devices:,} connections, {seconds:.1f} s,", end=" ")
    print(f"{processor - before[1]:.1f} s of a core, peak {mib:.0f} MiB")


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--gateways", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.devices, arguments.gateways))


if __name__ == "__main__":
    main()
