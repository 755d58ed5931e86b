"""What the tests that kill the service at a step share: the kill, and what is stored while nobody serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.endpoints import HistoryKind
from orchestrator.persistence.rows import HISTORY_CODES
from tests import databases
from tests.services import eventually

if TYPE_CHECKING:
    from tests.services import Service


async def die_at(service: Service, step: str, **environment: str) -> None:
    """Start; the service kills itself at a step that it comes to without being asked for anything."""
    await service.start(KILL_AT=step, **environment)
    assert await service.died() == -9


async def count(service: Service, table: str, where: str = "1 = 1") -> int:
    """How many rows a table of ours has."""
    query = f'SELECT count(*) FROM "{table}" WHERE {where}'  # noqa: S608 - our names
    return int((await databases.read(service.database, query))[0][0])


async def stored(service: Service, kind: HistoryKind = HistoryKind.REPORTED) -> int:
    """How many entries of a kind the history has, of all endpoints."""
    return await count(service, "history", f"kind = {HISTORY_CODES[kind]}")


async def until_stopped(service: Service) -> None:
    """Wait until a process has stopped itself."""

    async def stopped() -> bool:
        with open(f"/proc/{service.pid}/stat") as file:  # noqa: ASYNC230, PTH123 - no disk, at once
            return file.read().rpartition(")")[2].split()[0] == "T"

    await eventually(stopped, "it has stopped")
