from __future__ import annotations

from dataclasses import replace

import pytest

from bench.figures.overload import Flood, Held, Overload, Phase, Times
from tests.unit.bench.figures.test_origins import ORIGIN

QUICK, SLOW = Times(p50_ms=42, p99_ms=249.9), Times(p50_ms=48, p99_ms=250)
FOUND = Overload(
    origin=ORIGIN,
    endpoints=10_000,
    seconds=20,
    held=Held(
        capacity=4266,
        offered=31_188,
        stored=3546,
        reports=853_140,
        lost=0,
        caught_up_s=119.4,
        catching_up=6400,
        before=Phase(rest=QUICK, memory_mib=143),
        meanwhile=Phase(rest=QUICK, memory_mib=179),
        after=Phase(rest=QUICK, memory_mib=198),
    ),
    missing=0,
    flood=Flood(
        rate=5000,
        sent=60_000,
        stored=4635,
        refused=55_365,
        named=True,
        before=QUICK,
        meanwhile=SLOW,
        rest=QUICK,
    ),
)
SLOWED = replace(FOUND, held=replace(FOUND.held, meanwhile=Phase(rest=SLOW, memory_mib=179)))


def test_times_are_the_hundredths_of_what_was_seen() -> None:
    times = Times.of([number / 1000 for number in range(1, 101)])
    assert times is not None
    assert times.p50_ms == pytest.approx(50.5)
    assert times.p99_ms == pytest.approx(99.99)


def test_a_moment_with_one_answer_has_its_time_and_one_with_none_says_so() -> None:
    assert Times.of([0.25]) == Times(p50_ms=250, p99_ms=250)
    assert Times.of([]) is None
    idle = replace(FOUND, held=replace(FOUND.held, after=Phase(rest=None, memory_mib=198)))
    assert "| REST p50, p99 while it catches up | no answer |" in idle.markdown()
    assert Overload.parse(idle.build()) == idle
    assert idle.good


@pytest.mark.parametrize(
    "figures",
    [
        SLOWED,
        replace(FOUND, held=replace(FOUND.held, meanwhile=Phase(rest=None, memory_mib=179))),
        replace(FOUND, held=replace(FOUND.held, after=Phase(rest=QUICK, memory_mib=382))),
        replace(FOUND, missing=1),
        replace(FOUND, held=replace(FOUND.held, lost=1)),
        replace(FOUND, flood=replace(FOUND.flood, named=False)),
    ],
    ids=["slow", "silent", "large", "missing", "lost", "not named"],
)
def test_each_promise_that_is_broken_makes_it_bad_and_is_bold(figures: Overload) -> None:
    assert not figures.good
    assert figures.markdown().count("**") == 2


def test_what_holds_is_good_and_nothing_is_bold() -> None:
    assert FOUND.good
    assert "**" not in FOUND.markdown()


def test_what_was_offered_stands_beside_what_was_stored() -> None:
    text = FOUND.markdown()
    assert "| offered | 31,200 reports/s, 8.8 times the 3,550/s that were stored meanwhile |" in text
    assert "| caught up | 119 s after the end, 6,400/s |" in text
    assert "| 143, 179, 198 MiB |" in text


def test_how_long_it_lasted_is_what_it_took_and_who_had_to_give_way_is_said() -> None:
    assert FOUND.markdown().startswith("10,000 endpoints, 27 s of too much, 5,000 reports a second from one. ")
    assert "from one; the service gives way to everybody (niceness 10). " in replace(FOUND, niceness=10).markdown()


def test_what_was_lost_is_counted() -> None:
    text = replace(FOUND, missing=2, held=replace(FOUND.held, lost=3)).markdown()
    assert "| lost | **3 of 853,140; 2 of the stored are not in the history** |" in text
    assert (
        "| lost | none of 853,140 that the broker had taken; the history holds all that were stored |"
        in FOUND.markdown()
    )


def test_the_flood_has_a_table_of_its_own() -> None:
    text = FOUND.markdown()
    assert "| one endpoint sends 5,000 reports a second |  |" in text
    assert "| its 60,000 reports | 4,635 stored, 55,365 refused |" in text
    assert "meanwhile | 48, 250 ms |" in text


def test_it_is_kept_whole() -> None:
    assert Overload.parse(SLOWED.build()) == SLOWED
