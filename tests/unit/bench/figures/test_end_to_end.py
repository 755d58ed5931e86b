from __future__ import annotations

from dataclasses import replace

import pytest

from bench.figures.end_to_end import RACES, EndToEnd
from tests.unit.bench.figures.test_origins import ORIGIN

FOUND = EndToEnd(
    origin=ORIGIN,
    endpoints=5000,
    large=0,
    repetitions=2,
    samples={
        "published": [50_000, 40_000],
        "received": [20_000, 30_000],
        "offers": [25_000, 30_000],
        "offers_processor_us": [20, 24],
        "reports": [4_000, 9_000],
        "request_p50_ms": [2, 4],
        "request_p99_ms": [30, 40],
        "small_request_p50_ms": [1, 1],
        "small_request_p99_ms": [50, 60],
    },
)
LARGE = replace(
    FOUND,
    large=1_000_000,
    samples=FOUND.samples
    | {
        "large_idle_mib": [100.0],
        "large_full_mib": [382.0],
        "large_ready_s": [2.5],
        "large_empty_ready_s": [1.9],
        "large_request_p50_ms": [25],
        "large_request_p99_ms": [150],
    },
)


def rows(figures: EndToEnd) -> list[list[str]]:
    lines = figures.markdown().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def row(figures: EndToEnd, beginning: str) -> list[str]:
    (found,) = (cells for cells in rows(figures) if cells[0].startswith(beginning))
    return found[1:]


def test_a_ratio_is_that_to_the_c_client_of_the_same_repetition() -> None:
    offers, _, reports, postgresql = RACES
    assert FOUND.ratios(offers) == [0.5, 0.75]
    assert FOUND.ratios(reports) == [0.2, 0.3]
    assert FOUND.ratios(postgresql) == []


def test_repetitions_that_do_not_match_are_an_error() -> None:
    odd = replace(FOUND, samples=FOUND.samples | {"offers": [1.0]})
    with pytest.raises(ValueError, match="longer than"):
        odd.ratios(RACES[0])


def test_rates_stand_beside_the_c_client_and_what_must_be() -> None:
    assert row(FOUND, "a change of software") == [
        "27,500/s (25,000-30,000)",
        "22.0 µs (20.0-24.0)",
        "45,000/s (40,000-50,000)",
        "0.62 (0.50-0.75)",
        "0.30",
        "0.50",
    ]


def test_what_misses_its_mark_is_bold() -> None:
    assert row(FOUND, "reports, clears included, SQLite")[3] == "**0.25 (0.20-0.30)**"
    assert row(FOUND, "request to answer, 5,000")[:2] == ["3.0 ms (2.0-4.0)", "**35.0 ms (30.0-40.0)**"]
    assert row(LARGE, "memory at most")[0] == "**382 MiB**"
    assert row(LARGE, "more than with nothing stored")[0] == "**0.60 s**"


def test_limits_of_answers_are_those_of_one_fleet() -> None:
    assert row(FOUND, "request to answer, 5,000")[2:] == ["5 ms, 25 ms", "p99 10 ms"]
    assert row(FOUND, "request to answer, 1,000 ") == ["1.0 ms", "55.0 ms (50.0-60.0)", "", ""]
    assert row(LARGE, "request to answer, 1,000,000") == ["25.0 ms", "150 ms", "", ""]


def test_what_was_not_measured_is_left_out() -> None:
    text = FOUND.markdown()
    assert "PostgreSQL" not in text
    assert "that all hold an offer" not in text
    assert "report to the next offer" not in text
    assert "1,000,000 endpoints that all hold an offer" in LARGE.markdown()


def test_the_origin_and_the_number_of_repetitions_come_first() -> None:
    first, blank, *_ = FOUND.markdown().splitlines()
    assert first.startswith("5,000 endpoints, 2 repetitions; a figure is the median")
    assert first.endswith(ORIGIN.markdown())
    assert not blank
    assert replace(FOUND, repetitions=1).markdown().startswith("5,000 endpoints, one repetition. 2026-01-02:")


def test_the_drawing_has_a_bar_for_each_measured_ratio() -> None:
    drawing = FOUND.drawing()
    assert drawing.count("<g>") == 2
    assert "reports, clears included, SQLite: 0.25 (0.20-0.30), below what must be" in drawing
    assert "bars: medians of 2" in drawing


def test_it_is_kept_whole() -> None:
    assert EndToEnd.parse(LARGE.build()) == LARGE
