"""What goes wrong, when, and for how long: drawn from a seed, and done.

Rules:
- Kinds are drawn as from a shuffled pack, so that a long run has about as much of each.
- One fault after the other; nobody waits until the service is well again.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tests import databases
from tests.proxies import prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.brokers import Mosquitto
    from tests.proxies import Proxy
    from tests.services import Service

FILE_BYTES = 4096
"""No file may grow beyond it: the next commit fails as on a full disk."""

LATENCY_SECONDS = 0.1


class Kind(StrEnum):
    """Something that goes wrong."""

    KILL_SERVICE = "kill -9 of the service"
    STOP_SERVICE = "service stopped (SIGSTOP)"
    KILL_BROKER = "kill -9 of the broker"
    WIPE_BROKER = "broker killed, its store wiped"
    OLD_BROKER = "broker back with an old store"
    STOP_BROKER = "broker stopped (SIGSTOP)"
    KILL_BOTH = "kill -9 of both at once"
    CUT = "connections cut"
    STRAND = "connections half open"
    SLOW = "connections slow"
    FULL_DISK = "disk full"
    LOCKED = "database locked"


ON_SQLITE = {Kind.FULL_DISK, Kind.LOCKED}
"""What is done to the database's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a run."""

    at: float
    """Seconds after the beginning of the run."""
    kind: Kind
    seconds: float
    """How long it lasts, where that can be chosen."""


def draw(seed: int, seconds: float) -> Iterator[Fault]:
    """Every fault of a run of so many seconds, in order."""
    chance = random.Random(f"{seed}/faults")
    kinds = [kind for kind in Kind if not (databases.ON_POSTGRESQL and kind in ON_SQLITE)]
    at = 5.0
    while True:
        pack = list(kinds)
        chance.shuffle(pack)
        for kind in pack:
            fault = Fault(at=at, kind=kind, seconds=chance.uniform(0.5, 6.0))
            if at + fault.seconds > seconds:
                return
            yield fault
            at += fault.seconds + chance.uniform(2.0, 14.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A broker that came back; seconds of the wall clock."""

    saved_at: float
    """When its store was saved."""
    at: float


@dataclass(slots=True, kw_only=True)
class Faults:
    """Does what was drawn to a broker, a service and what is between them."""

    broker: Mosquitto
    service: Service
    proxy: Proxy
    returns: list[Return] = field(default_factory=list)
    """Of the broker, with a store that was older than the broker."""

    async def do(self, fault: Fault) -> None:
        """Let it go wrong, and be over."""
        match fault.kind:
            case Kind.KILL_SERVICE:
                await self.service.kill()
                await self.service.start()
            case Kind.STOP_SERVICE | Kind.STOP_BROKER:
                await self._stop(fault)
            case Kind.CUT | Kind.STRAND | Kind.SLOW:
                await self._disturb(fault)
            case Kind.FULL_DISK:
                await self._fill_disk(fault.seconds)
            case Kind.LOCKED:
                await self._lock_database(fault.seconds)
            case _:
                await self._replace_broker(fault)

    async def _stop(self, fault: Fault) -> None:
        if fault.kind is Kind.STOP_BROKER:
            self.broker.pause()
            await asyncio.sleep(fault.seconds)
            self.broker.resume()
        else:
            os.kill(self.service.pid, signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            os.kill(self.service.pid, signal.SIGCONT)

    async def _disturb(self, fault: Fault) -> None:
        if fault.kind is Kind.CUT:
            self.proxy.cut()
        elif fault.kind is Kind.STRAND:
            self.proxy.strand()
        else:
            self.proxy.delay = lambda _toward, _packet: LATENCY_SECONDS
            await asyncio.sleep(fault.seconds)
            self.proxy.delay = prompt

    async def _replace_broker(self, fault: Fault) -> None:
        store = None
        if fault.kind is Kind.OLD_BROKER:
            store = await self.broker.snapshot_store()
            await asyncio.sleep(fault.seconds)
        saved_at = self._saved_at()
        await self.broker.kill()
        if fault.kind is Kind.WIPE_BROKER:
            self.broker.wipe()
        elif store is not None:
            self.broker.restore_store(store)
        if fault.kind is Kind.KILL_BOTH:
            await self.service.kill()
        if saved_at is not None and fault.kind is not Kind.WIPE_BROKER:
            self.returns.append(Return(saved_at=saved_at, at=time.time()))
        await self.broker.start()
        if fault.kind is Kind.KILL_BOTH:
            await self.service.start()

    def _saved_at(self) -> float | None:
        path = self.broker.folder / "store" / "mosquitto.db"
        return path.stat().st_mtime if path.exists() else None

    async def _fill_disk(self, seconds: float) -> None:
        soft, hard = resource.prlimit(self.service.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.service.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, hard))
        await asyncio.sleep(seconds)
        if self.service.running:
            resource.prlimit(self.service.pid, resource.RLIMIT_FSIZE, (soft, hard))

    async def _lock_database(self, seconds: float) -> None:
        with closing(
            sqlite3.connect(self.service.database, timeout=30, isolation_level=None, check_same_thread=False)
        ) as connection:
            await asyncio.to_thread(_hold, connection, 2 * seconds)


def _hold(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
