"""The database is full, or a message cannot be processed: nothing acknowledged is lost, nothing else is stopped."""

from __future__ import annotations

import resource
import sqlite3

from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, topic, until_retained


async def test_invariant_2_a_full_disk_delays_reports_and_loses_none() -> None:
    async with Mosquitto(tokens=["a", "b"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        soft, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
        # No file may grow beyond this: the next commit fails as on a full disk.
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (4096, hard))
        await report(broker, "a", "1.1.0")
        await report(broker, "b", "1.0.0")

        async def retried() -> bool:
            return await service.metric("otao_batch_retries_total") >= 2

        await eventually(retried, "the batch is tried again")
        assert (await service.endpoint("a"))["runningVersion"] == "1.0.0"
        async with service.client() as client:
            assert (await client.get("/livez")).status_code == 200
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (soft, hard))
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0"})
        assert [kind for kind, _ in await service.history("a")].count("reported") == 2
        assert await service.metric("otao_dead_letters_total") == 0


async def test_invariant_10_a_poison_message_is_found_by_bisection_and_the_others_of_its_batch_are_applied() -> None:
    tokens = [f"t{number}" for number in range(8)]
    async with Mosquitto(tokens=[*tokens, "bad"]) as broker, Service(broker) as service:
        await service.define()
        await service.terminate()
        # They wait in the broker, so that they come in one batch.
        for token in [*tokens[:4], "bad", *tokens[4:]]:
            await report(broker, token, "1.0.0")
        await service.start(POISON="bad")
        await service.ready()
        await until_retained(broker, dict.fromkeys(tokens, "1.1.0"))
        assert await service.metric("otao_dead_letters_total") == 1
        with sqlite3.connect(service.database) as database:
            letters = database.execute("SELECT topic, payload, error FROM dead_letter").fetchall()
        assert letters == [(topic("bad", "applied/json"), b'{"configId": "1.0.0"}', "ZeroDivisionError: poison")]
        # It is acknowledged: the broker does not send it again.
        await service.terminate()
        await service.start()
        await service.ready()
        assert await service.metric("otao_dead_letters_total") == 0
        assert await service.metric("otao_repeats_total") == 0


async def test_a_second_service_on_the_same_database_is_refused() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        second = Service(broker)
        second.database = service.database
        await second.start()
        assert await second.died() == 1
        assert "served by another process" in second.log()
        async with connect(broker, "a"):
            assert (await service.get("/applications"))["items"] == []
