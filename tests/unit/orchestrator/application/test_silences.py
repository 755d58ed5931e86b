from __future__ import annotations

from orchestrator.application.silences import Silences


def test_before_a_round_nothing_is_known() -> None:
    silences = Silences()
    assert (silences.of(1), silences.total) == (None, 0)


def test_a_round_counts_every_application_and_says_whose_number_has_changed() -> None:
    silences = Silences()
    assert silences.count([1, 2, 3], {1: 2, 2: 1}) == {1, 2, 3}
    assert (silences.of(1), silences.of(2), silences.of(3), silences.total) == (2, 1, 0, 3)
    assert silences.count([1, 2, 3], {1: 2, 3: 1}) == {2, 3}
    assert (silences.of(2), silences.total) == (0, 3)
    assert silences.count([1, 2, 3], {1: 2, 3: 1}) == set()


def test_an_application_that_is_new_or_gone_has_none_silent() -> None:
    silences = Silences()
    silences.count([1], {1: 2})
    assert silences.of(2) == 0
    assert silences.count([2], {}) == set()
    assert (silences.of(1), silences.total) == (0, 0)
