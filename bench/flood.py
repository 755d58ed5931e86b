"""A flood of rubbish, and how long good requests wait for their answers meanwhile.

Run: script/bench flood [-- --rate N --seconds N]. A C client sends rubbish with QoS 0 (malformed reports, each under
another token, all to be refused, counted, and answered while there is room) at 5,000 per second; an endpoint asks for
its software again and again. Prints p50 and p99 of the endpoint's round trips, before and during the flood.

Exit code 1: a good request took a second or more at p99, was not answered, or the rubbish was not sent in full.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

import aiomqtt
from _services import Mosquitto, Service, serving, start_yardstick

BASE = "kp1/kettle-v1/cmx_ota"
RUBBISH = '{"configId":"1.0.0","statusCode":"'
REFUSED = 'otao_messages_refused_total{code="payload-not-json"} '
LIMIT_SECONDS = 1.0
REQUESTS_PER_SECOND = 50
TOKENS = 1000
DEADLINE_SECONDS = 30


def put(service: Service, path: str, body: object) -> None:
    """PUT a JSON document."""
    request = Request(f"{service.url}/api/v1{path}", method="PUT", data=json.dumps(body).encode())  # noqa: S310 - loopback
    request.add_header("Content-Type", "application/json")
    urlopen(request).close()  # noqa: S310 - the same


def connect(broker: Mosquitto) -> aiomqtt.Client:
    """A client as the endpoint's user."""
    return aiomqtt.Client("127.0.0.1", broker.port, username="good", password="good"[::-1])


async def round_trips(broker: Mosquitto, seconds: float) -> list[float]:
    """Ask at a steady rate, whatever is still unanswered; return how long each answer took, in seconds."""
    spans: list[float] = []
    sent: dict[str, float] = {}
    amount = int(seconds * REQUESTS_PER_SECOND)
    async with connect(broker) as client, asyncio.TaskGroup() as group:
        await client.subscribe(f"{BASE}/good/config/json/+/status", qos=1)

        async def listen() -> None:
            async for message in client.messages:
                spans.append(time.perf_counter() - sent[str(message.topic).split("/")[-2]])
                if len(spans) == amount:
                    return

        async with asyncio.timeout(seconds + DEADLINE_SECONDS):
            listening = group.create_task(listen())
            begun = time.perf_counter()
            for number in range(amount):
                await asyncio.sleep(max(0.0, begun + number / REQUESTS_PER_SECOND - time.perf_counter()))
                sent[str(number)] = time.perf_counter()
                await client.publish(f"{BASE}/good/config/json/{number}", '{"configId":"1.0.0"}', qos=1)
            await listening
    return spans


def told(name: str, spans: list[float]) -> float:
    """Print p50 and p99; return p99 in seconds."""
    cuts = statistics.quantiles(spans, n=100)
    print(f"{name}: {len(spans)} answers, p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms")
    return cuts[98]


async def until_refused(service: Service, amount: int) -> float:
    """Wait until so much rubbish is refused, but not for ever; return how much is."""
    refused = 0.0
    for _ in range(DEADLINE_SECONDS * 10):
        text = await asyncio.to_thread(lambda: urlopen(f"{service.url}/metrics").read().decode())  # noqa: S310 - loopback
        # A code that has not occurred yet is not there.
        refused = sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(REFUSED))
        if refused >= amount:
            break
        await asyncio.sleep(0.1)
    return refused


async def run(rate: int, seconds: int) -> bool:
    """Measure; return whether the good requests were answered in time."""
    with tempfile.TemporaryDirectory(prefix="otao-bench-") as folder:
        async with Mosquitto(tokens=["good"]) as broker, serving(broker, Path(folder) / "otao.db") as service:
            for path, body in (
                ("", {"appVersions": ["kettle-v1"], "registration": "open"}),
                ("/software/1.1.0", {"upgradableFrom": ["1.0.0"], "rolloutStrategy": "general", "specification": 1}),
            ):
                await asyncio.to_thread(put, service, f"/applications/kettle{path}", body)
            told("quiet", await round_trips(broker, 5))
            count = rate * (seconds + 2)
            topic = f"{BASE}/rubbish-{{}}/applied/json/1"
            arguments = (TOKENS, topic, RUBBISH, 1000, rate, count, "ordered", 0)
            flooding = await start_yardstick(broker, "reports", *arguments)
            await until_refused(service, rate // 2)
            p99 = told(f"with {rate} rubbish messages a second", await round_trips(broker, seconds))
            assert flooding.stdout is not None
            flood = json.loads((await flooding.stdout.read()).decode().strip().splitlines()[-1])
            whole = await flooding.wait() == 0
            print(f"rubbish: {flood['messages']} sent, {flood['per_second']:,} per second; refused", end=" ")
            print(f"{await until_refused(service, count):,.0f}; memory {service.memory_mib():.0f} MiB")
            return whole and p99 < LIMIT_SECONDS


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=15)
    given = parser.parse_args()
    return 0 if asyncio.run(run(given.rate, given.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
