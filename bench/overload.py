"""Many times more reports than can be done, then one endpoint that floods: what holds meanwhile, and after.

Run: script/bench overload [-- --times N --seconds N --niceness N --note SENTENCE], which writes the figures into
docs/reference/benchmarks.md; with `-- --from FILE` it writes those of an earlier run again. A C client sends reports of
10,000 endpoints, QoS 1, ten times as fast as the service has just been found to store them, or as fast as the broker
takes them; with a niceness the service has the processor after broker and sender. Somebody else reads endpoints and
numbers over REST. What was sent and stored is noted, REST's p50 and p99, the service's memory, and how long it took to
catch up. Then one endpoint sends as fast as it can, and another one asks for its software again and again.

Exit code 1: a report that the broker had taken is neither stored nor refused, REST took 250 ms or more at p99, memory
is above its bound, or the endpoint that flooded was not named.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from _services import PROGRAMS, Mosquitto, Service, serving, start_yardstick, yardstick
from flood import put, round_trips

from bench.figures import measured, origins
from bench.figures.overload import Flood, Held, Overload, Phase, Times

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = "kp1/kettle-v1/cmx_ota/t-{}/applied/json/1"
LOUD = "kp1/kettle-v1/cmx_ota/loud/applied/json/1"
REPORT = '{"configId":"1.0.0"}'
ENDPOINTS = 10_000
MEASURED = 20_000
"""Reports by which the capacity is found."""
FLOOD_RATE = 5_000
KEPT = {"OTAO_HISTORY_PER_ENDPOINT": "0"}
"""Otherwise an endpoint's history ends at 200 entries, and what was taken could not be counted there."""
PATHS = ("/api/v1/applications/kettle/endpoints/t-{}", "/api/v1/applications/kettle/summary", "/readyz")
STORED = 'otao_messages_accepted_total{resource="applied/json"} '
REFUSED = 'otao_messages_refused_total{code="too-many-messages"} '


@dataclass(slots=True)
class Watcher:
    """What somebody sees who reads over REST, ten times a second."""

    service: Service
    spans: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """Of the service, MiB."""
    failed: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Read until cancelled, whatever is still unanswered."""
        number = 0
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._read(PATHS[number % len(PATHS)].format(number % ENDPOINTS)))
                self.memory.append(self.service.memory_mib())
                number += 1
                await asyncio.sleep(0.1)

    async def _read(self, path: str) -> None:
        began = time.perf_counter()
        try:
            await asyncio.to_thread(lambda: urlopen(f"{self.service.url}{path}").read())  # noqa: S310 - loopback
        except HTTPError as error:
            self.failed[f"{error.code} on {path.rpartition('/')[2]}"] += 1
        self.spans.append(time.perf_counter() - began)

    def seen(self) -> Phase:
        """What was seen since the last time."""
        phase = Phase(rest=Times.of(self.spans), memory_mib=max([*self.memory, self.service.memory_mib()]))
        print(f"{phase} of {len(self.spans)}; {dict(self.failed)}", flush=True)
        self.spans, self.memory, self.failed = [], [], Counter()
        return phase


async def counted(service: Service, name: str) -> int:
    """A labelled metric; 0 while it is not there."""
    text = await asyncio.to_thread(lambda: urlopen(f"{service.url}/metrics").read().decode())  # noqa: S310 - loopback
    return sum(int(float(line.split()[1])) for line in text.splitlines() if line.startswith(name))


async def until_done(service: Service, amount: int) -> int:
    """Wait until so many reports are stored or refused, or nothing moves for a minute; return how many are."""
    done, moved = -1, time.monotonic()
    while done < amount and time.monotonic() - moved < 60:  # noqa: PLR2004 - as it says
        now = await counted(service, STORED) + await counted(service, REFUSED)
        if now != done:
            done, moved = now, time.monotonic()
        await asyncio.sleep(0.1)
    return done


async def capacity(broker: Mosquitto, service: Service) -> float:
    """Measure how many reports a second are stored."""
    began = time.perf_counter()
    await yardstick(broker, "reports", ENDPOINTS, TOPIC, REPORT, 1000, 0, MEASURED, "scattered")
    await until_done(service, ENDPOINTS + MEASURED)
    return MEASURED / (time.perf_counter() - began)


async def overload(broker: Mosquitto, service: Service, watcher: Watcher, times: float, seconds: float) -> Held:
    """Send too much."""
    most = await capacity(broker, service)
    quiet = watcher.seen()
    rate = int(times * most)
    count = int(rate * seconds)
    began, before = time.perf_counter(), ENDPOINTS + MEASURED
    sent = await yardstick(broker, "reports", ENDPOINTS, TOPIC, REPORT, 1000, rate, count, "scattered")
    print(f"{sent['refused']} refused by the broker")
    done = await counted(service, STORED) + await counted(service, REFUSED) - before
    span = time.perf_counter() - began
    meanwhile = watcher.seen()
    began = time.perf_counter()
    in_the_end = await until_done(service, before + count) - before
    caught_up = time.perf_counter() - began
    return Held(
        capacity=most,
        offered=count / span,
        stored=done / span,
        reports=count,
        lost=count - in_the_end,
        caught_up_s=caught_up,
        catching_up=(in_the_end - done) / caught_up,
        before=quiet,
        meanwhile=meanwhile,
        after=watcher.seen(),
    )


async def flooded(broker: Mosquitto, service: Service, watcher: Watcher, seconds: int) -> Flood:
    """Let one endpoint flood."""
    quiet = Times.of(await round_trips(broker, 5))
    before = await counted(service, STORED), await counted(service, REFUSED)
    count = FLOOD_RATE * (seconds + 2)
    process = await start_yardstick(broker, "reports", 1, LOUD, REPORT, 1000, FLOOD_RATE, count, "ordered")
    await asyncio.sleep(1)
    meanwhile = Times.of(await round_trips(broker, seconds))
    named = await counted(service, "otao_flooding_endpoints ")
    explained = await service.get("/api/v1/applications/kettle/endpoints/loud/explain")
    print(explained["summary"])
    await process.wait()
    await until_done(service, sum(before) + count)
    return Flood(
        rate=FLOOD_RATE,
        sent=count,
        stored=await counted(service, STORED) - before[0],
        refused=await counted(service, REFUSED) - before[1],
        named=named == 1 and "it floods" in explained["summary"],
        before=quiet,
        meanwhile=meanwhile,
        rest=watcher.seen().rest,
    )


async def missing(database: Path, service: Service) -> int:
    """How many reports were taken that the history does not hold."""
    stored = await counted(service, STORED)
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        # Without what "good" says when it asks for its software.
        own = "SELECT id FROM endpoint WHERE token = 'good'"
        query = f"SELECT count(*) FROM history WHERE kind = 0 AND endpoint_id != ({own})"
        kept = connection.execute(query).fetchone()[0]
    return stored - int(kept)


def give_way(service: Service, niceness: int) -> None:
    """Have all threads of the service, and those to come, run after others."""
    for thread in Path(f"/proc/{service.process.pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)


def software() -> Iterator[tuple[str, dict[str, Any]]]:
    """What there is."""
    yield "", {"appVersions": ["kettle-v1"], "registration": "open"}
    yield "/software/1.1.0", {"upgradableFrom": ["1.0.0"], "rolloutStrategy": "general", "specification": {"link": "x"}}


async def run(flags: argparse.Namespace) -> Overload:
    """Measure."""
    load = origins.load()
    with tempfile.TemporaryDirectory(prefix="otao-bench-") as folder:
        database = Path(folder) / "otao.db"
        async with (
            Mosquitto(tokens=["good"]) as broker,
            serving(broker, database, **KEPT) as service,
            asyncio.TaskGroup() as group,
        ):
            for path, body in software():
                await asyncio.to_thread(put, service, f"/applications/kettle{path}", body)
            give_way(service, flags.niceness)
            watcher = Watcher(service)
            # The first endpoints have to be there before they are read.
            await yardstick(broker, "reports", ENDPOINTS, TOPIC, REPORT, 1000, 0, ENDPOINTS, "ordered")
            await until_done(service, ENDPOINTS)
            watching = group.create_task(watcher.run())
            held = await overload(broker, service, watcher, flags.times, flags.seconds)
            flood = await flooded(broker, service, watcher, 10)
            watching.cancel()
            return Overload(
                origin=origins.here(load, flags.note, PROGRAMS),
                endpoints=ENDPOINTS,
                seconds=flags.seconds,
                niceness=flags.niceness,
                held=held,
                missing=await missing(database, service),
                flood=flood,
            )


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=float, default=10.0, help="what is offered, in capacities")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    parser.add_argument("--niceness", type=int, default=0, help="of the service, 19 at most")
    measured.add_flags(parser, Overload)
    given = parser.parse_args()
    found = measured.run(Overload, given, lambda flags: asyncio.run(run(flags)))
    return 0 if given.source or found.good else 1


if __name__ == "__main__":
    sys.exit(main())
