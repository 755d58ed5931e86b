"""The page in Chromium, over a large fleet: how long until something is painted, idle and while reports come in.

Run: script/bench page [-- --endpoints N]. Prints milliseconds from the navigation to the first contentful paint, as the
browser measures it, and how long the service takes to answer; medians and worst of `--visits`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import _fleets as fleets
import aiomqtt
from _services import Mosquitto, Service, serving
from playwright.async_api import async_playwright

from orchestrator.persistence.storage import open_storage
from tests.browsers import ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

FAILURES = 500
PER_SECOND = 500
PAINTED = """new Promise((done) => new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === 'first-contentful-paint') done(entry.startTime);
}).observe({ type: 'paint', buffered: true }))"""


async def prepare(folder: Path, size: int) -> Path:
    """A database with a fleet, each of which holds an offer."""
    path = folder / "otao.db"
    async with open_storage(f"sqlite+aiosqlite:///{path}") as storage:
        await fleets.store(storage, size, offered=True, padded=False)
    return path


async def report(client: aiomqtt.Client, number: int, **members: object) -> None:
    """One report of an endpoint."""
    await client.publish(f"kp1/kettle-v1/cmx_ota/tok-{number}/applied/json", json.dumps(members), qos=1)


@asynccontextmanager
async def reporting(broker: Mosquitto, size: int) -> AsyncIterator[None]:
    """Have endpoints report, at a steady rate."""

    async def run() -> None:
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            started, sent = time.monotonic(), 0
            while True:
                for _ in range(PER_SECOND // 50):
                    await report(client, FAILURES + sent % (size - FAILURES), configId="1.1.0")
                    sent += 1
                await asyncio.sleep(max(0.0, started + sent / PER_SECOND - time.monotonic()))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        yield
        task.cancel()


async def paints(browser: Browser, address: str, visits: int) -> list[float]:
    """Milliseconds to the first contentful paint, each visit without a cache."""
    found = []
    for _ in range(visits):
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        page = await context.new_page()
        await page.goto(address)
        found.append(float(await page.evaluate(PAINTED)))
        await context.close()
    return found


async def answers(address: str, visits: int) -> list[float]:
    """Milliseconds until the service has answered."""
    found = []
    for _ in range(visits):
        started = time.perf_counter()
        await asyncio.to_thread(lambda: urlopen(address).read())  # noqa: S310 - loopback
        found.append((time.perf_counter() - started) * 1000)
    return found


def tell(what: str, found: list[float]) -> None:
    """Print median and worst."""
    print(f"{what:<58} {statistics.median(found):7.0f} ms   worst {max(found):7.0f} ms")


async def measure(browser: Browser, service: Service, visits: int, when: str) -> None:
    """Visit the pages that people look at."""
    fleet = f"{service.url}/applications/kettle"
    for name, address in (
        ("fleet", fleet),
        ("list of endpoints", f"{fleet}/endpoints"),
        ("one endpoint", f"{fleet}/endpoints/ep-0000007"),
        ("search by token", f"{fleet}/endpoints?q=tok-7"),
        ("everything that needs attention", f"{fleet}/attention"),
    ):
        tell(f"{name}, {when}: first paint", await paints(browser, address, visits))
        tell(f"{name}, {when}: answered", await answers(address, visits))


async def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=100_000)
    parser.add_argument("--visits", type=int, default=9)
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    assert chromium, "there is no chromium: script/packages chromium"
    with tempfile.TemporaryDirectory() as folder:
        database = await prepare(Path(folder), given.endpoints)
        async with (
            Mosquitto(anonymous=True) as broker,
            serving(broker, database) as service,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                for number in range(FAILURES):
                    await report(client, number, configId="1.1.0", statusCode=500, reasonPhrase=f"cause {number % 30}")
            print(f"{given.endpoints:,} endpoints, {FAILURES} of which have failed")
            await measure(browser, service, given.visits, "idle")
            async with reporting(broker, given.endpoints):
                await measure(browser, service, given.visits, f"{PER_SECOND} reports/s")
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
