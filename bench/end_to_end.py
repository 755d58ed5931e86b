"""The whole way: a real broker, `otao serve`, a database; beside a C client of libmosquitto in the same repetition.

Run: script/bench end_to_end [-- --endpoints N --repetitions N --large N --without-postgresql --json FILE]. Every
repetition does each of these once, in turns, on a fresh broker and a fresh copy of the database:
- the C client publishes as many offers, and receives as many reports, of the same topics and sizes;
- a change of software, until the last offer is acknowledged by the broker;
- offers that are decided and stored already, until the broker has all (drain);
- reports, live from one C publisher, each settles an offer and has it cleared; until the last clear is acknowledged;
- the same on PostgreSQL;
- requests at 500 a second, until their answer; and reports, until the next offer, with this fleet and a small one.
Once, with a large fleet: memory, start, and the same answers. What a table calls a ratio is the median of the ratios
within the repetitions. Decisions a second are measured by `script/bench rollouts`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import _end_to_end as runs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RATE = 500
SMALL = 1_000
RATIOS = {
    "offers": ("published", "a change of software, until the last of its offers is acknowledged", 0.30),
    "drained": ("published", "offers that are stored already", 0.50),
    "reports": ("received", "reports, clears included, SQLite", 0.30),
    "reports_postgresql": ("received", "reports, clears included, PostgreSQL", 0.25),
}
LIMITS = {
    "request_p50_ms": 5,
    "request_p99_ms": 25,
    "large_idle_mib": 200,
    "large_full_mib": 400,
    "large_ready_s": 5,
}


class Samples:
    """What the repetitions have found, by name."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def add(self, figures: runs.Figures) -> None:
        """Note what one run gave."""
        for name, value in figures.items():
            self.found.setdefault(name, []).append(value)

    def ratios(self) -> dict[str, float]:
        """Each rate to the C client's of its repetition, the median."""
        return {
            name: statistics.median(own / c for own, c in zip(self.found[name], self.found[against], strict=True))
            for name, (against, _, _) in RATIOS.items()
            if name in self.found
        }

    def summary(self) -> dict[str, dict[str, float]]:
        """Median and bounds of each figure."""
        return {
            name: {"median": statistics.median(values), "least": min(values), "most": max(values)}
            for name, values in self.found.items()
        }


async def measure(flags: argparse.Namespace, folder: Path) -> Samples:
    """All figures."""
    databases, samples, size = runs.Databases(folder), Samples(), flags.endpoints
    async with databases.copy(size, offered=True):
        pass
    kinds: list[Callable[[], Awaitable[runs.Figures]]] = [
        lambda: runs.c_client(size, databases.offer_bytes),
        lambda: runs.offers(databases, size),
        lambda: runs.drain_and_reports(databases, size),
        lambda: on_postgresql(databases, size),
        lambda: runs.answers(databases, size, RATE, 10),
        lambda: small(databases),
    ]
    if flags.without_postgresql:
        kinds.pop(3)
    try:
        for number in range(flags.repetitions):
            for run in kinds:
                figures = await run()
                samples.add(figures)
                print(number + 1, {name: round(value, 1) for name, value in figures.items()}, flush=True)
        if flags.large:
            samples.add(await runs.large(databases, flags.large, flags.repetitions))
    finally:
        databases.close()
    return samples


async def on_postgresql(databases: runs.Databases, size: int) -> runs.Figures:
    """Drain and reports, by other names."""
    figures = await runs.drain_and_reports(databases, size, postgresql=True)
    return {f"{name}_postgresql": value for name, value in figures.items()}


async def small(databases: runs.Databases) -> runs.Figures:
    """The answers that a small fleet gets."""
    figures = await runs.answers(databases, SMALL, RATE, 2)
    return {f"small_{name}": value for name, value in figures.items()}


def show(samples: Samples, load: tuple[float, float, float]) -> None:
    """Print the tables, as Markdown."""
    summary, ratios = samples.summary(), samples.ratios()
    print(f"\nload before and after: {load[0]:.1f}, {os.getloadavg()[0]:.1f}\n")
    print("| | Otao | C client | ratio | must |\n|---|---|---|---|---|")
    for name, (against, text, must) in RATIOS.items():
        if name in ratios:
            own, c = summary[name], summary[against]
            print(
                f"| {text} | {own['median']:,.0f}/s ({own['least']:,.0f}-{own['most']:,.0f}) "
                f"| {c['median']:,.0f}/s ({c['least']:,.0f}-{c['most']:,.0f}) | {ratios[name]:.2f} | {must:.2f} |"
            )
    print("\n| | median | least | most | at most |\n|---|---|---|---|---|")
    compared = {*RATIOS, *(against for against, _, _ in RATIOS.values())}
    for name, values in summary.items():
        if name not in compared:
            numbers = " | ".join(f"{values[kind]:,.1f}" for kind in ("median", "least", "most"))
            print(f"| {name} | {numbers} | {LIMITS.get(name, '')} |")


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--large", type=int, default=1_000_000, help="endpoints of the large fleet; 0 leaves it out")
    parser.add_argument("--without-postgresql", action="store_true")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "out" / "end_to_end.json")
    flags = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="otao-bench-") as folder:
        samples = asyncio.run(measure(flags, Path(folder)))
    show(samples, load)
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "endpoints": flags.endpoints,
        "large": flags.large,
        "repetitions": flags.repetitions,
        "load": {"before": load, "after": os.getloadavg()},
        "ratios": samples.ratios(),
        "figures": samples.found,
    }
    flags.json.parent.mkdir(exist_ok=True)
    flags.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
