"""The figures of `bench/rollouts.py`: how fast a rollout begins, and for how long the writer is held."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, ClassVar

from bench.figures import pages
from bench.figures.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

MUST_PER_SECOND, AIM_PER_SECOND = 150_000, 300_000
FIRST_MUST_PER_SECOND = 100_000
"""What was asked of rollouts when they were made; the other was asked later, of speed."""
MOST_HELD_MS = 50.0
MOST_FIRST_SECONDS = 2.0
MOST_GROWN_MIB = 50 * pages.MB_IN_MIB
MOST_TICK_MS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A sweep over the whole fleet under one policy."""

    policy: str
    per_second: float
    """Decisions stored."""
    median_ms: float
    """For how long a page holds the writer."""
    p99_ms: float
    most_ms: float

    def row(self) -> tuple[str, ...]:
        """Return it as a row of the table."""
        return (
            self.policy,
            pages.judged(pages.number(self.per_second), good=self.per_second >= MUST_PER_SECOND),
            f"{self.median_ms:.0f} ms",
            f"{self.p99_ms:.0f} ms",
            pages.judged(f"{self.most_ms:.0f} ms", good=self.most_ms <= MOST_HELD_MS),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts(Measured):
    """The figures of one run."""

    BENCH: ClassVar[str] = "rollouts"

    endpoints: int
    starts: tuple[Start, ...]
    first_ms: tuple[float, ...]
    """Of each start, until the first offers are stored."""
    acknowledged_s: tuple[float, ...]
    """Of each run of a service, from the call to the broker's acknowledgement of the first offer."""
    grown_mib: tuple[float, ...]
    """Of each run of a service, by how much its memory has grown twenty seconds after the call."""
    tick_ms: float

    def markdown(self) -> str:
        """See `Measured.markdown`."""
        head = f"{self.endpoints:,} stored endpoints under a new software, on SQLite. {self.origin.markdown()}\n"
        headings = ("", "decisions/s", "the writer is held, median", "p99", "at most")
        per_second = f"{MUST_PER_SECOND:,} (of rollouts when they were made: {FIRST_MUST_PER_SECOND:,})"
        must = ("must", per_second, "", "", f"{MOST_HELD_MS:.0f} ms")
        aim = ("aim", f"{AIM_PER_SECOND:,}", "", "", "")
        rates = pages.table(headings, [*(start.row() for start in self.starts), must, aim])
        return "\n".join([head, rates, pages.table(("beside that", "", "must"), self._facts())])

    def _facts(self) -> Iterator[tuple[str, ...]]:
        first, acknowledged, grown = self.first_ms, self.acknowledged_s, self.grown_mib
        yield "the first offers are stored after", f"{min(first):.0f} to {max(first):.0f} ms", ""
        shown = pages.spread(acknowledged, " s", digits=2)
        good = median(acknowledged) <= MOST_FIRST_SECONDS
        yield (
            "a service, from the call to the first acknowledgement of the broker",
            pages.judged(shown, good=good),
            f"{MOST_FIRST_SECONDS:.0f} s",
        )
        shown = pages.judged(pages.spread(grown, " MiB"), good=median(grown) <= MOST_GROWN_MIB)
        yield "by how much its memory has grown, 20 s later", shown, f"{MOST_GROWN_MIB:.0f} MiB (50 MB)"
        shown = pages.judged(f"{self.tick_ms:.2f} ms", good=self.tick_ms <= MOST_TICK_MS)
        yield "a tick of gates and queues with nothing due", shown, f"{MOST_TICK_MS:.0f} ms"
