"""The broker stops for a minute under load, the keep-alive is the default: it is caught up with, without loss."""

from __future__ import annotations

import asyncio
import time

from tests import databases
from tests.brokers import Mosquitto
from tests.pipelines import Pipeline, pipelined
from tests.services import Service, eventually, topic, until_retained

PAUSED_SECONDS = 65.0
"""Longer than twice the keep-alive of 30 s: the connection is given up, and new ones are not answered."""
FLEET = [f"t{number}" for number in range(200)]
ROUND_SECONDS = 0.2
AMOUNT = "SELECT count(*) FROM history WHERE kind = 0"
DISTINCT = "SELECT count(*) FROM (SELECT DISTINCT endpoint_id, version_id FROM history WHERE kind = 0) AS reported"
ACCEPTED = 'otao_messages_accepted_total{resource="applied/json"}'


class Load:
    """A fleet that reports one version after the other; the broker does not let it while it is stopped."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.ended = False
        self.rounds = 0

    async def send(self) -> None:
        """Report until it shall end."""
        while not self.ended:
            payload = f'{{"configId":"3.0.{self.rounds}"}}'.encode()
            self.rounds += 1
            await self.pipeline.send([(topic(token, "applied/json"), payload) for token in FLEET])
            await asyncio.sleep(ROUND_SECONDS)
        await self.pipeline.answered()

    async def more(self, rounds: int) -> None:
        """Wait until every endpoint has reported so often again."""
        wanted = self.rounds + rounds

        async def reported() -> bool:
            return self.rounds >= wanted

        await eventually(reported, f"{rounds} more rounds of reports")


async def _alive(service: Service, seconds: float) -> str:
    """See for so long that REST is answered; return what is said of readiness at last."""
    until, readiness = time.monotonic() + seconds, ""
    async with service.client() as client:
        while time.monotonic() < until:
            for path in ("/livez", "/api/v1/applications/kettle/summary"):
                assert (await client.get(path)).status_code == 200
            readiness = (await client.get("/readyz")).text
            await asyncio.sleep(0.5)
    return readiness


async def test_a_broker_stopped_for_65_seconds_under_load_is_caught_up_with_and_no_report_or_offer_is_lost() -> None:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service, pipelined(broker.port) as pipeline:
        await service.define()
        await pipeline.send([(topic("calm", "applied/json"), b'{"configId":"2.0.0"}')])
        load = Load(pipeline)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.send())
            await load.more(5)
            broker.pause()
            await service.software("2.1.0", ["2.0.0"])
            assert "no connection to the broker" in await _alive(service, PAUSED_SECONDS)
            broker.resume()
            await load.more(5)
            load.ended = True

        async def stored() -> bool:
            return await service.metric(ACCEPTED) == pipeline.sent

        await eventually(stored, "every report is stored", 60)
        await service.ready()
        await service.software("4.0.0", [f"3.0.{load.rounds - 1}"])
        await until_retained(broker, {**dict.fromkeys(FLEET, "4.0.0"), "calm": "2.1.0"})
        for query in (AMOUNT, DISTINCT):
            assert await databases.read(service.database, query) == [(pipeline.sent,)]
        assert service.log().count("broker.unreachable") > 0
