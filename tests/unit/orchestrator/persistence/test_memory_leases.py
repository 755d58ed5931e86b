"""What the twin has beside the contract."""

from __future__ import annotations

from orchestrator.application.leases import Holder
from orchestrator.persistence.memory_leases import MemoryLeases


async def test_a_lease_lasts_until_the_clock_says_so() -> None:
    now = 10.0
    leases = MemoryLeases(lasts=3.0, now=lambda: now)
    holder = Holder(replica="a", address="127.0.0.1:1")
    assert await leases.take("main", holder) == 1
    now = 12.9
    assert (await leases.look()).holders == {"main": holder}
    now = 13.0
    assert (await leases.look()).holders == {}
    assert await leases.take("main", holder) == 2
