"""SQLite's disk is full: nothing acknowledged is lost, nothing else is stopped."""

from __future__ import annotations

import resource

from tests.brokers import Mosquitto
from tests.services import Service, eventually, report, until_retained


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


async def test_invariant_2_a_full_disk_that_the_log_is_on_as_well_ends_nothing() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        soft, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
        logged = service.log()
        assert logged
        # Not a byte more, in whatever file: what it says about that cannot be written either.
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (0, hard))
        await report(broker, "a", "1.1.0")

        async def retried() -> bool:
            return await service.metric("otao_batch_retries_total") >= 2

        await eventually(retried, "the batch is tried again")
        assert service.log() == logged
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (soft, hard))
        await until_retained(broker, {"a": "2.0.0"})
