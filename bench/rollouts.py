"""Starting a rollout over a large stored fleet: decisions a second, how long the database is held, memory, idle ticks.

Run: script/bench rollouts [-- --endpoints N --note SENTENCE], which writes the figures into
docs/reference/benchmarks.md; with `-- --from FILE` it writes those of an earlier run again. The first part works the
sweep off in this process, page by page; the second asks a running service, with a broker, when the first offers leave.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.request import Request, urlopen

import _fleets as fleets
import _services as services

from bench.figures import measured, origins
from bench.figures.rollouts import Rollouts, Start
from orchestrator.application import garbage
from orchestrator.application.batches import Settings
from orchestrator.application.directory import Directory
from orchestrator.application.engine import assemble
from orchestrator.application.pages import Pages
from orchestrator.application.parts import Parts
from orchestrator.domain.policies import Limits, RolloutPolicy, Stage
from orchestrator.persistence.storage import open_storage
from protocol.payloads import Limits as MessageLimits
from protocol.topics import Instances

if TYPE_CHECKING:
    from orchestrator.persistence.storage import SqlStorage
    from protocol.links import Link

SETTINGS = Settings(instances=Instances(), limits=MessageLimits())
SOAK = timedelta(hours=1)
POLICIES = {
    "everybody at once": RolloutPolicy(),
    "a first stage of 1 %": RolloutPolicy(stages=(Stage(percent=1, soak=SOAK), Stage(percent=100))),
    "a first stage of 20 %": RolloutPolicy(stages=(Stage(percent=20, soak=SOAK), Stage(percent=100))),
    "6,000 a minute": RolloutPolicy(limits=Limits(per_minute=6000, in_progress=20_000)),
}


class Clock:
    """The wall clock."""

    def now(self) -> datetime:
        """Now."""
        return datetime.now(UTC)

    def suspension(self) -> timedelta:
        """Never."""
        return timedelta()


def parts_of(storage: SqlStorage, directory: Directory) -> Parts:
    """What the engine's loops work with, without a broker."""
    return Parts(
        link=cast("Link", None),
        storage=storage,
        editing=storage,
        directory=directory,
        clock=Clock(),
        settings=SETTINGS,
        partition="bench",
        installation="bench",
    )


def memory_mib() -> float:
    """Resident memory of this process, MiB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


async def start(name: str, policy: RolloutPolicy, endpoints: int) -> tuple[Start, float]:
    """Store a fleet, define a software with a policy, work off what follows; and milliseconds to the first offers."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/otao.db"
        async with open_storage(url) as storage:
            await fleets.store(storage, endpoints, offered=False)
        os.sync()
        async with open_storage(url) as storage:
            garbage.tune()
            directory = Directory(await storage.entries())
            (entry,) = directory.entries()
            record = fleets.software("1.1.0", ("1.0.0",))
            record = replace(record, software=replace(record.software, policy=policy))
            async with storage.edit() as edit:
                await edit.put_software(entry.application.key, record)
                await edit.add_work(entry.application.key, {fleets.software("1.0.0").software.version}, Clock().now())
                directory.put(await edit.entry(entry.application.key))
            before = memory_mib()
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(loop()) for loop in storage.loops().values()]
                held, seconds, first = await work_off(storage, parts_of(storage, directory))
                for task in beside:
                    task.cancel()
            offered = await count(storage, entry.application.key)
            found = Start(
                policy=name,
                per_second=endpoints / seconds,
                median_ms=statistics.median(held),
                p99_ms=sorted(held)[len(held) * 99 // 100],
                most_ms=max(held),
            )
            grown = memory_mib() - before
            print(
                f"{found}, {offered:,} offers, the first after {first * 1000:.0f} ms, memory {grown:+.0f} MiB",
                flush=True,
            )
            return found, first * 1000


async def work_off(storage: SqlStorage, parts: Parts) -> tuple[list[float], float, float]:
    """Turn every page of the sweep: milliseconds of each, seconds in all, seconds to the first."""
    pages, held = Pages(parts), []
    begun = time.perf_counter()
    (work,) = await storage.works()
    first = 0.0
    while True:
        started = time.perf_counter()
        end = await pages.turn(work)
        held.append((time.perf_counter() - started) * 1000)
        first = first or time.perf_counter() - begun
        if end is None:
            return held, time.perf_counter() - begun, first
        work = replace(work, cursor=end)


async def count(storage: SqlStorage, application: int) -> int:
    """How many offers are open."""
    numbers = await storage.counters(application)
    return sum(amount for key, amount in numbers.items() if key.name == "latest" and key.label == "offered")


async def idle(endpoints: int) -> float:
    """Milliseconds of a tick of gates and queues when nothing is due, the median."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_storage(f"sqlite+aiosqlite:///{folder}/otao.db") as storage:
            await fleets.store(storage, endpoints, offered=True)
            directory = Directory(await storage.entries())
            parts = parts_of(storage, directory)
            engine = await assemble(parts, batch_size=500, sample_every=timedelta(minutes=1))
            spans = []
            for _ in range(200):
                started = time.perf_counter()
                await engine.timers.judge_and_pace()
                spans.append((time.perf_counter() - started) * 1000)
            return statistics.median(spans)


async def serve(endpoints: int) -> tuple[float, float]:
    """Seconds until a service's first offer of a new software is acknowledged; MiB it has grown by 20 s later."""
    body = {
        "rolloutStrategy": "general",
        "upgradableFrom": ["1.0.0"],
        "specification": json.loads(fleets.SPECIFICATION),
        "rollout": {"stages": [{"percent": 1, "soak": "PT1H"}, {"percent": 100}]},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        async with open_storage(f"sqlite+aiosqlite:///{path}/otao.db") as storage:
            await fleets.store(storage, endpoints, offered=False)
        async with (
            services.Mosquitto() as broker,
            services.serving(broker, path / "otao.db") as service,
        ):
            before = service.memory_mib()
            started = time.perf_counter()
            await put(f"{service.url}/api/v1/applications/kettle/software/1.1.0", body)
            await until_pushed(service)
            first = time.perf_counter() - started
            await asyncio.sleep(20)
            return first, service.memory_mib() - before


async def until_pushed(service: services.Service) -> None:
    """Wait until the broker has acknowledged an offer."""
    while not await service.metric("otao_pushes_total"):  # noqa: ASYNC110 - another process is waited for
        await asyncio.sleep(0.02)


async def put(url: str, body: object) -> None:
    """Define something."""
    headers = {"content-type": "application/json"}
    request = Request(url, data=json.dumps(body).encode(), headers=headers, method="PUT")  # noqa: S310 - loopback
    await asyncio.to_thread(lambda: urlopen(request).close())  # noqa: S310 - loopback


def found(flags: argparse.Namespace) -> Rollouts:
    """Measure."""
    load = origins.load()
    starts = [asyncio.run(start(name, policy, flags.endpoints)) for name, policy in POLICIES.items()]
    tick = asyncio.run(idle(10_000))
    first, grown = asyncio.run(serve(flags.endpoints))
    return Rollouts(
        origin=origins.here(load, flags.note, services.PROGRAMS),
        endpoints=flags.endpoints,
        starts=tuple(one for one, _ in starts),
        first_ms=tuple(ms for _, ms in starts),
        acknowledged_s=(first,),
        grown_mib=(grown,),
        tick_ms=tick,
    )


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoints", type=int, default=1_000_000)
    measured.add_flags(parser, Rollouts)
    measured.run(Rollouts, parser.parse_args(), found)


if __name__ == "__main__":
    main()
