"""Several `otao serve` on one PostgreSQL database and one broker, each on ways to both that a test may cut."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Self

import httpx2

from tests.contract.forwarders import Forwarder
from tests.services import SECONDS, Service, connect, eventually, topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.brokers import Mosquitto
    from tests.postgres import Postgres

PACE_SECONDS = 1 / 150
TAKE_OVER_SECONDS = 5.0
"""In which another replica serves when the holder is gone, where processes need not wait for a core."""


class Replica(Service):
    """One `otao serve` of several; use it as an asynchronous context manager."""

    def __init__(self, broker: Mosquitto, server: Postgres, database: str, **environment: str) -> None:
        super().__init__(broker, template=None, **environment)
        self._to_server, self._to_broker = Forwarder(server.port), Forwarder(broker.port)
        self._server, self._name = server, database

    async def __aenter__(self) -> Self:
        await self._to_server.__aenter__()
        await self._to_broker.__aenter__()
        self.environment |= {
            "OTAO_DATABASE_URL": self._server.url(self._name, port=self._to_server.port),
            "OTAO_MQTT_URL": self.broker.url().replace(str(self.broker.port), str(self._to_broker.port)),
        }
        return await super().__aenter__()

    async def __aexit__(self, *details: object) -> None:
        await super().__aexit__(*details)
        await self._to_broker.__aexit__(*details)
        await self._to_server.__aexit__(*details)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing moves."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def cut_off(self) -> None:
        """From now on nothing comes through to the database or the broker, or back."""
        self._to_server.silence()
        self._to_broker.silence()

    def join_again(self) -> None:
        """What was kept back meanwhile comes through as well."""
        self._to_server.restore()
        self._to_broker.restore()

    async def holds(self) -> bool:
        """Whether it serves: it has the lease, and the broker holds what the database says."""
        try:
            return await self.metric("otao_leases_held") == 1 and await self.metric("otao_ready") == 1
        except httpx2.HTTPError:
            return False

    async def until_standing_by(self) -> None:
        """Wait until it has no lease and passes requests on to whoever has it."""

        async def stands_by() -> bool:
            async with self.client() as client:
                ready = (await client.get("/readyz")).status_code == 200
            return ready and await self.metric("otao_leases_held") == 0

        await eventually(stands_by, f"it stands by; its log:\n{self.log()}")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


async def begin(fault: str, replica: Replica) -> None:
    """Lose a replica: it is killed, stopped, or cut off."""
    match fault:
        case "killed":
            await replica.kill()
        case "stopped":
            replica.pause()
        case _:
            replica.cut_off()


async def end(fault: str, replica: Replica) -> None:
    """Have it back."""
    match fault:
        case "killed":
            await replica.start()
        case "stopped":
            replica.resume()
        case _:
            replica.join_again()


def crowding() -> float:
    """How many processes want each core; at least 1."""
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


async def holder_of(replicas: Sequence[Replica], seconds: float = SECONDS) -> Replica:
    """The one that holds the lease, as soon as one does."""
    found: list[Replica] = []

    async def one() -> bool:
        found[:] = [replica for replica in replicas if await replica.holds()]
        return bool(found)

    await eventually(one, "one of them holds the lease", seconds)
    return found[0]


@asynccontextmanager
async def open_replicas(
    broker: Mosquitto, server: Postgres, database: str, amount: int, **environment: str
) -> AsyncIterator[list[Replica]]:
    """So many replicas, ready."""
    async with AsyncExitStack() as stack:
        replicas = [Replica(broker, server, database, **environment) for _ in range(amount)]
        async with asyncio.TaskGroup() as group:
            for replica in replicas:
                group.create_task(stack.enter_async_context(replica))
        yield replicas


@dataclass(slots=True)
class Load:
    """A fleet that reports one version after the other, 150 a second."""

    tokens: Sequence[str]
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    """Token → the versions whose reports the broker has acknowledged, in order."""
    ended: bool = False
    numbered: bool = False
    """Whether reports have request identifiers, 0 and so on for each token, so that the service confirms them."""

    @property
    def amount(self) -> int:
        """How many reports the broker has acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    async def send(self, broker: Mosquitto) -> None:
        """Report until it shall end, and then to the end of the present version."""
        async with connect(broker, "fleet") as client:
            for number in count():
                if self.ended:
                    return
                version = f"3.0.{number}"
                for token in self.tokens:
                    resource = f"applied/json/{number}" if self.numbered else "applied/json"
                    await client.publish(topic(token, resource), json.dumps({"configId": version}), qos=1)
                    self.acknowledged.setdefault(token, []).append(version)
                    await asyncio.sleep(PACE_SECONDS)

    async def more(self, amount: int) -> None:
        """Wait until so many more reports have been acknowledged."""
        wanted = self.amount + amount

        async def come() -> bool:
            return self.amount >= wanted

        await eventually(come, f"{amount} more reports", 60)


@asynccontextmanager
async def under_load(broker: Mosquitto, tokens: Sequence[str], *, numbered: bool = False) -> AsyncIterator[Load]:
    """A load that ends with the block."""
    load = Load(tokens, numbered=numbered)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.send(broker))
        yield load
        load.ended = True


async def reported(service: Service, token: str, *, application: str = "kettle") -> list[str]:
    """The versions in an endpoint's history that it reported, oldest first."""
    found: list[str] = []
    cursor = ""
    while True:
        page = await service.get(f"/applications/{application}/endpoints/{token}/history?limit=500{cursor}")
        found += [item["version"] for item in page["items"] if item["kind"] == "reported"]
        if page["next"] is None:
            return found[::-1]
        cursor = f"&cursor={page['next']}"


async def took_over(replicas: Sequence[Replica], begun_at: float, what: str) -> Replica:
    """The replica that serves now; prints how long nobody did."""
    crowd = crowding()
    holder = await holder_of(replicas, TAKE_OVER_SECONDS * crowd)
    seconds = time.monotonic() - begun_at
    print(f"{what}: another replica serves after {seconds:.2f} s, {crowd:.1f} processes a core")  # noqa: T201 - to read
    return holder


async def until_all_running(service: Service, versions: dict[str, str]) -> None:
    """Wait until endpoints are known to run these versions."""
    async with asyncio.TaskGroup() as group:
        for token, version in versions.items():
            group.create_task(partial(service.until_running, token, version)())
