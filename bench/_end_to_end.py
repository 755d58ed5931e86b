"""What `end_to_end.py` measures: each function is one run with a broker of its own, and gives its figures by name."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import _fleets as fleets
from _services import Mosquitto, Service, serving, start_yardstick, yardstick

from orchestrator.domain.versions import Version
from orchestrator.persistence.storage import open_storage
from tests.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BASE = "kp1/kettle-v1/cmx_ota/tok-{}"
REPORT_TOPIC, OFFER_TOPIC, REQUEST_TOPIC = (
    f"{BASE}/applied/json",
    f"{BASE}/config/json/status",
    f"{BASE}/config/json/{{}}",
)
REPORT_FILTER, OFFER_FILTER = "kp1/+/cmx_ota/+/applied/json", "kp1/+/cmx_ota/+/config/json/status"
ANSWER_FILTER = "kp1/+/cmx_ota/+/config/json/+/status"
REPORT = '{"configId":"1.1.0"}'
NEXT_REPORT = '{"configId":"1.2.0"}'
REQUEST = "{ }"
"""With a space: the C client would take the empty object for the place of a number."""
SOFTWARE = "/api/v1/applications/kettle/software"
WINDOW = 1000
NO_SAVES = ("autosave_interval 36000",)
"""While answers are timed. Mosquitto rewrites its whole store once a minute and does nothing else meanwhile: seconds,
where it retains a million offers, which would be the slowest hundredth of whatever is timed then. `large` asks in a
save on purpose.
"""

Figures = dict[str, float]


def definition(source: str) -> dict[str, Any]:
    """A software that may be installed over `source`."""
    specification = json.loads(fleets.SPECIFICATION)
    return {"upgradableFrom": [source], "rolloutStrategy": "general", "filters": [], "specification": specification}


@dataclass(slots=True)
class Databases:
    """Databases with a fleet, each filled once and copied for each run."""

    folder: Path
    server: Postgres | None = None
    _filled: dict[str, str | Path] = field(default_factory=dict)
    _copies: int = 0
    offer_bytes: int = 0
    """Size of the payload that offers 1.1.0."""

    @asynccontextmanager
    async def copy(self, size: int, *, offered: bool, postgresql: bool = False) -> AsyncIterator[str]:
        """The address of a new database with `size` endpoints; with `offered`, all hold an offer of 1.1.0."""
        source = await self._source(size, offered=offered, postgresql=postgresql)
        self._copies += 1
        if isinstance(source, str):
            assert self.server is not None
            name = f"copy_{self._copies}"
            await self.server.copy(source, name)
            yield self.server.url(name)
            await self.server.drop(name)
        else:
            place = self.folder / f"copy-{self._copies}.db"
            shutil.copy(source, place)
            yield f"sqlite+aiosqlite:///{place}"
            for path in self.folder.glob(f"{place.name}*"):
                path.unlink()

    async def _source(self, size: int, *, offered: bool, postgresql: bool) -> str | Path:
        name = f"{'offered' if offered else 'plain'}_{size}"
        key = f"{name}_{postgresql}"
        if key not in self._filled:
            if postgresql:
                self.server = self.server or _started()
                self._filled[key] = name
                address = await self.server.fresh(name)
            else:
                self._filled[key] = self.folder / f"{name}.db"
                address = f"sqlite+aiosqlite:///{self._filled[key]}"
            async with open_storage(address) as storage:
                fleet = await fleets.store(storage, size, offered=offered, padded=False)
            if offered:
                self.offer_bytes = len(fleet.entry.offer(Version.parse("1.1.0")))
        return self._filled[key]

    def close(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.remove()


def _started() -> Postgres:
    server = Postgres()
    server.start()
    return server


async def c_client(size: int, offer_bytes: int) -> Figures:
    """What the C client does with the same packets: it publishes the offers, and receives the reports."""
    async with Mosquitto() as broker:
        published = await yardstick(broker, "publish", size, OFFER_TOPIC, offer_bytes, WINDOW)
        receiver = await start_yardstick(broker, "receive", size, REPORT_FILTER)
        assert receiver.stdout is not None
        await receiver.stdout.readline()
        await yardstick(broker, "reports", size, REPORT_TOPIC, REPORT, WINDOW)
        received = json.loads((await receiver.stdout.read()).decode().strip().splitlines()[-1])
        await receiver.wait()
    return {"published": published["per_second"], "received": received["per_second"]}


async def offers(databases: Databases, size: int) -> Figures:
    """A new software concerns every endpoint: from the call to the last PUBACK."""
    copy = databases.copy(size, offered=False)
    async with copy as database, Mosquitto() as broker, serving(broker, database) as service:
        processor, started = service.processor_seconds(), time.perf_counter()
        await service.put(f"{SOFTWARE}/1.1.0", definition("1.0.0"))
        await service.until_pushed(size)
        seconds = time.perf_counter() - started
        used = service.processor_seconds() - processor
    return {"offers": size / seconds, "offers_processor_us": used / size * 1e6}


async def drain_and_reports(databases: Databases, size: int, *, postgresql: bool = False) -> Figures:
    """All offers are stored and the broker is new, so that each is sent; then every endpoint reports its own."""
    copy = databases.copy(size, offered=True, postgresql=postgresql)
    async with copy as database, Mosquitto() as broker, serving(broker, database) as service:
        drained = await _drained(service, size)
        processor, started = service.processor_seconds(), time.perf_counter()
        client = await start_yardstick(broker, "reports", size, REPORT_TOPIC, REPORT, WINDOW, 0, size, "scattered")
        assert client.stdout is not None
        acknowledged = json.loads((await client.stdout.read()).decode().strip().splitlines()[-1])
        await client.wait()
        await service.until_pushed(2 * size)
        seconds = time.perf_counter() - started
        used = service.processor_seconds() - processor
        summary = await service.get("/api/v1/applications/kettle/summary")
        assert summary["byState"].get("confirmed") == size, summary
    assert acknowledged["messages"] == size
    return {"drained": drained, "reports": size / seconds, "reports_processor_us": used / size * 1e6}


async def _drained(service: Service, size: int) -> float:
    """Pushes a second, from the first look that found some."""
    while not (pushed := await service.metric("otao_pushes_total")):  # noqa: ASYNC110 - another process is waited for
        await asyncio.sleep(0.005)
    started = time.perf_counter()
    await service.until_pushed(size)
    return (size - pushed) / (time.perf_counter() - started)


async def answers(databases: Databases, size: int, rate: int, seconds: int) -> Figures:
    """The way from a request to its answer, and from a report to the next offer, at a steady rate."""
    copy, quiet = databases.copy(size, offered=True), Mosquitto(extra_lines=NO_SAVES)
    async with copy as database, quiet as broker, serving(broker, database) as service:
        await service.until_pushed(size)
        asked = await ask(broker, size, rate, seconds)
        reported = await report(broker, service, size, rate, seconds)
        amid = await report_amid(broker, service, size, rate, seconds)
    return asked | reported | amid


async def ask(broker: Mosquitto, size: int, rate: int, seconds: int) -> Figures:
    """Ask for the configuration at a steady rate."""
    count = min(rate * seconds, size)
    said = await yardstick(broker, "requests", size, REQUEST_TOPIC, REQUEST, rate, count, ANSWER_FILTER)
    return _spans("request", said)


async def report(broker: Mosquitto, service: Service, size: int, rate: int, seconds: int) -> Figures:
    """Report the offered version, over which there is another one now, at a steady rate."""
    count = min(rate * seconds, size)
    await service.put(f"{SOFTWARE}/1.2.0", definition("1.1.0"))
    # It concerns everybody: who runs 1.0.0 may come there.
    await service.until_still("otao_swept_pages_total")
    said = await yardstick(broker, "requests", size, REPORT_TOPIC, REPORT, rate, count, OFFER_FILTER)
    return _spans("next_offer", said)


async def report_amid(broker: Mosquitto, service: Service, size: int, rate: int, seconds: int) -> Figures:
    """The same by the same endpoints with the version that they are offered now, begun when a change is published.

    Of a small fleet the change is worked off long before the last report.
    """
    count = min(rate * seconds, size)
    await service.put(f"{SOFTWARE}/1.3.0", definition("1.2.0"))
    said = await yardstick(broker, "requests", size, REPORT_TOPIC, NEXT_REPORT, rate, count, OFFER_FILTER)
    return _spans("amid_offer", said)


def _spans(name: str, said: dict[str, Any]) -> Figures:
    """What the C client says of answers."""
    return {f"{name}_{part}_ms": said[f"{part}_ms"] for part in ("p50", "p99")}


async def large(databases: Databases, size: int, starts: int) -> Figures:
    """A large fleet: memory idle and under full load, and starts beside those with nothing stored.

    Its answers are timed by `answers`, in turns with those of the others; here they are a part of the load.
    """
    found: dict[str, list[float]] = {"empty_ready_s": [], "ready_s": []}
    async with databases.copy(size, offered=True) as database, Mosquitto(extra_lines=NO_SAVES) as broker:
        async with serving(broker, database) as service:
            drained = await _drained(service, size)
            drain_peak = service.memory_mib("VmHWM")
            # The sentinel is raised once a second; a stop before it would make the next start render again.
            await asyncio.sleep(3)
        for number in range(starts):
            empty = f"sqlite+aiosqlite:///{databases.folder}/empty-{number}.db"
            async with open_storage(empty):
                pass
            async with Mosquitto() as other:
                found["empty_ready_s"].append(await _ready_after(other, empty))
            found["ready_s"].append(await _ready_after(broker, database))
        async with serving(broker, database) as service:
            idle = service.memory_mib()
            await ask(broker, size, 500, 10)
            await report(broker, service, size, 500, 10)
            await yardstick(broker, "reports", size, REPORT_TOPIC, REPORT, WINDOW, 0, 200_000, "scattered")
            await service.until_pushed(150_000)
            full = service.memory_mib("VmHWM")
            await service.until_still("otao_pushes_total")
            save = await _longest_in_a_save(broker, size)
    best = {name: sorted(spans)[len(spans) // 2] for name, spans in found.items()}
    memory = {"idle_mib": idle, "full_mib": max(full, drain_peak)}
    figures = {"drained": drained, **best, **memory, "broker_save_s": save}
    return {f"large_{name}": value for name, value in figures.items()}


async def _longest_in_a_save(broker: Mosquitto, size: int) -> float:
    """The longest that an answer takes while the broker saves its store, in seconds."""
    given = ("requests", size, REQUEST_TOPIC, REQUEST, 500, min(5_000, size), ANSWER_FILTER)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(yardstick(broker, *given), name="asking")
        await asyncio.sleep(2)
        await broker.snapshot_store()
    return float(asked.result()["max_ms"]) / 1000


async def _ready_after(broker: Mosquitto, database: str) -> float:
    started = time.perf_counter()
    async with serving(broker, database):
        return time.perf_counter() - started
