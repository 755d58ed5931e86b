"""Reports in random order over a large fleet, decided, stored and committed durably; no MQTT.

Run: script/bench schema [-- --endpoints N --reports N]. Prints reports per second, and what a batch costs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import _fleets as fleets
import aiosqlite

from orchestrator.application import batches, garbage
from orchestrator.application.batches import Application, Batch, Settings
from orchestrator.application.directory import Directory
from orchestrator.application.floods import Floods
from orchestrator.application.rooms import Rooms
from orchestrator.persistence.storage import open_storage
from protocol.links import Inbound
from protocol.payloads import Limits
from protocol.topics import Instances

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 500
WARM_UP = 20_000
"""Reports before the measured ones."""


class Driver:
    """Adds up the time that the driver's threads spend in the database."""

    def __init__(self) -> None:
        """Listen to every call of aiosqlite; PostgreSQL has no thread of ours."""
        self.seconds = 0.0
        execute = aiosqlite.Connection._execute  # noqa: SLF001 - there is no public place to listen

        async def timed(
            connection: aiosqlite.Connection, function: Callable[..., Any], *args: object, **named: object
        ) -> object:
            def measured(*given: object, **more: object) -> object:
                started = time.perf_counter()
                try:
                    return function(*given, **more)
                finally:
                    self.seconds += time.perf_counter() - started

            return await execute(connection, measured, *args, **named)

        aiosqlite.Connection._execute = timed  # noqa: SLF001 - the same


DRIVER = Driver()


class Stopwatch:
    """Told of a batch's steps: adds up the time between reading and having decided."""

    def __init__(self) -> None:
        """Start at zero."""
        self.seconds = 0.0
        self._read_at = 0.0

    def __call__(self, step: str, /) -> None:
        """Look at the clock."""
        if step == "batch-read":
            self._read_at = time.perf_counter()
        elif step == "batch-decided":
            self.seconds += time.perf_counter() - self._read_at


async def measure(endpoints: int, reports: int, url: str) -> None:
    """Fill a database and push reports through it."""
    settings = Settings(instances=Instances(), limits=Limits())
    async with open_storage(url) as storage:
        fleet = await fleets.store(storage, endpoints, offered=True)
    # What filling has left to be written back would be charged to the first commits.
    os.sync()
    async with open_storage(url) as storage:
        directory = Directory([fleet.entry])
        order = random.Random(7).sample(range(endpoints), reports + WARM_UP)
        messages = [
            Inbound(
                topic=f"kp1/kettle-v1/cmx_ota/{fleet.token(number)}/applied/json",
                payload=b'{"configId":"1.1.0"}',
                qos=1,
                packet_id=place % 65_535 + 1,
            )
            for place, number in enumerate(order)
        ]
        spans = []
        decided = Stopwatch()
        garbage.tune()
        started = time.perf_counter()
        for first in range(0, len(messages), BATCH):
            if first == WARM_UP:
                # The log's file has its size, and nothing is compiled any more.
                spans.clear()
                decided.seconds = DRIVER.seconds = 0.0
                started = time.perf_counter()
            begun = time.perf_counter()
            batch = Batch()
            parsed = batches.parse(
                messages[first : first + BATCH], directory, settings, {}, batch, floods=Floods(), at=datetime.now(UTC)
            )
            parsing = time.perf_counter() - begun
            async with storage.transaction() as transaction:
                application = Application(transaction, directory, settings, batch, rooms=Rooms(), watermark=endpoints)
                await application.run(parsed, datetime.now(UTC), decided)
            decided.seconds += parsing
            spans.append(time.perf_counter() - begun)
        seconds = time.perf_counter() - started
        confirmed = sum(
            amount
            for key, amount in (await storage.counters(1)).items()
            if key[1] == "latest" and key[4] == "confirmed"
        )
        size = (await storage.inspect()).size_bytes
    stored = seconds - decided.seconds
    print(f"{reports} reports in random order over {endpoints} endpoints, committed durably:")
    if DRIVER.seconds:
        print(f"  {reports / DRIVER.seconds:,.0f}/s in the database")
    print(f"  {reports / stored:,.0f}/s with rows read into values and values made into rows")
    print(f"  {reports / seconds:,.0f}/s parsed and decided as well; confirmed {confirmed}")
    print(f"batch of {BATCH}: median {statistics.median(spans) * 1000:.1f} ms, longest {max(spans) * 1000:.0f} ms")
    print(f"database: {size / 2**20:.0f} MiB")


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1_000_000)
    parser.add_argument("--reports", type=int, default=100_000)
    parser.add_argument("--database-url", help="an empty PostgreSQL database; else a SQLite file of its own")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = flags.database_url or f"sqlite+aiosqlite:///{folder}/otao.db"
        asyncio.run(measure(flags.endpoints, flags.reports, url))


if __name__ == "__main__":
    main()
