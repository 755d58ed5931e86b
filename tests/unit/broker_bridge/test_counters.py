from __future__ import annotations

from broker_bridge.counters import Counters


def test_counters_begin_at_nothing_and_are_each_link_s_own() -> None:
    first, second = Counters(), Counters()
    first.refused_publishes[0x87] += 1
    assert second.refused_publishes[0x87] == 0
    assert second == Counters(connects=0, losses=0, inbound=0, outbound=0, acknowledged=0, paused_reads=0)
