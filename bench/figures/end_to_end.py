"""The figures of `bench/end_to_end.py`: rates beside a C client, times of answers, a large fleet.

Rules:
- A ratio is one rate by another one of the same repetition; the median is that of the ratios.
- What must be reached and what is aimed at stands beside each figure; what misses it is in bold.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, ClassVar

from bench.figures import bars, pages
from bench.figures.bars import Bar
from bench.figures.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RATE = 500
"""Requests and reports a second while answers are timed."""
SMALL = 1_000
"""Endpoints of the small fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """A rate, and the one of the C client that it is compared with."""

    name: str
    against: str
    text: str
    must: float
    aim: float
    processor: str = ""
    """The name of the processor time for one, microseconds; empty where it is not measured."""


RACES = (
    Race(
        name="offers",
        against="published",
        text="a change of software, until the last of its offers is acknowledged",
        must=0.30,
        aim=0.50,
        processor="offers_processor_us",
    ),
    Race(name="drained", against="published", text="offers that are stored already", must=0.50, aim=0.80),
    Race(
        name="reports",
        against="received",
        text="reports, clears included, SQLite",
        must=0.30,
        aim=0.50,
        processor="reports_processor_us",
    ),
    Race(
        name="reports_postgresql",
        against="received",
        text="reports, clears included, PostgreSQL",
        must=0.25,
        aim=0.40,
        processor="reports_processor_us_postgresql",
    ),
)
ANSWERS = {
    "request": ("request to answer", (5.0, 25.0), "p99 10 ms"),
    "next_offer": ("report to the next offer", None, ""),
    "amid_offer": ("the same, begun when a software that concerns all is published", None, ""),
}
"""By name: what it is, the limits of p50 and p99 in milliseconds, the aim."""
LARGE = {
    "large_idle_mib": ("memory, idle", " MiB", 200 * pages.MB_IN_MIB, "191 MiB (200 MB)"),
    "large_full_mib": (
        "memory at most: all offers sent, requests, reports",
        " MiB",
        400 * pages.MB_IN_MIB,
        "381 MiB (400 MB)",
    ),
    "large_ready_s": ("ready after start", " s", 5.0, "5 s"),
    "large_more_s": ("more than with nothing stored", " s", 0.5, "0.5 s"),
    "large_drained": ("stored offers sent", "/s", None, ""),
    "large_broker_save_s": ("the longest answer while the broker saves its store", " s", None, ""),
}
"""By name: what it is, its unit, its limit, and the limit in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd(Measured):
    """The figures of one run."""

    BENCH: ClassVar[str] = "end_to_end"

    endpoints: int
    large: int
    """Endpoints of the large fleet; 0: it was left out."""
    repetitions: int
    samples: dict[str, list[float]]
    """One of each repetition, by name; of the large fleet's memory and start one in all."""

    def ratios(self, race: Race) -> list[float]:
        """Return the ratio to the C client in each repetition; empty where it was not measured."""
        own = self.samples.get(race.name, [])
        return [rate / c for rate, c in zip(own, self.samples[race.against], strict=True)] if own else []

    def markdown(self) -> str:
        """See `Measured.markdown`."""
        several = f"{self.repetitions} repetitions" if self.repetitions > 1 else "one repetition"
        figures = "; a figure is the median, in brackets are the least and the most" if self.repetitions > 1 else ""
        head = f"{self.endpoints:,} endpoints, {several}{figures}. {self.origin.markdown()}\n"
        headings = ("", "Otao", "processor time", "C client", "ratio", "must", "aim")
        parts = [head, pages.table(headings, self._rates())]
        at = f"at {RATE} a second, until the client has it"
        parts.append(pages.table((at, "p50", "p99", "must", "aim"), self._answers()))
        if large := list(self._large()):
            parts.append(pages.table((f"{self.large:,} endpoints that all hold an offer", "", "must"), large))
        return "\n".join(parts)

    def drawing(self) -> str:
        """See `Measured.drawing`."""
        title = "Otao's rates as parts of a C client's on the same broker"
        note = f"{self.origin.day}; bars: medians of {self.repetitions}; thin lines: from the least to the most"
        rows = [
            Bar(text=race.text, values=tuple(ratios), must=race.must, aim=race.aim)
            for race in RACES
            if (ratios := self.ratios(race))
        ]
        return bars.svg(title, note, "as fast as the C client", rows)

    def _rates(self) -> Iterator[tuple[str, ...]]:
        for race in RACES:
            if ratios := self.ratios(race):
                yield (
                    race.text,
                    pages.spread(self.samples[race.name], "/s"),
                    pages.spread(self.samples[race.processor], " µs") if race.processor in self.samples else "",
                    pages.spread(self.samples[race.against], "/s"),
                    pages.judged(pages.spread(ratios, digits=2), good=median(ratios) >= race.must),
                    f"{race.must:.2f}",
                    f"{race.aim:.2f}",
                )

    def _answers(self) -> Iterator[tuple[str, ...]]:
        fleets = {"small_": SMALL, "": self.endpoints, "large_": self.large}
        for name, (text, limits, aim) in ANSWERS.items():
            for fleet, endpoints in fleets.items():
                keys = [f"{fleet}{name}_{part}_ms" for part in ("p50", "p99")]
                if keys[0] in self.samples:
                    # The limits are for the fleet of the middle.
                    held = limits if not fleet else None
                    yield (
                        f"{text}, {endpoints:,} endpoints",
                        _limited(self.samples[keys[0]], " ms", held and held[0]),
                        _limited(self.samples[keys[1]], " ms", held and held[1]),
                        f"{held[0]:.0f} ms, {held[1]:.0f} ms" if held else "",
                        aim if held else "",
                    )

    def _large(self) -> Iterator[tuple[str, ...]]:
        starts = zip(self.samples.get("large_ready_s", ()), self.samples.get("large_empty_ready_s", ()), strict=True)
        samples = self.samples | {"large_more_s": [stored - empty for stored, empty in starts]}
        for name, (text, unit, limit, words) in LARGE.items():
            if values := samples.get(name):
                yield text, _limited(values, unit, limit), words


def _limited(values: Sequence[float], unit: str, limit: float | None) -> str:
    return pages.judged(pages.spread(values, unit), good=limit is None or median(values) <= limit)
