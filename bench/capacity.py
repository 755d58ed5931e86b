"""What a fleet needs: bytes in the database, memory of broker and service, messages a second; for several sizes.

Run: script/bench capacity [-- --sizes N,N --sessions N --json FILE]. For each size, on a fresh broker and database:
endpoints are stored, then all are offered a new software, then up to 100,000 report it. Prints:
- bytes in SQLite's file for an endpoint, and what one whole update (offer, report, clear) adds to it;
- memory of the broker for a retained offer, and the size of its store; with `--sessions`, for a connected device;
- memory of the service, idle and at most; offers and reports a second, until the last acknowledgement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import _end_to_end as runs
import _fleets as fleets
from _services import Mosquitto, serving, yardstick

from orchestrator.persistence.storage import open_storage

if TYPE_CHECKING:
    from orchestrator.persistence.storage import SqlStorage

REPORTS = 100_000
"""At most, of each size."""
KEEP_ALIVE_SECONDS = 600


def resident(broker: Mosquitto) -> int:
    """Bytes of memory that the broker has."""
    process = broker._process  # noqa: SLF001 - nobody else wants to know it
    assert process is not None
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


async def stored(storage: SqlStorage) -> int:
    """Bytes of a database's pages in use."""
    return (await storage.inspect()).size_bytes


async def size_of(address: str) -> int:
    """The same, of a database that nobody has open."""
    async with open_storage(address) as storage:
        return await stored(storage)


async def fill(address: str, endpoints: int) -> float:
    """Store a fleet; return the bytes that an endpoint takes."""
    async with open_storage(address) as storage:
        before = await stored(storage)
        await fleets.store(storage, endpoints, offered=False, padded=False)
    return (await size_of(address) - before) / endpoints


async def measure(folder: Path, endpoints: int) -> dict[str, float]:
    """All figures of one size."""
    address = f"sqlite+aiosqlite:///{folder}/{endpoints}.db"
    figures = {"endpoint_bytes": await fill(address, endpoints)}
    before, reports = await size_of(address), min(endpoints, REPORTS)
    async with Mosquitto() as broker:
        async with serving(broker, address) as service:
            figures["service_idle_mib"] = service.memory_mib()
            empty, begun = resident(broker), time.perf_counter()
            await service.put(f"{runs.SOFTWARE}/1.1.0", runs.definition("1.0.0"))
            await service.until_pushed(endpoints, seconds=1800)
            figures["offers_per_second"] = endpoints / (time.perf_counter() - begun)
            figures["retained_bytes"] = (resident(broker) - empty) / endpoints
            begun = time.perf_counter()
            figures["store_bytes"] = len(await broker.snapshot_store()) / endpoints
            figures["store_seconds"] = time.perf_counter() - begun
            begun = time.perf_counter()
            given = (endpoints, runs.REPORT_TOPIC, runs.REPORT, runs.WINDOW, 0, reports, "scattered")
            await yardstick(broker, "reports", *given)
            await service.until_pushed(endpoints + reports, seconds=1800)
            figures["reports_per_second"] = reports / (time.perf_counter() - begun)
            figures["service_most_mib"] = service.memory_mib("VmHWM")
        # An offer leaves its push and one entry behind, a report the rest; only those that reported have both.
        figures["update_bytes"] = (await size_of(address) - before) / endpoints
    return figures


async def sessions(count: int) -> float:
    """Bytes of the broker for one connected device: a clean session with a subscription of its own."""
    async with Mosquitto(anonymous=True) as broker:
        before = resident(broker)
        writers = []
        for number in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            token = f"tok-{number}".encode()
            body = b"\x00\x04MQTT\x04\x02" + KEEP_ALIVE_SECONDS.to_bytes(2) + len(token).to_bytes(2) + token
            writer.write(bytes([0x10, len(body)]) + body)
            topic = b"kp1/kettle-v1/cmx_ota/" + token + b"/#"
            wanted = b"\x00\x01" + len(topic).to_bytes(2) + topic + b"\x01"
            writer.write(bytes([0x82, len(wanted)]) + wanted)
            # CONNACK and SUBACK.
            await reader.readexactly(4 + 5)
            writers.append(writer)
        taken = (resident(broker) - before) / count
        for writer in writers:
            writer.close()
    return taken


async def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "out" / "capacity.json")
    flags = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="otao-bench-") as folder:
        for size in map(int, flags.sizes.split(",")):
            found[str(size)] = await measure(Path(folder), size)
            print(f"{size}: load {os.getloadavg()[0]:.1f}", {k: round(v, 1) for k, v in found[str(size)].items()})
    if flags.sessions:
        found["sessions"] = {"session_bytes": await sessions(flags.sessions)}
        print(f"a session: {found['sessions']['session_bytes']:,.0f} bytes")
    names = list(next(iter(found.values())))
    print("\n| endpoints | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for size, figures in found.items():
        if size != "sessions":
            print(f"| {int(size):,} | " + " | ".join(f"{figures[name]:,.1f}" for name in names) + " |")
    flags.json.parent.mkdir(exist_ok=True)
    flags.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
