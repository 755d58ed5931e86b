"""Filters over a large stored fleet: how long a query takes, and how long a changed filter holds ingestion up.

Run: script/bench filters [-- --endpoints N]. Prints milliseconds per expression, the longest gap between two batches
of reports while a sweep decides every endpoint anew, and what refusing the worst texts takes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import _fleets as fleets
from sqlalchemy import text

from orchestrator.application import batches, garbage
from orchestrator.application.batches import Application, Batch, Settings
from orchestrator.application.directory import Directory
from orchestrator.application.floods import Floods
from orchestrator.application.parts import Parts
from orchestrator.application.records import EndpointQuery, FilterRecord
from orchestrator.application.rooms import Rooms
from orchestrator.application.sweeps import Sweeper
from orchestrator.domain import filters
from orchestrator.domain.filters import Filter, FilterSyntaxError
from orchestrator.domain.software import FilterUse, Strategy
from orchestrator.persistence.storage import open_storage
from protocol.links import Inbound
from protocol.payloads import Limits
from protocol.topics import Instances

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from orchestrator.persistence.storage import SqlStorage
    from protocol.links import Link

BATCH = 100
SETTINGS = Settings(instances=Instances(), limits=Limits())
SCANNED = (
    "attributes.site == 'nowhere'",
    "attributes.ring > 10 && attributes.site == 'site-7'",
    "attributes.ring > 10 || attributes.site == 'nowhere' || !has(attributes.fw)",
    "semver(attributes.fw) >= semver('9.0.0')",
    "'gamma' in attributes.tags",
    "semver(runningVersion) >= semver('9.0.0')",
    "lastSeenAt < timestamp('2020-01-01T00:00:00Z')",
    "endpointId.endsWith('nowhere')",
)
INDEXED = (
    "endpointId == 'ep-0777777'",
    "endpointId in ['ep-0777777', 'ep-0000001', 'nowhere']",
    "endpointId.startsWith('ep-00123')",
    "endpointId.startsWith('nowhere')",
    "endpointId.startsWith('ep-') && attributes.ring == 3",
)
WORST = {
    "200 brackets": "(" * 200 + "true" + ")" * 200,
    "4,000 negations": "!" * 4000 + "true",
    "800 terms": "||".join(["1<2"] * 800),
    "list of 2,000": f"1 in [{','.join(['1'] * 2000)}]",
    "200 terms, in the language": "||".join(["1<2"] * 200),
    "8 lists of 200, in the language": "||".join([f"1 in [{','.join(['1'] * 200)}]"] * 8),
}


class Clock:
    """The wall clock."""

    def now(self) -> datetime:
        """Now."""
        return datetime.now(UTC)

    def suspension(self) -> timedelta:
        """Never."""
        return timedelta()


async def dress(storage: SqlStorage) -> None:
    """Give every endpoint attributes of the usual size."""
    statement = """UPDATE endpoint SET attributes = '{"site":"site-' || (id % 50) || '","ring":' || (id % 10)
        || ',"fw":"1.' || (id % 30) || '.' || (id % 7) || '","tags":["alpha","beta"],"serial":"' || id || '"}'"""
    async with storage.transaction() as transaction:
        await transaction._connection.execute(text(statement))  # noqa: SLF001 - a bench fills tables in its own way


async def ask(storage: SqlStorage, entry: Entry, expression: str) -> None:
    """Time one page of a filter's endpoints, the best and the worst of five, and the processor's time of the best.

    The latter is what a machine takes that has nothing else to do.
    """
    query = EndpointQuery(limit=101, filter=Filter(filter_id="any", expression=expression))
    spans, busy, found = [], [], 0
    for _ in range(5):
        started, worked = time.perf_counter(), time.process_time()
        found = len(await storage.documents(entry, query))
        spans.append((time.perf_counter() - started) * 1000)
        busy.append((time.process_time() - worked) * 1000)
    print(
        f"  {min(spans):7.1f} ms, at worst {max(spans):7.1f} ms, of the processor {min(busy):7.1f} ms, "
        f"{found:3} found: {expression}"
    )


async def target(storage: SqlStorage, entry: Entry, expression: str) -> Entry:
    """Make 1.1.0 one for the endpoints that an expression matches; everybody is to be decided anew."""
    async with storage.edit() as edit:
        key = entry.application.key
        record = FilterRecord(filter=Filter(filter_id="canary", expression=expression), description=None, revision=1)
        await edit.put_filter(key, record)
        offered = fleets.software("1.1.0", ("1.0.0",))
        definition = replace(
            offered.software, strategy=Strategy.TARGETED, filters=(FilterUse(filter_id="canary", rollout_date=None),)
        )
        await edit.put_software(key, replace(offered, software=definition))
        await edit.add_work(key, {fleets.software("1.0.0").software.version}, datetime.now(UTC))
        return await edit.entry(key)


async def report(storage: SqlStorage, directory: Directory, fleet: fleets.Fleet, spans: list[float]) -> None:
    """Take batches of reports until cancelled; note how long each takes from the wish to begin to its commit."""
    chance = random.Random(7)
    while True:
        messages = [
            Inbound(
                topic=f"kp1/kettle-v1/cmx_ota/{fleet.token(chance.randrange(fleet.size))}/applied/json",
                payload=b'{"configId":"1.0.0"}',
                qos=1,
                packet_id=place + 1,
            )
            for place in range(BATCH)
        ]
        begun = time.perf_counter()
        batch = Batch()
        parsed = batches.parse(messages, directory, SETTINGS, {}, batch, floods=Floods(), at=datetime.now(UTC))
        async with storage.transaction() as transaction:
            application = Application(transaction, directory, SETTINGS, batch, rooms=Rooms(), watermark=2**60)
            await application.run(parsed, datetime.now(UTC), lambda _: None)
        spans.append(time.perf_counter() - begun)
        # A broker sends on while a batch is worked off; here the next one comes right behind it.
        await asyncio.sleep(0)


async def sweep(storage: SqlStorage, fleet: fleets.Fleet, expression: str) -> None:
    """Change the filter, and work off what follows from it beside a stream of reports."""
    entry = await target(storage, fleet.entry, expression)
    directory = Directory([entry])
    parts = Parts(
        link=cast("Link", None),
        storage=storage,
        editing=storage,
        directory=directory,
        clock=Clock(),
        settings=SETTINGS,
        partition="bench",
        installation="bench",
    )
    spans: list[float] = []
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        reporting = group.create_task(report(storage, directory, fleet, spans))
        for work in await storage.works():
            await Sweeper(parts).work_off(work)
        reporting.cancel()
    seconds = time.perf_counter() - started
    ordered = sorted(span * 1000 for span in spans)
    print(
        f"  {expression}: {fleet.size / seconds:,.0f} endpoints/s swept, {len(spans) * BATCH / seconds:,.0f} reports/s"
    )
    print(
        f"    a batch of {BATCH} reports takes {statistics.median(ordered):.0f} ms in the median, "
        f"p99 {ordered[len(ordered) * 99 // 100]:.0f} ms, longest {ordered[-1]:.0f} ms"
    )


def refuse() -> None:
    """Time the parser at its limits."""
    filters.parse("true")
    for name, expression in WORST.items():
        started = time.perf_counter()
        try:
            filters.parse(expression)
            answer = "read"
        except FilterSyntaxError as error:
            answer = str(error)
        print(f"  {(time.perf_counter() - started) * 1000:6.1f} ms, {name}: {answer}")


async def measure(endpoints: int, folder: str) -> None:
    """Fill a database, ask it, and change a filter."""
    url = f"sqlite+aiosqlite:///{folder}/otao.db"
    async with open_storage(url) as storage:
        fleet = await fleets.store(storage, endpoints, offered=False)
        await dress(storage)
    os.sync()
    async with open_storage(url) as storage:
        garbage.tune()
        print(f"{endpoints} endpoints, one page of those that a filter matches; scanned:")
        for expression in SCANNED:
            await ask(storage, fleet.entry, expression)
        print("served by the index of endpointIds:")
        for expression in INDEXED:
            await ask(storage, fleet.entry, expression)
        print("a changed filter, every endpoint decided anew beside a stream of reports:")
        for expression in ("attributes.ring <= 4", "attributes.ring <= 1", "semver(attributes.fw) < semver('1.9.0')"):
            await sweep(storage, fleet, expression)
    print("texts at the limits:")
    refuse()


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1_000_000)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(flags.endpoints, folder))


main()
