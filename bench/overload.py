"""Ten times more reports than can be done, then one endpoint that floods: what holds meanwhile, and after.

Run: script/bench overload [-- --times N --seconds N]. A C client sends reports of 10,000 endpoints, QoS 1, ten times as
fast as the service has just been found to store them; somebody else reads endpoints and numbers over REST. Prints what
was sent and stored, REST's p50 and p99, the service's memory, and how long it took to catch up. Then one endpoint sends
as fast as it can, and another one asks for its software again and again.

Exit code 1: a report that the broker had taken is neither stored nor refused, REST took 250 ms or more at p99, or the
endpoint that flooded was not named.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
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

from _services import Mosquitto, Service, serving, start_yardstick, yardstick
from flood import put, round_trips, told

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = "kp1/kettle-v1/cmx_ota/t-{}/applied/json/1"
LOUD = "kp1/kettle-v1/cmx_ota/loud/applied/json/1"
REPORT = '{"configId":"1.0.0"}'
ENDPOINTS = 10_000
MEASURED = 20_000
"""Reports by which the capacity is found."""
FLOOD_RATE = 5_000
LIMIT_SECONDS = 0.25
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

    def told(self, name: str) -> float:
        """Print what was seen since the last time; return p99 in seconds."""
        cuts = statistics.quantiles(self.spans, n=100)
        print(f"{name}: REST p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms of {len(self.spans)};", end=" ")
        print(f"memory at most {max(self.memory):.0f} MiB{self.failed or ''}")
        self.spans, self.memory, self.failed = [], [], Counter()
        return cuts[98]


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


async def overload(broker: Mosquitto, service: Service, watcher: Watcher, times: float, seconds: float) -> bool:
    """Send too much; return whether REST stayed quick and nothing was lost."""
    most = await capacity(broker, service)
    print(f"capacity: {most:,.0f} reports/s stored")
    watcher.told("nothing else to do")
    rate = int(times * most)
    count = int(rate * seconds)
    began, before = time.perf_counter(), ENDPOINTS + MEASURED
    sent = await yardstick(broker, "reports", ENDPOINTS, TOPIC, REPORT, 1000, rate, count, "scattered")
    done = await counted(service, STORED) + await counted(service, REFUSED) - before
    span = time.perf_counter() - began
    offered, stored = count / span, done / span
    print(
        f"offered: {offered:,.0f} reports/s for {span:.0f} s, {offered / stored:.1f} times what was stored meanwhile",
        end=" ",
    )
    print(f"({stored:,.0f}/s); {sent['refused']} refused by the broker")
    p99 = watcher.told("overloaded")
    began = time.perf_counter()
    done = await until_done(service, before + count) - before
    print(f"caught up after {time.perf_counter() - began:.0f} s, {done:,} of {count:,} stored or refused")
    watcher.told("catching up")
    return p99 < LIMIT_SECONDS and done == count


async def flooded(broker: Mosquitto, service: Service, watcher: Watcher, seconds: int) -> bool:
    """Let one endpoint flood; return whether it is named."""
    told("others, before", await round_trips(broker, 5))
    before = await counted(service, STORED), await counted(service, REFUSED)
    count = FLOOD_RATE * (seconds + 2)
    process = await start_yardstick(broker, "reports", 1, LOUD, REPORT, 1000, FLOOD_RATE, count, "ordered")
    await asyncio.sleep(1)
    told(f"others, while one endpoint sends {FLOOD_RATE} reports a second", await round_trips(broker, seconds))
    named = await counted(service, "otao_flooding_endpoints ")
    explained = await service.get("/api/v1/applications/kettle/endpoints/loud/explain")
    await process.wait()
    await until_done(service, sum(before) + count)
    stored = await counted(service, STORED) - before[0]
    refused = await counted(service, REFUSED) - before[1]
    print(f"of {count:,} reports of the one {stored:,} stored, {refused:,} refused; {named} endpoint named:")
    print(f"  {explained['summary']}")
    watcher.told("one endpoint floods")
    return named == 1 and "it floods" in explained["summary"]


async def whole(database: Path, service: Service) -> bool:
    """Whether the history holds every report that was taken."""
    stored = await counted(service, STORED)
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        # Without what "good" says when it asks for its software.
        own = "SELECT id FROM endpoint WHERE token = 'good'"
        query = f"SELECT count(*) FROM history WHERE kind = 0 AND endpoint_id != ({own})"
        kept = connection.execute(query).fetchone()[0]
    print(f"history: {kept:,} reports, {stored:,} were taken")
    return bool(kept == stored)


def software() -> Iterator[tuple[str, dict[str, Any]]]:
    """What there is."""
    yield "", {"appVersions": ["kettle-v1"], "registration": "open"}
    yield "/software/1.1.0", {"upgradableFrom": ["1.0.0"], "rolloutStrategy": "general", "specification": {"link": "x"}}


async def run(times: float, seconds: float) -> bool:
    """Measure; return whether all of it holds."""
    with tempfile.TemporaryDirectory(prefix="otao-bench-") as folder:
        database = Path(folder) / "otao.db"
        async with (
            Mosquitto(tokens=["good"]) as broker,
            serving(broker, database) as service,
            asyncio.TaskGroup() as group,
        ):
            for path, body in software():
                await asyncio.to_thread(put, service, f"/applications/kettle{path}", body)
            watcher = Watcher(service)
            # The first endpoints have to be there before they are read.
            await yardstick(broker, "reports", ENDPOINTS, TOPIC, REPORT, 1000, 0, ENDPOINTS, "ordered")
            await until_done(service, ENDPOINTS)
            watching = group.create_task(watcher.run())
            held = await overload(broker, service, watcher, times, seconds)
            contained = await flooded(broker, service, watcher, 10)
            watching.cancel()
            return await whole(database, service) and held and contained


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=float, default=10.0, help="what is offered, in capacities")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    given = parser.parse_args()
    return 0 if asyncio.run(run(given.times, given.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
