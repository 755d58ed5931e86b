"""Who serves a partition: a lease in the database that one replica holds and renews; and which replicas there are.

Rules:
- A replica counts as present for `PRESENCE` of what a lease lasts after it was last heard, or until its session ends:
  so its absence is known before its leases end, and nobody leaves to it what it will not take.
- A lease ends by the database's clock, or with the database session of its holder; the next holder has a higher epoch.
- A holder counts by its own clock, from before it asked, and stops `MARGIN` before others could have its lease.
- Nothing connects to the broker as the partition but after a renewal (`Tenure.confirm`): else two live holders would
  end each other's connections for ever.
- Who finds another epoch than its own has been replaced, whatever its clock says.

Layer: application.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from orchestrator.application.ports import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = structlog.get_logger(__name__)


PRESENCE = 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long a lease lasts, in seconds."""

    lasts: float = 3.0
    """From a renewal to the instant from which others may take it."""
    margin: float = 1.0
    """So much earlier its holder stops."""
    renew_every: float = 0.5
    retry_every: float = 0.1
    """After a renewal that the database did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A replica that holds a lease."""

    replica: str
    """Its name, which no other process has or had."""
    address: str
    """`HOST:PORT` at which other replicas reach its REST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Who is there, and who holds what."""

    holders: Mapping[str, Holder] = field(default_factory=dict)
    """By partition; absent: nobody."""
    present: Mapping[str, Holder] = field(default_factory=dict)
    """Replicas that have said so and are not about to end, by name."""
    known: frozenset[str] = frozenset()
    """Those that have ever said so and have not departed, while they may hold a lease."""
    partitions: frozenset[str] = frozenset()
    """Those that anybody has ever held: the database has tables for them, and there may be applications in them."""


class LeaseLostError(StorageError):
    """This replica does not hold the partition any more."""

    code = "lease-lost"

    def __init__(self, reason: str) -> None:
        """Say how that is known."""
        super().__init__(reason, transient=False)


class Leases(Protocol):
    """Where leases are kept; every call may raise a `StorageError`."""

    async def take(self, partition: str, holder: Holder) -> int | None:
        """Take a lease that nobody holds; return its epoch, or None when somebody does."""

    async def renew(self, partition: str, epoch: int) -> bool:
        """Have a lease last anew; return whether it was still that of `epoch`."""

    async def release(self, partition: str, epoch: int) -> None:
        """Let others have a lease at once, if it is still that of `epoch`."""

    async def look(self) -> Scene:
        """Who is there, and who holds what, now."""

    async def attend(self, replica: Holder, *, leaving: bool = False) -> None:
        """Say that a replica is there; `leaving`: that it is about to end, and takes nothing more."""

    async def depart(self, replica: Holder) -> None:
        """Say that a replica is there no more."""


class Tenure:
    """The time in which this replica holds one partition."""

    def __init__(
        self,
        leases: Leases,
        partition: str,
        epoch: int,
        *,
        begun_at: float,
        term: Term,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """A lease of `epoch` was taken; `begun_at` is what `elapsed` said before it was asked for."""
        self._leases = leases
        self._partition = partition
        self._term = term
        self._elapsed = elapsed
        self._until = begun_at + term.lasts - term.margin
        self.epoch = epoch

    @property
    def left(self) -> float:
        """Seconds in which this replica may go on without a renewal; negative when it may not."""
        return self._until - self._elapsed()

    async def confirm(self) -> None:
        """Renew the lease; return when that is done.

        Raises:
            LeaseLostError: another replica holds it.
        """
        told = False
        while True:
            begun_at = self._elapsed()
            try:
                renewed = await self._leases.renew(self._partition, self.epoch)
            except StorageError as error:
                if not error.transient:
                    raise
                if not told:
                    log.warning("lease.not-renewed", partition=self._partition, reason=error.reason)
                told = True
                await asyncio.sleep(self._term.retry_every)
                continue
            if not renewed:
                raise LeaseLostError(f"another replica serves the partition {self._partition}")
            self._until = max(self._until, begun_at + self._term.lasts - self._term.margin)
            return

    async def run(self) -> None:
        """Renew the lease again and again, until cancelled.

        Raises:
            LeaseLostError: another replica holds it.
        """
        while True:
            await asyncio.sleep(self._term.renew_every)
            await self.confirm()

    async def watch(self) -> None:
        """Wait until it may not go on; apart from `run`, which may hang with the database.

        Raises:
            LeaseLostError: the lease was not renewed in time.
        """
        while self.left > 0:  # noqa: ASYNC110 - what is waited for is time
            await asyncio.sleep(self.left)
        raise LeaseLostError(f"the lease of the partition {self._partition} could not be renewed in time")
