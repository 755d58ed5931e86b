"""Plans over a large stored fleet: how long the count of its kinds takes, with and without filters.

Run: script/bench plans [-- --endpoints N]. Prints wall time, and the processor time of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime

import _fleets as fleets
from sqlalchemy import text

from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.filters import Filter
from orchestrator.domain.plans import Planner
from orchestrator.persistence.storage import open_storage

FILTERS = (
    Filter(filter_id="lab", expression="attributes.site == 'lab'"),
    Filter(filter_id="ring", expression="attributes.ring <= 1"),
    Filter(filter_id="one", expression="attributes.serial == 'abc77'"),
)
PARTICULAR = (
    (
        "UPDATE endpoint SET attributes = json_object('site', CASE WHEN id % 10 = 0 THEN 'lab' ELSE 'field' END, "
        "'ring', id % 5, 'serial', 'abc' || id)"
    ),
    "UPDATE endpoint_state SET pinned_id = 1 WHERE id % 1000 = 0",
    "UPDATE endpoint_state SET setbacks = 1 WHERE id % 100 = 1",
    "INSERT INTO setback SELECT id, 2, 3, NULL, 1, 'no room' FROM endpoint_state WHERE id % 100 = 1",
)


async def measure(endpoints: int, folder: str) -> None:
    """Fill a database, and plan."""
    async with open_storage(f"sqlite+aiosqlite:///{folder}/otao.db") as storage:
        fleet = await fleets.store(storage, endpoints, offered=True)
        async with storage.transaction() as transaction:
            for statement in PARTICULAR:
                await transaction._connection.execute(text(statement))  # noqa: SLF001 - a bench fills tables in its own way
        catalogue = Catalogue.of(fleet.entry.catalogue.software)
        for asked in (FILTERS[:0], FILTERS[:1], FILTERS):
            wall, busy = time.perf_counter(), time.process_time()
            now = datetime.now(UTC)
            census = await storage.census(fleet.entry.application.key, asked, now)
            planner = Planner(catalogue, catalogue.software[-1].version, now)
            for kind, amount in census.items():
                planner.add(kind, amount)
            assert planner.forecast.running.total() == endpoints
            print(
                f"{len(asked)} filters: {time.perf_counter() - wall:.2f} s, "
                f"{time.process_time() - busy:.2f} s of processor time, {len(census)} kinds"
            )


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1_000_000)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(flags.endpoints, folder))


main()
