"""One of several processes on one database: it serves while it holds the lease, and stands by while another does.

Rules:
- HTTP is served all the time; a replica that stands by passes requests on to the holder (`fronts`).
- Database, engine and links are opened with the lease and closed with it, links first. Losing it ends neither the
  process nor HTTP.
- What ends a process that is alone on its database ends a replica too: a broker that refuses it, a newer schema.

Layer: replicas; below the service.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

import structlog

from orchestrator import outcomes
from orchestrator.api import server
from orchestrator.api.exposition import exposition
from orchestrator.api.fronts import open_front
from orchestrator.application import garbage
from orchestrator.application.leases import Holder, LeaseLostError, Tenure, Term
from orchestrator.application.ports import StorageError
from orchestrator.assemblies import PARTITION, assemble
from orchestrator.persistence.leases import open_leases
from orchestrator.persistence.storage import open_storage
from orchestrator.settings import split_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.api.fronts import Front
    from orchestrator.application.leases import Leases
    from orchestrator.assemblies import Assembly, Surroundings

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
"""Between two looks at a lease that another replica holds."""
ASK_SECONDS = 2.0
"""In which the database answers a question about a lease, or is taken to be away."""
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing listens here: it is what nobody can connect to
HELD, TAKEN, LOST = "leases_held", "leases_taken", "leases_lost"
TERM = Term()


async def run(surroundings: Surroundings, *, announce: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve or stand by until `stop`; `announce` is called when the one or the other has begun."""
    settings, name = surroundings.settings, secrets.token_hex(4)
    surroundings.gauges.update({HELD: 0, TAKEN: 0, LOST: 0})
    metrics = exposition(surroundings.tallies, dict, lambda: {"ready": 0.0, **surroundings.gauges})
    url = settings.database_url.get_secret_value()
    async with open_leases(url, lasts=TERM.lasts) as leases, open_front(name, metrics) as front:
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
            )
            group.create_task(replica.run(), name="replica.run")
            await stop.wait()
            log.info("stopping")
            replica.close()
            serving.cancel()
            await asyncio.wait([serving])
            replica.leave()


@dataclass(slots=True, kw_only=True)
class Replica:
    """One process."""

    holder: Holder
    """What is told of it while it holds the lease."""
    leases: Leases
    front: Front
    surroundings: Surroundings
    settled: Callable[[], None]
    """Called once: it serves, or knows who does."""
    _announced: bool = False
    _missed: bool = False
    """Whether the database did not answer the last time."""
    _leaving: asyncio.Event = field(default_factory=asyncio.Event)
    _assembly: Assembly | None = None

    async def run(self) -> None:
        """Serve whenever there is a lease to be had, until `leave` is called."""
        while not self._leaving.is_set():
            try:
                await self._look()
            except* LeaseLostError as group:
                self.surroundings.gauges[LOST] += 1
                log.warning("lease.lost", reasons=sorted({str(error) for error in outcomes.each(group)}))
            except* StorageError as group:
                passing = [error.reason for error in outcomes.each(group) if _passes(error)]
                if len(passing) < len(list(outcomes.each(group))):
                    raise
                self._miss(passing[0])
            await self._pause()

    def close(self) -> None:
        """Let streams end, and everybody else who reads events."""
        if self._assembly is not None:
            self._assembly.watch.close()

    def leave(self) -> None:
        """Let others have the lease, and end."""
        self._leaving.set()

    async def _look(self) -> None:
        """See who holds the lease; when nobody does, take it, and serve for as long as it lasts."""
        begun_at = time.monotonic()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                holder = await self.leases.holder(PARTITION)
                epoch = None if holder is not None else await self.leases.take(PARTITION, self.holder)
        except TimeoutError as error:
            raise StorageError("it does not answer", transient=True) from error
        self._missed = False
        if epoch is None:
            self.front.follow(holder)
            self._settle()
            return
        self.surroundings.gauges[TAKEN] += 1
        log.info("lease.taken", partition=PARTITION, epoch=epoch, replica=self.holder.replica)
        try:
            await self._hold(Tenure(self.leases, PARTITION, epoch, begun_at=begun_at, term=TERM))
        finally:
            self._assembly = None
            self.front.hold(None)
            self.surroundings.gauges[HELD] = 0
            await self._release(epoch)

    async def _hold(self, tenure: Tenure) -> None:
        url = self.surroundings.settings.database_url.get_secret_value()
        async with asyncio.TaskGroup() as group:
            keeping = [
                group.create_task(tenure.watch(), name="replica.watch"),
                group.create_task(tenure.run(), name="replica.lease"),
            ]
            async with open_storage(url, lease=tenure.epoch) as storage:
                assembly = await assemble(storage, self.surroundings, admitted=tenure.confirm)
                self._assembly = assembly
                self.front.hold(assembly.app)
                self.surroundings.gauges[HELD] = 1
                self._settle()
                try:
                    await assembly.run(self._leaving.wait())
                finally:
                    assembly.watch.close()
                    self.front.hold(None)
            for task in keeping:
                task.cancel()

    async def _release(self, epoch: int) -> None:
        """Let others have the lease at once; who cannot say so lets it end."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self.leases.release(PARTITION, epoch)
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
