from __future__ import annotations

from orchestrator.application.paces import LEAST, LONG_SECONDS, SHORT_SECONDS, Pace


def test_a_long_page_is_followed_by_a_shorter_one_down_to_the_least() -> None:
    pace = Pace(most=4000, size=3000)
    sizes = []
    for _ in range(5):
        pace.took(LONG_SECONDS * 1.5)
        sizes.append(pace.size)
    assert sizes == [1500, LEAST, LEAST, LEAST, LEAST]


def test_a_short_page_is_followed_by_a_longer_one_up_to_the_most() -> None:
    pace = Pace(most=2000)
    assert pace.size == 500
    sizes = []
    for _ in range(3):
        pace.took(SHORT_SECONDS / 2)
        sizes.append(pace.size)
    assert sizes == [1000, 2000, 2000]


def test_a_page_in_between_is_followed_by_one_like_it() -> None:
    pace = Pace(most=2000, size=600)
    pace.took((LONG_SECONDS + SHORT_SECONDS) / 2)
    assert pace.size == 600


def test_a_most_below_the_least_is_kept() -> None:
    pace = Pace(most=3)
    assert pace.size == 1
    pace.took(0)
    pace.took(0)
    assert pace.size == 3
    pace.took(LONG_SECONDS * 2)
    assert pace.size == 3
