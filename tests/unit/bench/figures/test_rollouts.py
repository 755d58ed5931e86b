from __future__ import annotations

from dataclasses import replace

from bench.figures.rollouts import Rollouts, Start
from tests.unit.bench.figures.test_origins import ORIGIN

START = Start(policy="at once", per_second=205_432, median_ms=18, p99_ms=33.2, most_ms=36.4)
FOUND = Rollouts(
    origin=ORIGIN,
    endpoints=1_000_000,
    starts=(START, replace(START, policy="slowly", per_second=149_000, most_ms=50.4)),
    first_ms=(27.1, 12.0, 15),
    acknowledged_s=(0.05, 0.09),
    grown_mib=(41,),
    tick_ms=0.163,
)


def test_every_policy_has_a_row_and_what_misses_its_mark_is_bold() -> None:
    text = FOUND.markdown()
    assert "| at once | 205,000 | 18 ms | 33 ms | 36 ms |\n" in text
    assert "| slowly | **149,000** | 18 ms | 33 ms | **50 ms** |\n| must | 150,000 (" in text
    assert "| must | 150,000 (of rollouts when they were made: 100,000) |  |  | 50 ms |\n" in text


def test_what_a_service_does_stands_below() -> None:
    text = FOUND.markdown()
    assert "| the first offers are stored after | 12 to 27 ms |" in text
    assert "acknowledgement of the broker | 0.07 s (0.05-0.09) | 2 s |" in text
    assert "20 s later | 41.0 MiB | 48 MiB (50 MB) |" in text
    assert "with nothing due | 0.16 ms | 1 ms |" in text


def test_what_a_service_misses_is_bold() -> None:
    text = replace(FOUND, acknowledged_s=(2.1,), grown_mib=(57,), tick_ms=1.2).markdown()
    assert all(f"| **{shown}** |" in text for shown in ("2.10 s", "57.0 MiB", "1.20 ms"))


def test_it_says_where_it_comes_from() -> None:
    head = "1,000,000 stored endpoints under a new software, on SQLite."
    assert FOUND.markdown().splitlines()[0] == f"{head} {ORIGIN.markdown()}"


def test_it_is_kept_whole() -> None:
    assert Rollouts.parse(FOUND.build()) == FOUND
