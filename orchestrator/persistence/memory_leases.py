"""Leases in memory: the twin of `leases` for tests, on a clock that is handed in.

Layer: persistence; implements `leases.Leases`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.application.leases import PRESENCE, Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.application.leases import Holder


@dataclass(slots=True)
class _Lease:
    holder: Holder
    epoch: int
    until: float


@dataclass(slots=True, kw_only=True)
class MemoryLeases:
    """All leases of one database; `ended` names replicas whose session with it has ended."""

    lasts: float
    now: Callable[[], float]
    ended: set[str] = field(default_factory=set)
    _leases: dict[str, _Lease] = field(default_factory=dict)
    _present: dict[str, tuple[Holder | None, float]] = field(default_factory=dict)
    """None: it is about to end."""

    async def take(self, partition: str, holder: Holder) -> int | None:
        """See `leases.Leases.take`."""
        if self._holder(partition) is not None:
            return None
        before = self._leases.get(partition)
        epoch = 1 if before is None else before.epoch + 1
        self._leases[partition] = _Lease(holder, epoch, self.now() + self.lasts)
        return epoch

    async def renew(self, partition: str, epoch: int) -> bool:
        """See `leases.Leases.renew`."""
        lease = self._leases.get(partition)
        if lease is None or lease.epoch != epoch:
            return False
        lease.until = self.now() + self.lasts
        return True

    async def release(self, partition: str, epoch: int) -> None:
        """See `leases.Leases.release`."""
        lease = self._leases.get(partition)
        if lease is not None and lease.epoch == epoch:
            lease.until = self.now()

    async def look(self) -> Scene:
        """See `leases.Leases.look`."""
        holders = {name: holder for name in self._leases if (holder := self._holder(name)) is not None}
        now = self.now()
        heard = {name: it for name, (it, until) in self._present.items() if until > now and name not in self.ended}
        present = {name: it for name, it in heard.items() if it is not None}
        known = frozenset(self._present)
        return Scene(holders=holders, present=present, known=known, partitions=frozenset(self._leases))

    async def attend(self, replica: Holder, *, leaving: bool = False) -> None:
        """See `leases.Leases.attend`."""
        self._present[replica.replica] = (None if leaving else replica, self.now() + self.lasts * PRESENCE)

    async def depart(self, replica: Holder) -> None:
        """See `leases.Leases.depart`."""
        self._present.pop(replica.replica, None)

    def _holder(self, partition: str) -> Holder | None:
        lease = self._leases.get(partition)
        if lease is None or lease.until <= self.now() or lease.holder.replica in self.ended:
            return None
        return lease.holder
