"""How often a gate stops a release that keeps to the limit, because it is looked at after every verdict.

Rules:
- Verdicts come as they do in a stage: a failure when it happens, a success at the end of its soak. Endpoints come to
  the version at random instants, spread over a day.
- The gate is Otao's own. It is asked at every verdict at which it could fail: at a failure, and when the verdicts
  become enough; at no other its evidence grows.
- Each stage is looked at until its last verdict, also after it has passed, as Otao does.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from bench.policies.fleets import DAY
from orchestrator.domain import gates
from orchestrator.domain.gates import Size, Tally, Verdict
from orchestrator.domain.policies import STANDARD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.domain.policies import Stage

RATES = (0.01, 0.02, 0.03, 0.04, 0.045, 0.05)
"""True failure rates: none is over the limit of `standard`, so that every stop is false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeks:
    """What came of many rollouts with one true failure rate."""

    rate: float
    runs: int
    peeking: int
    """In how many the interval was above the limit at some verdict, in some stage."""
    once: int
    """In how many it was after a stage's last verdict."""
    settled: int
    """In how many the rate itself was over the limit when nothing was open any more, in some stage."""


def measure(runs: int, devices: int, seed: int) -> Iterator[Peeks]:
    """Yield one result for each of `RATES`."""
    sizes = _sizes(devices)
    for rate in RATES:
        random = Random(f"{seed} {rate}")
        outcomes = [
            [_look(stage, size, rate, random) for stage, size in zip(STANDARD, sizes, strict=True)] for _ in range(runs)
        ]
        yield Peeks(
            rate=rate,
            runs=runs,
            peeking=sum(any(looks.ever for looks in stages) for stages in outcomes),
            once=sum(any(looks.last for looks in stages) for stages in outcomes),
            settled=sum(any(looks.settled for looks in stages) for stages in outcomes),
        )


def markdown(results: Iterator[Peeks]) -> str:
    """Return a table with one row for each rate."""
    rows = [
        ("true failure rate", "interval, at any verdict", "interval, at the last verdict", "rate, when all settled"),
        ("---:", "---:", "---:", "---:"),
        *(
            (f"{100 * it.rate:g} %", *(_share(part, it.runs) for part in (it.peeking, it.once, it.settled)))
            for it in results
        ),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _share(part: int, whole: int) -> str:
    lower, upper = gates.bounds(part, whole)
    return f"{100 * part / whole:.1f} % ({100 * lower:.1f}-{100 * upper:.1f})"


def _sizes(devices: int) -> list[int]:
    """Endpoints that each stage adds."""
    reached = [round(devices * (stage.percent or 0) / 100) for stage in STANDARD]
    return [upper - lower for lower, upper in zip([0, *reached], reached, strict=False)]


class _Looks(NamedTuple):
    """Whether one stage fails, and when."""

    ever: bool
    last: bool
    settled: bool


def _look(stage: Stage, endpoints: int, rate: float, random: Random) -> _Looks:
    soak = stage.soak.total_seconds()
    comings = [(random.random() * DAY, random.random() < rate) for _ in range(endpoints)]
    failures = sorted(at for at, fails in comings if fails)
    successes = sorted(at for at, fails in comings if not fails)
    enough = sorted([*failures, *(at + soak for at in successes)])[min(stage.sample, endpoints) - 1]

    def fails(at: float, waiting: int) -> bool:
        failed, came, confirmed = (
            bisect_right(*pair) for pair in ((failures, at), (successes, at), (successes, at - soak))
        )
        tally = Tally(failed=failed, confirmed=confirmed, soaking=came - confirmed)
        size = Size(endpoints=endpoints, waiting=waiting)
        return gates.judge(stage, tally, size).verdict is Verdict.FAILS

    end = DAY + soak
    return _Looks(any(fails(at, 1) for at in (*failures, enough)), fails(end, 1), fails(end, 0))
