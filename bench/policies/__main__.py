"""Every release under every policy, as a table, and as a drawing if a file is named.

    python -m bench.policies [--devices N] [--seeds N] [--drawing FILE]

Runs of one seed share a fleet; the same seed also gives the order in which its devices are taken.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.policies import fleets, tables
from bench.policies.otao import Otao
from bench.policies.rivals import RIVALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.policies.outcomes import Outcome

POLICIES = (Otao(), *RIVALS)
"""What is compared, in the order of the table."""


def compare(devices: int, seeds: int) -> Iterator[Outcome]:
    """Yield an outcome for each seed, release and policy; says on standard error how long it took."""
    for seed in range(1, seeds + 1):
        fleet = fleets.build(seed, devices)
        for release in fleets.RELEASES:
            for policy in POLICIES:
                began = time.perf_counter()
                yield policy.run(fleet, release, seed)
                seconds = time.perf_counter() - began
                print(f"seed {seed}, {release.name}, {policy.name}: {seconds:.1f} s", file=sys.stderr)


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--drawing", type=Path)
    flags = parser.parse_args()
    outcomes = list(compare(flags.devices, flags.seeds))
    print(tables.markdown(outcomes), end="")
    if flags.drawing is not None:
        flags.drawing.write_text(tables.svg(outcomes))


if __name__ == "__main__":
    main()
