"""Numbers of several partitions as those of one replica."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass
class Served:
    ready: float = 1.0
    counted: dict[str, int] = field(default_factory=lambda: {"connects": 1})

    @property
    def gauges(self) -> Callable[[], Mapping[str, float]]:
        return lambda: {"ready": self.ready, "push_watermark": 700.0, "endpoints_unseen": 2.0}

    @property
    def link_events(self) -> Callable[[], Mapping[str, int]]:
        return lambda: self.counted


def test_what_was_counted_for_a_partition_that_was_handed_over_stays_counted() -> None:
    totals, first, second = Totals({}), Served(), Served(counted={"connects": 2, "pings": 5})
    assert totals.events() == {}
    totals.begin(first)
    totals.begin(second)
    assert totals.events() == {"connects": 3, "pings": 5}
    totals.end(second)
    assert totals.events() == {"connects": 3, "pings": 5}
    first.counted["connects"] += 1
    totals.begin(Served())
    assert totals.events() == {"connects": 5, "pings": 5}


def test_present_values_are_added_but_for_readiness_and_watermarks() -> None:
    totals, late = Totals({"leases_held": 2.0}), Served(ready=0.0)
    assert totals.gauges() == {"ready": 0.0, "leases_held": 2.0}
    totals.begin(Served())
    totals.begin(late)
    assert totals.gauges() == {"ready": 0.0, "leases_held": 2.0, "endpoints_unseen": 4.0}
    totals.end(late)
    assert totals.gauges() == {"ready": 1.0, "leases_held": 2.0, "endpoints_unseen": 2.0}
