from __future__ import annotations

from dataclasses import replace

from bench.figures.housekeeping import Housekeeping, Month, Removal
from tests.unit.bench.figures.test_origins import ORIGIN

FOUND = Housekeeping(
    origin=ORIGIN,
    devices=300,
    reports=4,
    days=360,
    history_days=60,
    history_entries=200,
    months=tuple(Month(number=number, whole_mib=1.4 * number, bounded_mib=2.6) for number in range(1, 13)),
    free_mib=0.1,
    removal=Removal(entries=1_000_000, removed=755_000, transactions=424, median_ms=5.3, p99_ms=73, most_ms=108),
)


def rows(figures: Housekeeping) -> list[str]:
    return [line for line in figures.markdown().splitlines() if line.startswith("|")]


def test_some_months_and_the_last_one_are_shown() -> None:
    assert rows(FOUND) == [
        "| month | everything kept for ever | history for 60 days and 200 entries, audit for 60 days |",
        "| --- | --- | --- |",
        "| 1 | 1.4 MiB | 2.6 MiB |",
        "| 2 | 2.8 MiB | 2.6 MiB |",
        "| 3 | 4.2 MiB | 2.6 MiB |",
        "| 6 | 8.4 MiB | 2.6 MiB |",
        "| 12 | 16.8 MiB | 2.6 MiB, of it 0.1 MiB free |",
    ]


def test_a_year_that_ends_early_shows_its_last_month_once() -> None:
    assert [row[:4] for row in rows(replace(FOUND, months=FOUND.months[:3]))[2:]] == ["| 1 ", "| 2 ", "| 3 "]


def test_the_removal_is_told_in_a_sentence() -> None:
    assert FOUND.markdown().splitlines()[-1] == (
        "755,000 of 1,000,000 history entries removed without rests: 424 transactions, "
        "median 5.3 ms, p99 73 ms, at most 108 ms."
    )


def test_it_is_kept_whole() -> None:
    assert Housekeeping.parse(FOUND.build()) == FOUND
