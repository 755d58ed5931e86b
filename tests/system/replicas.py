"""Several `otao serve` on one PostgreSQL database and one broker, each on ways to both that a test may cut."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Self

import httpx2

from tests.contract.forwarders import Forwarder
from tests.services import SECONDS, Service, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.brokers import Mosquitto
    from tests.postgres import Postgres

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

    def cut_off(self, *, database: bool = True, broker: bool = True, onward: bool = True) -> None:
        """From now on nothing comes through to the database or the broker; nor back, without `onward` only not back."""
        if database:
            self._to_server.silence(onward=onward)
        if broker:
            self._to_broker.silence(onward=onward)

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
        case "cut off":
            replica.cut_off()
        case "cut off from the database":
            replica.cut_off(broker=False)
        case "cut off from the broker":
            replica.cut_off(database=False)
        case "deaf":
            replica.cut_off(onward=False)
        case _:
            raise ValueError(fault)


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


async def keep_journal(server: Postgres, database: str) -> None:
    """Have the database note each taking, renewal and release of a lease, by its own clock."""
    # One note for each statement that changes a lease.
    noted = "INSERT INTO journal.lease VALUES (NEW.partition, NEW.epoch, clock_timestamp()); RETURN NULL;"
    statements = (
        "CREATE SCHEMA journal",
        "CREATE TABLE journal.lease (partition text, epoch bigint, at timestamptz)",
        f"CREATE FUNCTION journal.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {noted} END $$",
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON lease FOR EACH ROW EXECUTE FUNCTION journal.note()",
    )
    await server.run("; ".join(statements), database)


async def vacancies(server: Postgres, database: str) -> list[float]:
    """Of each take-over, in order: the seconds from the last word of a lease's holder to the next one's epoch."""
    query = (
        "WITH span AS (SELECT partition, epoch, min(at) AS begun, max(at) AS ended FROM journal.lease GROUP BY 1, 2)"
        " SELECT extract(epoch FROM later.begun - span.ended) FROM span JOIN span AS later"
        " ON later.partition = span.partition AND later.epoch = span.epoch + 1 ORDER BY later.begun"
    )
    return [float(seconds) for (seconds,) in await server.rows(query, database)]


async def check_vacancies(server: Postgres, database: str, amount: int) -> None:
    """There were so many take-overs at least; none took five seconds, whoever else wanted the processor."""
    found = await vacancies(server, database)
    print(f"from a holder's last word to the next epoch: {', '.join(f'{each:.2f} s' for each in found)}")  # noqa: T201 - to read
    assert len(found) >= amount
    assert max(found) < TAKE_OVER_SECONDS


async def until_all_running(service: Service, versions: dict[str, str]) -> None:
    """Wait until endpoints are known to run these versions."""
    async with asyncio.TaskGroup() as group:
        for token, version in versions.items():
            group.create_task(partial(service.until_running, token, version)())
