"""The whole way: broker, service, database; beside a C client of libmosquitto on the same broker.

Run: script/bench end_to_end [-- --endpoints N]. Prints messages per second and the ratio to the C client:
- reports: each settles an offer (committed durably, acknowledged, its retained push cleared);
- offers: a change of software, until the last offer is acknowledged by the broker;
- one report's way to its retained offer, p50 and p99 at 200 reports per second, with a small and a large fleet;
- memory of the service with the large fleet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

import _fleets as fleets
from _services import Mosquitto, Service, serving, start_yardstick, yardstick

from orchestrator.persistence.storage import open_storage

TOPIC = "kp1/kettle-v1/cmx_ota/tok-{}/applied/json"


async def prepare(folder: Path, size: int, *, offered: bool) -> Path:
    """A database with a fleet."""
    path = folder / f"otao-{time.monotonic_ns()}.db"
    async with open_storage(f"sqlite+aiosqlite:///{path}") as storage:
        await fleets.store(storage, size, offered=offered, padded=False)
    return path


def put(service: Service, path: str, body: object) -> None:
    """PUT a JSON document."""
    request = Request(f"{service.url}{path}", method="PUT", data=json.dumps(body).encode())  # noqa: S310 - loopback
    request.add_header("Content-Type", "application/json")
    urlopen(request).close()  # noqa: S310 - the same


async def until_amount(service: Service, version: str, state: str, amount: int) -> None:
    """Wait until the summary counts `amount` endpoints in `state`."""
    for _ in range(6000):
        summary = await service.get("/api/v1/applications/kettle/summary")
        if summary["byState"].get(state, 0) >= amount:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(version)


async def until_pushed(service: Service, amount: int) -> None:
    """Wait until `amount` pushes are acknowledged."""
    for _ in range(6000):
        if await service.metric("otao_pushes_total") >= amount:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(amount)


async def reports(folder: Path, size: int) -> None:
    """All endpoints report the version that they are offered."""
    database = await prepare(folder, size, offered=True)
    async with Mosquitto() as broker, serving(broker, database) as service:
        # The broker is new: every offer is rendered first.
        await until_pushed(service, size)
        started = time.perf_counter()
        client = await start_yardstick(
            broker, "reports", size, TOPIC, '{"configId":"1.1.0"}', 500, 0, size, "scattered"
        )
        await until_amount(service, "1.1.0", "confirmed", size)
        seconds = time.perf_counter() - started
        await until_pushed(service, 2 * size)
        cleared = time.perf_counter() - started
        await client.wait()
        print(f"reports: {size / seconds:,.0f}/s committed; {size / cleared:,.0f}/s with their clears")
        print(f"memory after: {service.memory_mib():.0f} MiB")


async def yardsticks(size: int) -> tuple[float, float]:
    """What the C client reaches: publish, and receive while another one feeds it."""
    async with Mosquitto() as broker:
        published = await yardstick(broker, "publish", size, "kp1/bench/cmx_ota/x", 300, 100)
        receiver = await start_yardstick(broker, "receive", size, "kp1/+/cmx_ota/+/applied/json")
        assert receiver.stdout is not None
        await receiver.stdout.readline()
        await yardstick(broker, "reports", size, TOPIC, '{"configId":"1.1.0"}', 500)
        received = json.loads((await receiver.stdout.read()).decode().strip().splitlines()[-1])
    return published["per_second"], received["per_second"]


async def offers(folder: Path, size: int) -> None:
    """A new software concerns every endpoint."""
    database = await prepare(folder, size, offered=False)
    async with Mosquitto() as broker, serving(broker, database) as service:
        print(f"memory idle: {service.memory_mib():.0f} MiB with {size} endpoints")
        started = time.perf_counter()
        body = {
            "upgradableFrom": ["1.0.0"],
            "rolloutStrategy": "general",
            "filters": [],
            "specification": json.loads(fleets.SPECIFICATION),
        }
        await asyncio.to_thread(put, service, "/api/v1/applications/kettle/software/1.1.0", body)
        await until_pushed(service, size)
        seconds = time.perf_counter() - started
        print(f"offers: {size / seconds:,.0f}/s from the change to the last PUBACK")
        print(f"memory after: {service.memory_mib():.0f} MiB")


async def latency(folder: Path, size: int) -> None:
    """One report's way to its retained offer, at 200 a second."""
    import aiomqtt  # noqa: PLC0415 - only here

    database = await prepare(folder, size, offered=False)
    async with Mosquitto() as broker, serving(broker, database) as service:
        body = {"upgradableFrom": ["0.9.0"], "rolloutStrategy": "general", "filters": [], "specification": {"a": 1}}
        await asyncio.to_thread(put, service, "/api/v1/applications/kettle/software/1.1.0", body)
        address = broker.url().partition("://")[2]
        user, _, place = address.rpartition("@")
        name, _, password = user.partition(":")
        sent: dict[str, float] = {}
        spans: list[float] = []
        async with aiomqtt.Client(
            place.split(":")[0],
            int(place.split(":")[1]),
            username=name,
            password=password,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        ) as client:
            await client.subscribe("kp1/+/cmx_ota/+/config/json/status", qos=1)

            async def listen() -> None:
                async for message in client.messages:
                    token = str(message.topic).split("/")[3]
                    if token in sent and message.payload:
                        spans.append(time.perf_counter() - sent.pop(token))

            async with asyncio.TaskGroup() as group:
                listening = group.create_task(listen())
                begun = time.perf_counter()
                for number in range(min(1000, size)):
                    await asyncio.sleep(max(0.0, begun + number / 200 - time.perf_counter()))
                    token = f"tok-{number}"
                    sent[token] = time.perf_counter()
                    topic = f"kp1/kettle-v1/cmx_ota/{token}/applied/json"
                    await client.publish(topic, b'{"configId":"0.9.0"}', qos=1)
                await asyncio.sleep(1)
                listening.cancel()
    cuts = statistics.quantiles(spans, n=100)
    print(
        f"report to offer, {size} endpoints: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms ({len(spans)})"
    )


async def measure(size: int) -> None:
    """All figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish, receive = await yardsticks(size)
        print(f"C client: publish {publish:,.0f}/s, receive {receive:,.0f}/s")
        await reports(folder, size)
        await offers(folder, size)
        await latency(folder, 100)
        await latency(folder, size)


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=100_000)
    asyncio.run(measure(parser.parse_args().endpoints))


main()
