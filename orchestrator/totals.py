"""The numbers of a replica: those of all partitions that it serves, put together.

Rules:
- What was counted for a partition stays counted when that is handed over: counters do not fall.
- Watermarks are left out: each is a revision of one partition, and their sum means nothing.

Layer: totals; below the replicas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_WATERMARK, _READY = "push_watermark", "ready"
Amount = TypeVar("Amount", int, float)


class Counted(Protocol):
    """What serves one partition."""

    @property
    def gauges(self) -> Callable[[], Mapping[str, float]]:
        """Its present values, by name; `ready` is 1 or 0."""

    @property
    def link_events(self) -> Callable[[], Mapping[str, int]]:
        """What happened on its connection, with how often."""


@dataclass(slots=True)
class Totals:
    """The numbers of one replica."""

    own: Mapping[str, float]
    """Gauges of the replica itself."""
    _serving: list[Counted] = field(default_factory=list)
    _ended: Mapping[str, int] = field(default_factory=dict)

    def begin(self, served: Counted) -> None:
        """A partition is served from now on."""
        self._serving.append(served)

    def end(self, served: Counted) -> None:
        """It is served no more."""
        self._serving.remove(served)
        self._ended = _sum([self._ended, served.link_events()])

    def gauges(self) -> dict[str, float]:
        """Sums of present values; `ready` is that of the partition which is ready the least."""
        each = [served.gauges() for served in self._serving]
        total = _sum(each)
        total.pop(_WATERMARK, None)
        return {**total, _READY: min((shown[_READY] for shown in each), default=0.0), **self.own}

    def events(self) -> dict[str, int]:
        """What happened on connections since this replica began."""
        return _sum([self._ended, *(served.link_events() for served in self._serving)])


def _sum(each: Iterable[Mapping[str, Amount]]) -> dict[str, Amount]:
    total: dict[str, Amount] = {}
    for shown in each:
        for name, value in shown.items():
            total[name] = total[name] + value if name in total else value
    return total
