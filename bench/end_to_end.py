"""The whole way: a real broker, `otao serve`, a database; beside a C client of libmosquitto in the same repetition.

Run: script/bench end_to_end [-- --endpoints N --repetitions N --large N --without-postgresql --note SENTENCE], which
writes the figures into docs/reference/benchmarks.md and a drawing; with `-- --from FILE` it writes those of an earlier
run again. Every repetition does each of these once, in turns, on a fresh broker and a fresh copy of the database:
- the C client publishes as many offers, and receives as many reports, of the same topics and sizes;
- a change of software, until the last offer is acknowledged by the broker;
- offers that are decided and stored already, until the broker has all (drain);
- reports, live from one C publisher, each settles an offer and has it cleared; until the last clear is acknowledged;
- the same on PostgreSQL;
- requests at 500 a second, until their answer; and reports, until the next offer, with this fleet, a small and a large
  one; the latter once more, begun when a software that concerns all is published.
Once, with the large fleet: memory and start. The broker does not save its store while answers are
timed: the longest answer while it does is a figure of its own. What a table calls a ratio is the median of the
ratios within the repetitions. Decisions a second are measured by `script/bench rollouts`.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import _end_to_end as runs
import _services as services

from bench.figures import measured, origins
from bench.figures.end_to_end import RATE, SMALL, EndToEnd
from tests.postgres import binaries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Samples:
    """What the repetitions have found, by name."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def add(self, figures: runs.Figures) -> None:
        """Note what one run gave."""
        for name, value in figures.items():
            self.found.setdefault(name, []).append(value)


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
        lambda: named("small", runs.answers(databases, SMALL, RATE, 2)),
    ]
    if flags.large:
        kinds.append(lambda: named("large", runs.answers(databases, flags.large, RATE, 10)))
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


async def named(fleet: str, run: Awaitable[runs.Figures]) -> runs.Figures:
    """The figures of another fleet, with its name before theirs."""
    return {f"{fleet}_{name}": value for name, value in (await run).items()}


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoints", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--large", type=int, default=1_000_000, help="endpoints of the large fleet; 0 leaves it out")
    parser.add_argument("--without-postgresql", action="store_true")
    measured.add_flags(parser, EndToEnd)
    measured.run(EndToEnd, parser.parse_args(), found)


def found(flags: argparse.Namespace) -> EndToEnd:
    """Measure."""
    load = origins.load()
    with tempfile.TemporaryDirectory(prefix="otao-bench-") as folder:
        samples = asyncio.run(measure(flags, Path(folder)))
    programs = dict(services.PROGRAMS)
    if not flags.without_postgresql:
        programs["PostgreSQL"] = (str(binaries() / "postgres"), "--version")
    return EndToEnd(
        origin=origins.here(load, flags.note, programs),
        endpoints=flags.endpoints,
        large=flags.large,
        repetitions=flags.repetitions,
        samples=samples.found,
    )


if __name__ == "__main__":
    main()
