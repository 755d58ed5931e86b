"""Every release under every policy as a table, beside how often a gate stops falsely; and both into the documentation.

    python -m bench.policies [--devices N] [--seeds N] [--runs N] [--drawing FILE] [--page FILE]

Runs of one seed share a fleet; the same seed also gives the order in which its devices are taken. With `--page`, what
stands between the marks of the page is replaced. Processes share the work, one for each core.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bench.figures import pages
from bench.policies import fleets, peeking, tables
from bench.policies.otao import Otao
from bench.policies.rivals import RIVALS
from orchestrator.application import garbage

if TYPE_CHECKING:
    from bench.policies.fleets import Fleet
    from bench.policies.outcomes import Outcome

POLICIES = (Otao(), *RIVALS)
"""What is compared, in the order of the table."""
COMMAND = "python -m bench.policies"


def compare(devices: int, seeds: int) -> list[Outcome]:
    """Return an outcome for each seed, release and policy; says on standard error how long each took."""
    works = product([devices], range(1, seeds + 1), range(len(fleets.RELEASES)), range(len(POLICIES)))
    with ProcessPoolExecutor(initializer=_begin) as pool:
        return list(pool.map(_run, works))


def _run(work: tuple[int, int, int, int]) -> Outcome:
    devices, seed, which, whose = work
    release, policy = fleets.RELEASES[which], POLICIES[whose]
    fleet = _fleet(seed, devices)
    began = time.perf_counter()
    outcome = policy.run(fleet, release, seed)
    seconds = time.perf_counter() - began
    print(f"seed {seed}, {release.name}, {policy.name}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return outcome


@cache
def _fleet(seed: int, devices: int) -> Fleet:
    return fleets.build(seed, devices)


def _begin() -> None:
    garbage.tune()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200, help="rollouts for each rate of false stops")
    parser.add_argument("--drawing", type=Path)
    parser.add_argument("--page", type=Path)
    flags = parser.parse_args()
    outcomes = compare(flags.devices, flags.seeds)
    comparison = tables.markdown(outcomes)
    print(comparison)
    stops = peeking.markdown(peeking.measure(flags.runs, flags.devices, seed=1))
    print(stops, end="")
    if flags.drawing is not None:
        flags.drawing.write_text(tables.svg(outcomes))
    if flags.page is not None:
        page = pages.replaced(flags.page.read_text(), pages.mark("comparison", COMMAND), comparison)
        flags.page.write_text(pages.replaced(page, pages.mark("false stops", COMMAND), stops))


if __name__ == "__main__":
    main()
