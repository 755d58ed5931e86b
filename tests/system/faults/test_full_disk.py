"""SQLite's disk is full, or fails: nothing acknowledged is lost, nothing else is stopped."""

from __future__ import annotations

import errno
import resource
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.brokers import Mosquitto
from tests.disks import Disk
from tests.services import Service, eventually, report, until_retained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RETRIES = "otao_batch_retries_total"


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


@asynccontextmanager
async def open_service(folder: Path) -> AsyncIterator[tuple[Disk, Mosquitto, Service]]:
    """A service on a disk that can fail, which has offered 1.1.0 to the endpoint "a"."""
    disk, broker = Disk(folder), Mosquitto(tokens=["a", "b"])
    service = Service(broker)
    service.environment |= disk.environment
    async with broker, service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        yield disk, broker, service


async def _until_retried(service: Service, before: float) -> None:
    """Wait until a batch was not committed twice since."""

    async def retried() -> bool:
        return await service.metric(RETRIES) >= before + 2

    await eventually(retried, "the batch is tried again")


async def _check_named(service: Service) -> None:
    """It lives, says what is wrong to whoever asks for readiness, and tells operators that nothing is stored."""
    async with service.client() as client:
        assert (await client.get("/livez")).status_code == 200
        unready = await client.get("/readyz")
        refused = await client.put("/api/v1/applications/kettle/filters/lab", json={"expression": "true"})
    assert unready.status_code == 503
    assert "disk I/O error" in unready.json()["detail"]
    assert (refused.status_code, refused.json()["code"]) == (503, "storage-error")
    assert "disk I/O error" in service.log()


async def _reported(service: Service, token: str) -> list[str | None]:
    return [version for kind, version in await service.history(token) if kind == "reported"]


async def test_invariant_2_a_disk_that_fails_to_sync_is_named_and_recovered_from_without_help(tmp_path: Path) -> None:
    async with open_service(tmp_path) as (disk, broker, service):
        for error, version, offered in ((errno.EIO, "1.1.0", {"a": "2.0.0"}), (errno.ENOSPC, "2.0.0", {})):
            before = await service.metric(RETRIES)
            running = (await service.endpoint("a"))["runningVersion"]
            disk.fail(error)
            await report(broker, "a", version)
            await _until_retried(service, before)
            await _check_named(service)
            assert (await service.endpoint("a"))["runningVersion"] == running
            disk.mend()
            await until_retained(broker, offered)
            await service.ready()
        assert await _reported(service, "a") == ["1.0.0", "1.1.0", "2.0.0"]
        assert await service.metric("otao_dead_letters_total") == 0


async def test_invariant_2_kill_while_the_disk_fails_to_sync_loses_and_repeats_no_report(tmp_path: Path) -> None:
    async with open_service(tmp_path) as (disk, broker, service):
        disk.fail(errno.EIO)
        await report(broker, "a", "1.1.0")
        await report(broker, "b", "1.0.0")
        await _until_retried(service, 0)
        # What could not be synced may be in SQLite's log nevertheless, and come to life: it is as good as committed.
        await service.kill()
        disk.mend()
        await service.start()
        await service.ready()
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0"})
        assert await _reported(service, "a") == ["1.0.0", "1.1.0"]
        assert await _reported(service, "b") == ["1.0.0"]
