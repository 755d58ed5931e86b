"""What goes wrong, when, and for how long: drawn from a seed, and done.

Rules:
- Kinds are drawn as from a shuffled pack, so that a long run has about as much of each.
- Rarely a broker is stopped for as long as a minute.
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
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tests import databases, postgres
from tests.proxies import prompt
from tests.system.replicas import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.brokers import Mosquitto
    from tests.proxies import Proxy
    from tests.services import Service

FILE_BYTES = 4096
"""No file may grow beyond it: the next commit fails as on a full disk."""

LATENCY_SECONDS = 0.1
LONG_STOPS = 0.2
"""How often a stopped broker is stopped for long, where the run is long enough."""
LONG_SECONDS = (45.0, 70.0)


class Kind(StrEnum):
    """Something that goes wrong."""

    KILL_SERVICE = "kill -9 of the service"
    STOP_SERVICE = "service stopped (SIGSTOP)"
    KILL_BROKER = "kill -9 of the broker"
    WIPE_BROKER = "broker killed, its store wiped"
    OLD_BROKER = "broker back with an old store"
    STOP_BROKER = "broker stopped (SIGSTOP)"
    KILL_BOTH = "kill -9 of both at once"
    CUT_OFF = "replica cut off from database and broker"
    CUT = "connections cut"
    STRAND = "connections half open"
    SLOW = "connections slow"
    FULL_DISK = "disk full"
    LOCKED = "database locked"
    KILL_SERVER = "PostgreSQL killed"


ON_SQLITE = {Kind.FULL_DISK, Kind.LOCKED}
"""What is done to the database's file."""
ON_POSTGRESQL = {Kind.KILL_SERVER}
"""What is done to its server, which replicas would lose their leases by."""
ON_SERVICE = {Kind.KILL_SERVICE, Kind.STOP_SERVICE, Kind.KILL_BOTH, Kind.CUT_OFF}
"""What is done to one service."""
THROUGH_PROXY = {Kind.CUT, Kind.STRAND, Kind.SLOW}
"""What is done to the connections of a service that is alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a run."""

    at: float
    """Seconds after the beginning of the run."""
    kind: Kind
    seconds: float
    """How long it lasts, where that can be chosen."""
    share: float = 0.0
    """From 0 to 1: which of several replicas it meets."""


def kinds_for(replicas: int) -> list[Kind]:
    """What can go wrong with so many replicas."""
    without = ON_SQLITE if databases.ON_POSTGRESQL else ON_POSTGRESQL
    alone = THROUGH_PROXY | ON_POSTGRESQL
    return [kind for kind in Kind if kind not in without | (alone if replicas > 1 else {Kind.CUT_OFF})]


def draw(seed: int, seconds: float, replicas: int = 1) -> Iterator[Fault]:
    """Every fault of a run of so many seconds, in order."""
    chance = random.Random(f"{seed}/faults")
    which = random.Random(f"{seed}/replicas")
    long = random.Random(f"{seed}/long")
    kinds = kinds_for(replicas)
    at = 5.0
    while True:
        pack = list(kinds)
        chance.shuffle(pack)
        for kind in pack:
            fault = Fault(at=at, kind=kind, seconds=chance.uniform(0.5, 6.0), share=which.random())
            if kind is Kind.STOP_BROKER and long.random() < LONG_STOPS:
                longer = long.uniform(*LONG_SECONDS)
                fault = replace(fault, seconds=longer) if at + longer <= seconds else fault
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
    """Does what was drawn to a broker, to services and to what is between them."""

    broker: Mosquitto
    services: Sequence[Service]
    """One, or several replicas."""
    proxy: Proxy
    """Before the broker, where there is one service."""
    met: Service | None = None
    """The one that something goes wrong with at present."""
    returns: list[Return] = field(default_factory=list)
    """Of the broker, with a store that was older than the broker."""

    async def do(self, fault: Fault) -> None:
        """Let it go wrong, and be over."""
        service = self.services[int(fault.share * len(self.services))]
        self.met = service if fault.kind in ON_SERVICE else None
        await self._do(fault, service)
        self.met = None

    async def _do(self, fault: Fault, service: Service) -> None:
        match fault.kind:
            case Kind.KILL_SERVICE:
                await service.kill()
                if len(self.services) > 1:
                    await asyncio.sleep(fault.seconds)
                await service.start()
            case Kind.CUT_OFF:
                assert isinstance(service, Replica)
                service.cut_off()
                await asyncio.sleep(fault.seconds)
                service.join_again()
            case Kind.STOP_SERVICE | Kind.STOP_BROKER:
                await self._stop(fault, service)
            case Kind.CUT | Kind.STRAND | Kind.SLOW:
                await self._disturb(fault)
            case Kind.FULL_DISK | Kind.LOCKED | Kind.KILL_SERVER:
                await _harm_database(fault, service)
            case _:
                await self._replace_broker(fault, service)

    async def _stop(self, fault: Fault, service: Service) -> None:
        if fault.kind is Kind.STOP_BROKER:
            self.broker.pause()
            await asyncio.sleep(fault.seconds)
            self.broker.resume()
        else:
            os.kill(service.pid, signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            os.kill(service.pid, signal.SIGCONT)

    async def _disturb(self, fault: Fault) -> None:
        if fault.kind is Kind.CUT:
            self.proxy.cut()
        elif fault.kind is Kind.STRAND:
            self.proxy.strand()
        else:
            self.proxy.delay = lambda _toward, _packet: LATENCY_SECONDS
            await asyncio.sleep(fault.seconds)
            self.proxy.delay = prompt

    async def _replace_broker(self, fault: Fault, service: Service) -> None:
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
            await service.kill()
        if saved_at is not None and fault.kind is not Kind.WIPE_BROKER:
            self.returns.append(Return(saved_at=saved_at, at=time.time()))
        await self.broker.start()
        if fault.kind is Kind.KILL_BOTH:
            await service.start()

    def _saved_at(self) -> float | None:
        path = self.broker.folder / "store" / "mosquitto.db"
        return path.stat().st_mtime if path.exists() else None


async def _harm_database(fault: Fault, service: Service) -> None:
    if fault.kind is Kind.FULL_DISK:
        await _fill_disk(service, fault.seconds)
    elif fault.kind is Kind.LOCKED:
        await _lock_database(service, fault.seconds)
    else:
        await _kill_server(fault.seconds)


async def _fill_disk(service: Service, seconds: float) -> None:
    soft, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, hard))
    await asyncio.sleep(seconds)
    if service.running:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (soft, hard))


async def _kill_server(seconds: float) -> None:
    server = postgres.shared()
    server.kill()
    await asyncio.sleep(seconds)
    # Here and not in a thread: the server ends with the thread that has started it.
    server.start()


async def _lock_database(service: Service, seconds: float) -> None:
    with closing(
        sqlite3.connect(service.database, timeout=30, isolation_level=None, check_same_thread=False)
    ) as connection:
        await asyncio.to_thread(_hold, connection, 2 * seconds)


def _hold(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
