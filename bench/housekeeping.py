"""A year of a fleet in virtual time: how large the database is after each month, with and without retention.

Run: script/bench housekeeping [-- --devices N --reports N --days N --note SENTENCE], which writes the figures into
docs/reference/benchmarks.md; with `-- --from FILE` it writes those of an earlier run again. Every device reports so
often a day, a new software comes out each month and everybody installs it, an operator writes a filter anew every day.
The same year is played twice: with everything kept for ever, and with `--history` days and `--entries` history entries
per endpoint. Both databases are SQLite files; space that is freed stays in the file and is used again, which `free`
shows. Then a file with 1,000,000 history entries is rid of three quarters of them, half by number and half by age: how
long each transaction holds the writer.

Exit code 1: with retention the last month is more than a tenth larger than the first one after the retention's term.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import _fleets

from bench.figures import measured, origins
from bench.figures.housekeeping import Housekeeping, Month, Removal
from orchestrator.application.batches import Settings
from orchestrator.application.directory import Directory
from orchestrator.application.housekeeper import Housekeeper
from orchestrator.application.parts import Parts
from orchestrator.application.retentions import Retention, Term
from orchestrator.persistence.schema import KEY_SPAN
from orchestrator.persistence.storage import open_storage
from orchestrator.virtual import Pages, VirtualLink, open_engine
from protocol.payloads import Limits
from protocol.topics import Instances

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from orchestrator.application.retentions import Stretch
    from orchestrator.persistence.storage import SqlStorage

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=30)
DAY = timedelta(days=1)
FOREVER = Retention()
GROWTH = 1.1
MIB = 2**20
ENDPOINTS, ENTRIES = 5_000, 200
"""Of the history of which most is removed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """How large it is and how much it says."""

    devices: int
    reports: int
    days: int


def version(month: int) -> str:
    """What comes out in a month, from 0."""
    return f"1.{month}.0"


def catalogue(months: int, day: int) -> dict[str, Any]:
    """All software up to a month's, and a filter that an operator writes anew each day."""
    software = [
        {
            "version": version(month),
            "upgradableFrom": [version(month - 1)] if month else [],
            "rolloutStrategy": "general",
            "specification": {"link": f"https://images.example/{month}"},
        }
        for month in range(months + 1)
    ]
    filters = {"today": f"attributes.day == {day}"}
    return {"appVersions": ["kettle-v1"], "registration": "open", "software": software, "filters": filters}


def report(device: int, running: str) -> tuple[str, bytes]:
    """A device's word on what it runs."""
    return f"kp1/kettle-v1/cmx_ota/e{device}/applied/json", json.dumps({"configId": running}).encode()


async def year(fleet: Fleet, retention: Retention) -> list[Pages]:
    """Play it; return the size of the database at the end of each month."""
    sizes: list[Pages] = []
    running = dict.fromkeys(range(fleet.devices), version(0))
    offers: dict[int, str] = {}

    def deliver(topic: str, payload: bytes) -> None:
        if payload and topic.endswith("/config/json/status"):
            offers[int(topic.split("/")[3][1:])] = json.loads(payload)["configId"]

    async with open_engine(BEGIN, deliver) as engine:
        for day in range(fleet.days):
            engine.clock.at = BEGIN + day * DAY
            await engine.apply("kettle", catalogue(day // 30, day))
            for _ in range(fleet.reports):
                engine.clock.at += DAY / fleet.reports
                running.update(offers)
                offers.clear()
                await engine.say(report(device, running[device]) for device in range(fleet.devices))
                await engine.settle()
            removed = await engine.keep_house(retention)
            if (day + 1) % 30 == 0:
                sizes.append(await engine.pages())
                told(day // 30 + 1, sizes[-1], sum(removed.values()))
    return sizes


def told(month: int, pages: Pages, removed: int) -> None:
    """Print one month."""
    size, free = pages.size_bytes / MIB, pages.free_bytes / MIB
    print(
        f"  month {month:2}: {size:8.1f} MiB, of it free {free:6.1f} MiB; rows removed so far {removed:,}", flush=True
    )


def flat(found: Housekeeping) -> bool:
    """Whether it does not grow any more once the first of what is kept has been removed."""
    settled = found.months[min(found.history_days // 30, len(found.months) - 1)]
    return found.months[-1].bounded_mib <= settled.bounded_mib * GROWTH


async def both(fleet: Fleet, days: int, entries: int) -> tuple[list[Pages], list[Pages]]:
    """Play the year with everything kept, and with retention."""
    audit = Term(span=timedelta(days=days))
    kept = Retention(history=timedelta(days=days), per_endpoint=entries, audit=audit, dead_letters=audit)
    print("everything kept for ever:")
    without = await year(fleet, FOREVER)
    print(f"history kept for {days} days and {entries} entries of each endpoint, audit for {days} days:")
    return without, await year(fleet, kept)


class Timed:
    """Implements `retentions.Archive` on a storage, and notes how long each removal takes."""

    def __init__(self, storage: SqlStorage) -> None:
        """Note nothing yet."""
        self._storage = storage
        self.oldest, self.surplus = storage.oldest, storage.surplus
        self.seconds: list[float] = []

    async def remove(self, stretch: Stretch) -> int:
        """See `retentions.Archive.remove`."""
        return await self._timed(self._storage.remove(stretch))

    async def remove_zeros(self, limit: int) -> int:
        """See `retentions.Archive.remove_zeros`."""
        return await self._timed(self._storage.remove_zeros(limit))

    async def remove_entries(self, entries: Sequence[int]) -> int:
        """See `retentions.Archive.remove_entries`."""
        return await self._timed(self._storage.remove_entries(entries))

    async def _timed(self, removal: Awaitable[int]) -> int:
        begun = time.perf_counter()
        removed = await removal
        self.seconds.append(time.perf_counter() - begun)
        return removed


class Wall:
    """Implements `ports.Clock`."""

    def now(self) -> datetime:
        """See `ports.Clock.now`."""
        return datetime.now(UTC)

    def suspension(self) -> timedelta:
        """See `ports.Clock.suspension`."""
        return timedelta()


async def without_rest(_seconds: float) -> None:
    """As fast as it can."""


async def fill(storage: SqlStorage) -> None:
    """Endpoints with a history of one entry an hour, up to now."""
    await _fleets.store(storage, ENDPOINTS, offered=False)
    first, now = KEY_SPAN, int(datetime.now(UTC).timestamp() * 1000)
    total = ENDPOINTS * ENTRIES
    statements = [
        f"""WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {total - 1}) INSERT INTO history
        SELECT i + 1, {first} + i % {ENDPOINTS} + 1, max(i + 1 - {ENDPOINTS}, 0),
        {now} - ({ENTRIES} - i / {ENDPOINTS}) * 3600000, 0, 1, 200, NULL FROM n""",
        f"UPDATE endpoint_state SET last_history_id = {total - ENDPOINTS} + id - {first}",
    ]
    async with storage.transaction() as transaction:
        for statement in statements:
            await transaction._connection.exec_driver_sql(statement)  # noqa: SLF001 - a bench fills tables in its own way


async def hold() -> Removal:
    """Remove three quarters of a long history; return for how long the writer was held."""
    with tempfile.TemporaryDirectory(prefix="otao-bench-") as folder:
        async with open_storage(f"sqlite+aiosqlite:///{folder}/otao.db") as storage:
            await fill(storage)
            parts = Parts(
                link=VirtualLink(lambda _topic, _payload: None),
                storage=storage,
                editing=storage,
                directory=Directory(()),
                clock=Wall(),
                settings=Settings(instances=Instances(), limits=Limits()),
                partition="main",
                installation="bench",
            )
            retention = Retention(history=timedelta(hours=ENTRIES / 4), per_endpoint=ENTRIES // 2)
            archive = Timed(storage)
            keeper = Housekeeper(parts, archive, retention, sleep=without_rest)
            await keeper.keep_lengths()
            await keeper.keep_ages()
            spans = sorted(span * 1000 for span in archive.seconds)
            return Removal(
                entries=ENDPOINTS * ENTRIES,
                removed=parts.tallies.removed["history"],
                transactions=len(spans),
                median_ms=spans[len(spans) // 2],
                p99_ms=spans[len(spans) * 99 // 100],
                most_ms=spans[-1],
            )


def found(flags: argparse.Namespace) -> Housekeeping:
    """Measure."""
    load = origins.load()
    fleet = Fleet(devices=flags.devices, reports=flags.reports, days=flags.days)
    without, bounded = asyncio.run(both(fleet, flags.history, flags.entries))
    sizes = enumerate(zip(without, bounded, strict=True), start=1)
    removal = asyncio.run(hold())
    return Housekeeping(
        origin=origins.here(load, flags.note, {}),
        devices=flags.devices,
        reports=flags.reports,
        days=flags.days,
        history_days=flags.history,
        history_entries=flags.entries,
        months=tuple(
            Month(number=number, whole_mib=whole.size_bytes / MIB, bounded_mib=part.size_bytes / MIB)
            for number, (whole, part) in sizes
        ),
        free_mib=bounded[-1].free_bytes / MIB,
        removal=removal,
    )


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--reports", type=int, default=4)
    parser.add_argument("--days", type=int, default=360)
    parser.add_argument("--history", type=int, default=60, help="days")
    parser.add_argument("--entries", type=int, default=200)
    measured.add_flags(parser, Housekeeping)
    given = parser.parse_args()
    figures = measured.run(Housekeeping, given, found)
    return 0 if given.source or flat(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
