"""One of several processes on one database: it serves the partitions whose leases it holds, and passes the rest on.

Rules:
- HTTP is served all the time; a replica passes requests on to the holder of what they are about (`fronts`).
- Database, engine and links of a partition are opened with its lease and closed with it, links first. Losing one ends
  neither the process nor HTTP nor what is served beside it.
- What ends a process that is alone on its database ends a replica too: a broker that refuses it, a newer schema.
- A partition of several that a newer version has migrated is left to that: a replica of an older one keeps what it has,
  and takes what nobody else takes.
- Where there are several partitions, replicas share them evenly (`shares`). There are as many as the highest number
  that any replica ever served with: one whose own is lower serves, asks and passes on as if it were that.

Layer: replicas; below the service.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

import structlog

from orchestrator import outcomes
from orchestrator.api import server
from orchestrator.api.exposition import exposition
from orchestrator.api.fronts import Local, open_front
from orchestrator.application import garbage, partitions, shares
from orchestrator.application.leases import Holder, LeaseLostError, Tenure, Term
from orchestrator.application.ports import StorageError
from orchestrator.assemblies import assemble
from orchestrator.persistence.leases import open_leases
from orchestrator.persistence.places import open_locations
from orchestrator.persistence.refusals import DatabaseNewerError
from orchestrator.persistence.storage import open_storage
from orchestrator.settings import split_address
from orchestrator.totals import Totals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from orchestrator.api.fronts import Front
    from orchestrator.application.leases import Leases, Scene
    from orchestrator.assemblies import Assembly, Surroundings

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
"""Between two looks at who is there and who holds what."""
ATTEND_SECONDS = 0.75
"""Between two words of a replica that it is there."""
ASK_SECONDS = 2.0
"""In which the database answers a question about a lease, or is taken to be away."""
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing listens here: it is what nobody can connect to
HELD, TAKEN, LOST = "leases_held", "leases_taken", "leases_lost"
TERM = Term()


async def run(surroundings: Surroundings, *, announce: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve or stand by until `stop`; `announce` is called when the one or the other has begun."""
    settings, name = surroundings.settings, secrets.token_hex(4)
    surroundings.gauges.update({HELD: 0, TAKEN: 0, LOST: 0})
    totals = Totals(surroundings.gauges)
    async with _opened(surroundings, name, totals) as (leases, front):
        garbage.tune()
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            http = server.serve(front, *settings.address, started=address.set_result)
            serving = group.create_task(http, name="api.http")
            listening = await address
            reached_at = settings.reached_at(*split_address(listening.removeprefix("http://")))
            if settings.http_advertise is None and settings.address[0] in _ANYWHERE:
                log.warning("replica.without-address", hint="other replicas need OTAO_HTTP_ADVERTISE", told=reached_at)
            replica = Replica(
                holder=Holder(replica=name, address=reached_at),
                leases=leases,
                front=front,
                surroundings=surroundings,
                settled=lambda: announce(listening),
                totals=totals,
            )
            group.create_task(replica.run(), name="replica.run")
            await stop.wait()
            log.info("stopping")
            replica.close()
            serving.cancel()
            await asyncio.wait([serving])
            replica.leave()


@asynccontextmanager
async def _opened(surroundings: Surroundings, name: str, totals: Totals) -> AsyncIterator[tuple[Leases, Front]]:
    """The leases, and the front, which shows the `totals`."""
    settings = surroundings.settings
    url, names = settings.database_url.get_secret_value(), partitions.names(settings.partitions)
    metrics = exposition(surroundings.tallies, totals.events, totals.gauges)
    async with (
        open_leases(url, lasts=TERM.lasts, shared=len(names) > 1) as leases,
        open_locations(url) as locations,
        open_front(name, metrics, partitions=names, locations=locations) as front,
    ):
        yield leases, front


def _assemblies(seats: dict[str, Seat]) -> list[Assembly]:
    return [seat.assembly for seat in seats.values() if seat.assembly is not None]


@dataclass(slots=True, kw_only=True)
class Seat:
    """A partition that this replica serves, or is about to."""

    partition: str
    epoch: int
    begun_at: float
    alone: bool = False
    """Whether it is the only one there is, as far as we knew: then it listens to everything."""
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    assembly: Assembly | None = None


@dataclass(slots=True, kw_only=True)
class Replica:
    """One process."""

    holder: Holder
    """What is told of it while it holds a lease."""
    leases: Leases
    front: Front
    surroundings: Surroundings
    settled: Callable[[], None]
    """Called once: it serves, or knows who does."""
    totals: Totals
    seats: dict[str, Seat] = field(default_factory=dict)
    _announced: bool = False
    _missed: bool = False
    """Whether the database did not answer the last time."""
    _leaving: asyncio.Event = field(default_factory=asyncio.Event)
    _attended_at: float | None = None
    _waits: bool = False
    """Whether it takes nothing, because of a replica that knows of one partition only."""
    _free_since: dict[str, float] = field(default_factory=dict)
    _newer: set[str] = field(default_factory=set)
    """What a newer version has migrated, so that we cannot serve it."""

    @property
    def partitions(self) -> Sequence[str]:
        """All partitions."""
        return self.front.partitions

    async def run(self) -> None:
        """Serve whenever there is a lease to be had, until `leave` is called."""
        async with asyncio.TaskGroup() as around:
            async with asyncio.TaskGroup() as group:
                while not self._leaving.is_set():
                    await self._try_to_look(group)
                    await self._pause()
                for seat in self.seats.values():
                    seat.leaving.set()
                attending = around.create_task(self._attend_to_the_end(), name="replica.leaving")
            attending.cancel()
        if len(self.partitions) > 1:
            await self._tell(self.leases.depart(self.holder))

    def close(self) -> None:
        """Let streams end, and everybody else who reads events."""
        for assembly in _assemblies(self.seats):
            assembly.watch.close()

    def leave(self) -> None:
        """Let others have the leases, and end."""
        self._leaving.set()

    async def _try_to_look(self, group: asyncio.TaskGroup) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self._look(group)
        except TimeoutError:
            self._miss("it does not answer")
        except StorageError as error:
            if not error.transient:
                raise
            self._miss(error.reason)

    async def _look(self, group: asyncio.TaskGroup) -> None:
        """See who is there and who holds what; take what is ours to take, and hand over what is too much."""
        await self._attend()
        scene = await self.leases.look()
        self._missed = False
        self._learn(scene)
        others = {name: it for name, it in scene.holders.items() if it.replica != self.holder.replica}
        self.front.follow(others)
        for partition in self._wanted(scene):
            begun_at = time.monotonic()
            epoch = await self.leases.take(partition, self.holder)
            if epoch is not None:
                alone = len(self.partitions) == 1
                seat = Seat(partition=partition, epoch=epoch, begun_at=begun_at, alone=alone)
                self.seats[partition] = seat
                group.create_task(self._serve(seat), name=f"replica.{partition}")
        self._hand_over(scene)
        if all(partition in others for partition in self.partitions):
            self._settle()

    async def _attend(self) -> None:
        """Say that we are there, if it is time, and if we leave to others what they hold."""
        begun_at = time.monotonic()
        if len(self.partitions) == 1 or any(seat.alone for seat in self.seats.values()):
            return
        if self._attended_at is None or begun_at >= self._attended_at + ATTEND_SECONDS:
            # Nobody hands anything over to whoever may not be able to serve it.
            await self.leases.attend(self.holder, leaving=bool(self._newer))
            self._attended_at = begun_at

    async def _attend_to_the_end(self) -> None:
        """Say that we are about to end until cancelled: what we still hold may take a while."""
        while len(self.partitions) > 1:
            await self._tell(self.leases.attend(self.holder, leaving=True))
            await asyncio.sleep(ATTEND_SECONDS)

    def _learn(self, scene: Scene) -> None:
        """Go by the number of partitions that there are, if that is higher than ours."""
        there = max(map(partitions.number, scene.partitions), default=1)
        if there <= len(self.partitions):
            return
        log.warning("replica.more-partitions", partitions=there, hint=f"set OTAO_PARTITIONS to {there}")
        self.front.partitions = partitions.names(there)
        for seat in self.seats.values():
            if seat.alone:
                seat.leaving.set()

    def _wanted(self, scene: Scene) -> list[str]:
        """What nobody holds and we are to take."""
        if self._hears_of_one_that_serves_alone(scene) or (len(self.partitions) > 1 and self._attended_at is None):
            return []
        now = time.monotonic()
        taken = {*scene.holders, *self.seats, *self._newer}
        free = [name for name in self.partitions if name not in taken]
        self._free_since = {name: self._free_since.get(name, now) for name in free}
        plan = shares.takers(self.partitions, self._holders(scene), self._present(scene))
        return [
            name
            for name in free
            if plan.get(name) == self.holder.replica or now - self._free_since[name] >= shares.PATIENCE_SECONDS
        ]

    def _hears_of_one_that_serves_alone(self, scene: Scene) -> bool:
        """Whether somebody serves who has never said that he is there: it listens to everything, as if all were its."""
        holders = {it.replica for it in scene.holders.values()} - {self.holder.replica}
        alone = len(self.partitions) > 1 and not holders <= scene.known
        if alone and not self._waits:
            log.warning("replica.waits", hint="end all replicas before OTAO_PARTITIONS is raised from 1")
        self._waits = alone
        return alone

    def _hand_over(self, scene: Scene) -> None:
        """Begin to end what somebody else ought to have; one at a time."""
        if any(seat.leaving.is_set() or seat.assembly is None for seat in self.seats.values()):
            return
        due = shares.handover(self.partitions, self._holders(scene), self._present(scene))
        if due is not None and due[0] == self.holder.replica and due[1] in self.seats:
            log.info("lease.handed-over", partition=due[1])
            self.seats[due[1]].leaving.set()

    def _holders(self, scene: Scene) -> dict[str, str]:
        ours = dict.fromkeys(self.seats, self.holder.replica)
        return {name: it.replica for name, it in scene.holders.items()} | ours

    def _present(self, scene: Scene) -> set[str]:
        others = scene.present.keys() - {self.holder.replica}
        return others if others and self._newer else {*others, self.holder.replica}

    async def _serve(self, seat: Seat) -> None:
        """Serve a partition for as long as its lease lasts."""
        self.surroundings.gauges[TAKEN] += 1
        log.info("lease.taken", partition=seat.partition, epoch=seat.epoch, replica=self.holder.replica)
        try:
            await self._hold(seat, Tenure(self.leases, seat.partition, seat.epoch, begun_at=seat.begun_at, term=TERM))
        except* LeaseLostError as group:
            self.surroundings.gauges[LOST] += 1
            log.warning("lease.lost", reasons=sorted({str(error) for error in outcomes.each(group)}))
        except* DatabaseNewerError as group:
            self._newer.add(seat.partition)
            if self._newer.issuperset(self.partitions):
                raise
            self._attended_at = None
            log.warning("replica.older", partition=seat.partition, reasons=sorted(map(str, outcomes.each(group))))
        except* StorageError as group:
            passing = [error.reason for error in outcomes.each(group) if _passes(error)]
            if len(passing) < len(list(outcomes.each(group))):
                raise
            self._miss(passing[0])
        finally:
            seat.assembly = None
            self.front.hold(seat.partition, None)
            self.surroundings.gauges[HELD] = len(_assemblies(self.seats))
            # Whoever cannot let others have the lease at once lets it end.
            await self._tell(self.leases.release(seat.partition, seat.epoch))
            del self.seats[seat.partition]

    async def _hold(self, seat: Seat, tenure: Tenure) -> None:
        settings = self.surroundings.settings.model_copy(update={"partitions": len(self.partitions)})
        url = settings.database_url.get_secret_value()
        async with asyncio.TaskGroup() as group:
            keeping = [
                group.create_task(tenure.watch(), name="replica.watch"),
                group.create_task(tenure.run(), name="replica.lease"),
            ]
            async with open_storage(url, lease=tenure.epoch, partition=seat.partition) as storage:
                assembly = await assemble(
                    storage,
                    replace(self.surroundings, settings=settings, locations=self.front.locations),
                    partition=seat.partition,
                    admitted=tenure.confirm,
                    others=partial(self.front.others, seat.partition),
                )
                seat.assembly = assembly
                self.front.hold(seat.partition, Local(app=assembly.app, has=assembly.has, unready=assembly.unready))
                self.surroundings.gauges[HELD] = len(_assemblies(self.seats))
                self._settle()
                self.totals.begin(assembly)
                try:
                    await assembly.run(self._left(seat, assembly))
                finally:
                    self.totals.end(assembly)
                    assembly.watch.close()
                    self.front.hold(seat.partition, None)
            for task in keeping:
                task.cancel()

    async def _left(self, seat: Seat, assembly: Assembly) -> None:
        """Wait until the partition is to be handed over; let requests that are being answered end."""
        await seat.leaving.wait()
        assembly.watch.close()
        await self.front.drained(seat.partition)

    async def _tell(self, telling: Awaitable[None]) -> None:
        """Tell the database something that it will find out by itself, too."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await telling
        except (StorageError, TimeoutError) as error:
            log.info("lease.not-released", reason=str(error) or type(error).__name__)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._leaving.wait()
        except TimeoutError:
            return

    def _miss(self, reason: str) -> None:
        # Requests still go to the holder that was known last: it knows whether it is that.
        if not self._missed:
            log.warning("lease.unknown", reason=reason)
        self._missed = True

    def _settle(self) -> None:
        if not self._announced:
            self._announced = True
            self.settled()


def _passes(error: BaseException) -> TypeGuard[StorageError]:
    return isinstance(error, StorageError) and error.transient
