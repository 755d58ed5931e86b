"""Leases in memory: the twin of `leases` for tests, on a clock that is handed in.

Layer: persistence; implements `leases.Leases`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

    async def take(self, partition: str, holder: Holder) -> int | None:
        """See `leases.Leases.take`."""
        if await self.holder(partition) is not None:
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

    async def holder(self, partition: str) -> Holder | None:
        """See `leases.Leases.holder`."""
        lease = self._leases.get(partition)
        if lease is None or lease.until <= self.now() or lease.holder.replica in self.ended:
            return None
        return lease.holder
