from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.application.outages import Outages

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTHING = timedelta()


@pytest.mark.parametrize(
    ("first", "last", "covered"),
    [
        (0, 10, 3),
        (1, 2, 1),
        (1.5, 2, 0.5),
        (0, 1.25, 0.25),
        (2, 4, 0),
        (4.5, 5.5, 1),
        (1.5, 4.5, 1),
        (6, 9, 0),
        (-3, 0, 0),
    ],
)
def test_the_covered_part_of_a_span_is_summed_up(first: float, last: float, covered: float) -> None:
    outages = Outages([(NOON + HOUR, NOON + 2 * HOUR)])
    outages.add(NOON + 4 * HOUR, NOON + 6 * HOUR)
    assert outages.within(NOON + first * HOUR, NOON + last * HOUR) == covered * HOUR


def test_without_outages_nothing_is_covered() -> None:
    assert Outages().within(NOON, NOON + HOUR) == NOTHING


def test_an_outage_longer_than_the_span_covers_all_of_it() -> None:
    outages = Outages([(NOON - HOUR, NOON + HOUR)])
    assert outages.within(NOON, NOON + HOUR / 2) == HOUR / 2
