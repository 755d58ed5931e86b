from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.application.documents import durations

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("PT1S", timedelta(seconds=1)),
        ("PT10M", timedelta(minutes=10)),
        ("PT90M", timedelta(minutes=90)),
        ("P1D", timedelta(days=1)),
        ("P1DT12H", timedelta(hours=36)),
        ("PT1H2M3S", timedelta(hours=1, minutes=2, seconds=3)),
        ("PT1H3S", timedelta(hours=1, seconds=3)),
        ("P2W", timedelta(weeks=2)),
        ("P0DT1S", timedelta(seconds=1)),
        ("P3653D", timedelta(days=3653)),
    ],
)
def test_a_duration_is_read(text: str, span: timedelta) -> None:
    assert durations.parse(text) == span


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1DT",
        "P1Y",
        "P1M",
        "PT1.5H",
        "PT1,5H",
        "+PT1M",
        "pt1m",
        "PT1M ",
        "PT1M\n",
        "P1W1D",
        "P1WT1H",
        "PT1S1M",
        "1D",
        "PT٣M",
        "10",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be an ISO 8601 duration"):
        durations.parse(text)


@pytest.mark.parametrize("text", ["-PT1M", "-P1D", "-"])
@pytest.mark.parametrize("parse", [durations.parse, durations.parse_or_zero])
def test_a_negative_duration_is_called_so(parse: Callable[[str], timedelta], text: str) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        parse(text)


@pytest.mark.parametrize("text", ["PT0S", "P0D", "P0W", "P0DT0H"])
def test_zero_is_read_where_it_means_something(text: str) -> None:
    assert durations.parse_or_zero(text) == timedelta(0)


@pytest.mark.parametrize("text", ["P3653DT1S", "P999999999W"])
def test_where_zero_is_read_ten_years_are_the_longest_too(text: str) -> None:
    with pytest.raises(ValueError, match="must be at most ten years"):
        durations.parse_or_zero(text)


@pytest.mark.parametrize("text", ["PT0S", "P0D", "P0W", "P3653DT1S", "P999999999W", "P999999999DT24H"])
def test_durations_are_positive_and_at_most_ten_years(text: str) -> None:
    with pytest.raises(ValueError, match="longer than zero, and at most ten years"):
        durations.parse(text)


@given(st.integers(0, int(durations.LONGEST.total_seconds())))
def test_what_is_built_is_read_back(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert durations.parse_or_zero(durations.build(span)) == span
    assert span == timedelta(0) or durations.parse(durations.build(span)) == span


def test_a_duration_is_built_in_its_shortest_form() -> None:
    assert durations.build(timedelta(hours=36)) == "P1DT12H"
    assert durations.build(timedelta(minutes=90)) == "PT1H30M"
    assert durations.build(timedelta(0)) == "PT0S"
