"""Somebody else holds the database while the service is at work: what was not committed is not answered."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests import databases
from tests.brokers import Mosquitto
from tests.proxies import Proxy, Toward, acknowledged, published
from tests.services import Service, connect, eventually, topic, until_retained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import httpx2

    from tests.proxies import Way

HELD_SECONDS = 12.0
"""Longer than SQLite waits for a lock: a commit has been given up, and is tried again."""
MOST_SECONDS = 45.0
"""The commit may wait for its turn behind others, each of which waits for as long."""
SILENT_SECONDS = 2.0
FLEET = [f"t{number}" for number in range(30)]
INBOUND = 'otao_link_events_total{event="inbound"}'


@dataclass(slots=True)
class Noting:
    """Passes everything on, and notes what the service says to the broker."""

    topics: list[str] = field(default_factory=list)
    acknowledgements: int = 0

    def __call__(self, _way: Way, toward: Toward, packet: bytes) -> Sequence[bytes]:
        if toward is Toward.BROKER:
            found = published(packet)
            if found is not None:
                self.topics.append(found[0])
            self.acknowledgements += acknowledged(packet) is not None
        return [packet]

    def answered(self) -> list[str]:
        """The tokens whose reports were answered, in order."""
        return [name.split("/")[3] for name in self.topics if "/applied/json/" in name]


@asynccontextmanager
async def noted() -> AsyncIterator[tuple[Mosquitto, Service, Noting]]:
    """A service with software, ready, of which is noted what it says."""
    noting = Noting()
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port, noting) as proxy,
        Service(broker, OTAO_MQTT_URL=proxy.url) as service,
    ):
        await service.define()
        yield broker, service, noting


async def reporting(broker: Mosquitto, tokens: Sequence[str]) -> None:
    """Each endpoint reports 1.0.0, and wants that confirmed."""
    async with connect(broker, "fleet") as client:
        for token in tokens:
            await client.publish(topic(token, "applied/json/7"), '{"configId":"1.0.0"}', qos=1)


async def until_come(service: Service, amount: int) -> None:
    """Wait until so many messages have come to the service since it started."""

    async def come() -> bool:
        return await service.metric(INBOUND) >= amount

    await eventually(come, f"{amount} messages have come")


async def reports(service: Service, token: str) -> list[str | None]:
    return [version for kind, version in await service.history(token) if kind == "reported"]


async def test_invariant_2_a_report_is_confirmed_only_when_it_is_committed() -> None:
    async with noted() as (broker, service, noting), connect(broker, "watching") as client:
        await client.subscribe(topic("a", "applied/json/7/status"), qos=1)
        before, acknowledgements = await service.metric(INBOUND), noting.acknowledgements
        async with databases.held(service.database):
            await reporting(broker, ["a"])
            await until_come(service, int(before) + 1)
            said: list[object] = []
            try:
                async with asyncio.timeout(SILENT_SECONDS):
                    said.append((await anext(client.messages)).payload)
            except TimeoutError:
                pass
            assert said == []
            assert noting.acknowledgements == acknowledgements
        async with asyncio.timeout(SILENT_SECONDS * 10):
            confirmed = await anext(client.messages)
        assert confirmed.payload == b""
        await until_retained(broker, {"a": "1.1.0"})
        assert noting.answered() == ["a"]
        assert await reports(service, "a") == ["1.0.0"]


async def _changed(service: Service) -> httpx2.Response:
    async with service.client() as client:
        return await client.put("/api/v1/applications/kettle/filters/lab", json={"expression": "true"}, timeout=60)


async def _alive(service: Service, seconds: float) -> None:
    """See that it lives for so long, and on SQLite until it has given the reports' commit up, and says so."""
    begun, given_up = time.monotonic(), False
    async with service.client() as client:
        while time.monotonic() - begun < seconds or not (given_up or databases.ON_POSTGRESQL):
            assert time.monotonic() - begun < MOST_SECONDS, "the commit is not given up"
            assert (await client.get("/livez")).status_code == 200
            given_up = "not stored: the database: database is locked" in (await client.get("/readyz")).text
            await asyncio.sleep(0.2)


async def test_invariant_2_while_the_database_is_locked_nothing_is_acknowledged_and_then_all_is_stored_once() -> None:
    async with noted() as (broker, service, noting):
        before, acknowledgements = await service.metric(INBOUND), noting.acknowledgements
        async with asyncio.TaskGroup() as group, databases.held(service.database):
            await reporting(broker, FLEET)
            await until_come(service, int(before) + len(FLEET))
            changing = group.create_task(_changed(service))
            await _alive(service, HELD_SECONDS)
            assert noting.answered() == []
            assert noting.acknowledgements == acknowledgements
        await until_retained(broker, dict.fromkeys(FLEET, "1.1.0"))
        assert changing.result().status_code in {201, 503}, changing.result().text
        for token in FLEET:
            assert await reports(service, token) == ["1.0.0"]
        assert sorted(noting.answered()) == sorted(FLEET)
        assert await service.metric("otao_dead_letters_total") == 0
