"""The figures of `bench/overload.py`: what holds while far too much comes in, and while one floods."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, ClassVar, Self

from bench.figures import pages
from bench.figures.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIMIT_MIB = 400 * pages.MB_IN_MIB
"""Of the service's memory, as under full load."""
LIMIT_MS = 250.0
"""For REST's p99 while overloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long answers took, milliseconds."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self | None:
        """Of these answers; None when there was none."""
        if not seconds:
            return None
        cuts = quantiles(seconds, n=100) if len(seconds) > 1 else [*seconds] * 99
        return cls(p50_ms=cuts[49] * 1000, p99_ms=cuts[98] * 1000)

    def __str__(self) -> str:
        return f"{self.p50_ms:,.0f}, {self.p99_ms:,.0f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What somebody sees who reads over REST all the time."""

    rest: Times | None
    """None here and below: nothing was answered."""
    memory_mib: float
    """Of the service, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What one endpoint does to the others."""

    rate: int
    """Reports that it sends a second."""
    sent: int
    stored: int
    refused: int
    named: bool
    """Whether `explain` and the metrics name it."""
    before: Times | None
    """Round trips of others."""
    meanwhile: Times | None
    rest: Times | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What became of reports that were too many."""

    capacity: float
    """Reports stored a second, before."""
    offered: float
    """Reports sent a second."""
    stored: float
    """Reports stored a second, meanwhile."""
    reports: int
    """That the broker had taken."""
    lost: int
    """Of these, neither stored nor refused."""
    caught_up_s: float
    """From the end until all were done."""
    catching_up: float
    """Reports stored a second from then on."""
    before: Phase
    meanwhile: Phase
    after: Phase
    """While it catches up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload(Measured):
    """The figures of one run."""

    BENCH: ClassVar[str] = "overload"

    endpoints: int
    seconds: float
    """For how long too much would have been sent, had the broker taken it as fast as it was to be sent."""
    niceness: int = 0
    """Of the service: how far broker and sender come before it on the processor."""
    held: Held
    missing: int
    """Reports that were counted as stored and are not in the history."""
    flood: Flood

    @property
    def good(self) -> bool:
        """Whether nothing was lost, REST stayed quick, memory small, and the endpoint that flooded was named."""
        return self.whole and self.quick and self.small and self.flood.named

    @property
    def small(self) -> bool:
        """Whether memory stayed as it is bounded."""
        held = self.held
        return max(phase.memory_mib for phase in (held.before, held.meanwhile, held.after)) <= LIMIT_MIB

    @property
    def quick(self) -> bool:
        """Whether REST answered, and in time, while there was too much."""
        rest = self.held.meanwhile.rest
        return rest is not None and rest.p99_ms < LIMIT_MS

    @property
    def whole(self) -> bool:
        """Whether nothing was lost."""
        return not self.held.lost and not self.missing

    def markdown(self) -> str:
        """See `Measured.markdown`."""
        priority = f"; the service gives way to everybody (niceness {self.niceness})" if self.niceness else ""
        head = (
            f"{self.endpoints:,} endpoints, {self.held.reports / self.held.offered:.0f} s of too much, "
            f"{self.flood.rate:,} reports a second from one{priority}. {self.origin.markdown()}\n"
        )
        headings = (f"one endpoint sends {self.flood.rate:,} reports a second", "")
        return "\n".join(
            [head, pages.table(("all report", ""), self._overload()), pages.table(headings, self._flooded())]
        )

    def _overload(self) -> Iterator[tuple[str, str]]:
        held = self.held
        yield "capacity, just before", f"{pages.number(held.capacity)} reports/s stored"
        times = f"{held.offered / held.stored:.1f} times the {pages.number(held.stored)}/s that were stored meanwhile"
        yield "offered", f"{pages.number(held.offered)} reports/s, {times}"
        lost = f"none of {held.reports:,} that the broker had taken; the history holds all that were stored"
        if not self.whole:
            lost = f"{held.lost:,} of {held.reports:,}; {self.missing:,} of the stored are not in the history"
        yield "lost", pages.judged(lost, good=self.whole)
        yield "caught up", f"{held.caught_up_s:.0f} s after the end, {pages.number(held.catching_up)}/s"
        phases = (held.before, held.meanwhile, held.after)
        memory = ", ".join(f"{phase.memory_mib:.0f}" for phase in phases)
        limit = f"must: {LIMIT_MIB:.0f} MiB"
        shown = pages.judged(f"{memory} MiB", good=self.small)
        yield f"memory of the service at most: before, overloaded, catching up; {limit}", shown
        yield "REST p50, p99 while nothing else is to do", _shown(held.before.rest)
        shown = pages.judged(_shown(held.meanwhile.rest), good=self.quick)
        yield f"REST p50, p99 while overloaded; must: p99 below {LIMIT_MS:.0f} ms", shown
        yield "REST p50, p99 while it catches up", _shown(held.after.rest)

    def _flooded(self) -> Iterator[tuple[str, str]]:
        flood = self.flood
        yield f"its {flood.sent:,} reports", f"{flood.stored:,} stored, {flood.refused:,} refused"
        named = "by `explain`, and by `otao_flooding_endpoints`" if flood.named else "no"
        yield "named", pages.judged(named, good=flood.named)
        yield "round trips of others, p50, p99: before", _shown(flood.before)
        yield "round trips of others, p50, p99: meanwhile", _shown(flood.meanwhile)
        yield "REST p50, p99 meanwhile", _shown(flood.rest)


def _shown(times: Times | None) -> str:
    return "no answer" if times is None else str(times)
