"""A broker and a service for benches, and the C client that their figures are compared with."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.brokers import Mosquitto  # noqa: E402, TC001 - the path is set above; benches import it from here

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

YARDSTICK = ROOT / "bench" / "out" / "mqtt_yardstick"
PROGRAMS = {"Mosquitto": ("mosquitto", "-h")}
"""What runs beside the service, and how each says its version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One running `otao serve`."""

    url: str
    process: asyncio.subprocess.Process

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """A JSON document."""
        return await asyncio.to_thread(lambda: json.load(urlopen(f"{self.url}{path}")))  # noqa: S310 - loopback

    async def metric(self, name: str) -> float:
        """The value of an unlabelled metric."""
        text = await asyncio.to_thread(lambda: urlopen(f"{self.url}/metrics").read().decode())  # noqa: S310
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    async def until_pushed(self, amount: int, *, seconds: float = 600.0) -> None:
        """Wait until the broker has acknowledged so many pushes; looks seldom while there are many to come."""
        deadline = time.monotonic() + seconds
        while (pushed := await self.metric("otao_pushes_total")) < amount:
            if time.monotonic() > deadline:
                raise TimeoutError(pushed, amount)
            await asyncio.sleep(0.2 if pushed < 0.9 * amount else 0.02)

    async def until_still(self, name: str, *, seconds: float = 600.0) -> None:
        """Wait until an unlabelled metric has been the same for half a second."""
        deadline, before = time.monotonic() + seconds, -1.0
        while (value := await self.metric(name)) != before:
            if time.monotonic() > deadline:
                raise TimeoutError(name, value)
            before = value
            await asyncio.sleep(0.5)

    def memory_mib(self, kind: str = "VmRSS") -> float:
        """Resident memory of the process, MiB; `VmHWM` is the most that it ever was."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(kind)) / 1024

    def processor_seconds(self) -> float:
        """Processor time that the process has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def until_ready(self) -> None:
        """Wait until `/readyz` says so."""
        for _ in range(600):
            try:
                return await asyncio.to_thread(lambda: urlopen(f"{self.url}/readyz").close())  # noqa: S310
            except OSError:
                await asyncio.sleep(0.05)
        raise TimeoutError

    async def put(self, path: str, body: object) -> None:
        """PUT a JSON document."""
        headers = {"content-type": "application/json"}
        data = json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data=data, headers=headers, method="PUT")  # noqa: S310 - loopback
        await asyncio.to_thread(lambda: urlopen(request).close())  # noqa: S310 - the same


@asynccontextmanager
async def serving(broker: Mosquitto, database: Path | str, **environment: str) -> AsyncIterator[Service]:
    """Run `otao serve` on a broker and a database, given as SQLite's file or as an address."""
    address = database if isinstance(database, str) else f"sqlite+aiosqlite:///{database}"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("otao")),
        "serve",
        env=os.environ
        | {
            "OTAO_MQTT_URL": broker.url(),
            "OTAO_DATABASE_URL": address,
            "OTAO_HTTP_LISTEN": "127.0.0.1:0",
            "OTAO_LOG_LEVEL": "warning",
            "PYTHONPATH": str(ROOT),
        }
        | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
        service = Service(url=line[1], process=process)
        await service.until_ready()
        yield service
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 30)


def credentials(broker: Mosquitto) -> dict[str, str]:
    """The environment by which the C client finds the broker."""
    _, _, rest = broker.url().partition("://")
    user, _, place = rest.rpartition("@")
    name, _, password = user.partition(":")
    host, _, port = place.partition(":")
    return {"MQTT_HOST": host, "MQTT_PORT": port, "MQTT_USER": name, "MQTT_PASSWORD": password}


async def yardstick(broker: Mosquitto, *arguments: object, level: str = "5") -> dict[str, Any]:
    """Run the C client to its end; return what it says. `level` is 5, or 4 for MQTT 3.1.1."""
    process = await start_yardstick(broker, *arguments, level=level)
    assert process.stdout is not None
    out = await process.stdout.read()
    await process.wait()
    result: dict[str, Any] = json.loads(out.decode().strip().splitlines()[-1])
    return result


async def start_yardstick(broker: Mosquitto, *arguments: object, level: str = "5") -> asyncio.subprocess.Process:
    """Start the C client."""
    return await asyncio.create_subprocess_exec(
        str(YARDSTICK),
        *map(str, arguments),
        env=os.environ | credentials(broker) | {"MQTT_LEVEL": level},
        stdout=asyncio.subprocess.PIPE,
    )
