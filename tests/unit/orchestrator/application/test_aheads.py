from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.aheads import MOST, Ahead
from tests.unit.orchestrator.application.subjects import PUSH

if TYPE_CHECKING:
    from orchestrator.application.pushes import Push


def own(revision: int, key: int = 0) -> Push:
    """A push of an endpoint of its own, unless one is named."""
    return replace(PUSH, revision=revision, latest=revision, key=key or revision)


def revisions(pushes: list[Push]) -> list[int]:
    return [push.revision for push in pushes]


@pytest.fixture
def ahead() -> Ahead:
    made = Ahead()
    made.reset(10)
    return made


def test_what_goes_on_from_what_is_here_is_taken_in_order(ahead: Ahead) -> None:
    assert not ahead
    ahead.extend([own(11), own(13)], since=10, upto=13)
    ahead.extend([own(20)], since=13, upto=20)
    assert (bool(ahead), ahead.upto) == (True, 20)
    assert revisions(ahead.take(2)) == [11, 13]
    assert revisions(ahead.take(2)) == [20]
    assert ahead.take(2) == []
    assert (bool(ahead), ahead.upto) == (False, 20)


def test_nothing_is_taken_in_where_others_may_come_before(ahead: Ahead) -> None:
    ahead.extend([own(13)], since=12, upto=13)
    assert (bool(ahead), ahead.upto) == (False, 10)


def test_what_is_here_already_is_not_taken_in_twice(ahead: Ahead) -> None:
    ahead.extend([own(11), own(12)], since=10, upto=12)
    ahead.extend([own(11), own(12), own(14)], since=10, upto=15)
    ahead.extend([own(12)], since=10, upto=12)
    assert revisions(ahead.take(9)) == [11, 12, 14]
    assert ahead.upto == 15


def test_that_nothing_was_found_is_known_from_then_on(ahead: Ahead) -> None:
    ahead.extend([], since=10, upto=17)
    assert (bool(ahead), ahead.upto) == (False, 17)


def test_what_was_handed_over_is_known_by_its_endpoints_as_long_as_it_is_here(ahead: Ahead) -> None:
    ahead.extend([own(11, 5)], since=10, upto=11)
    assert (ahead.handed, ahead.tells_of([5])) == (False, False)
    ahead.hand([own(12, 6), own(13, 7)], since=11)
    assert (ahead.handed, ahead.tells_of([7, 8]), ahead.tells_of([8])) == (True, True, False)
    assert revisions(ahead.take(9)) == [11, 12, 13]
    assert (ahead.handed, ahead.tells_of([7])) == (False, False)


def test_what_is_forgotten_is_gone_on_from_where_it_was_taken_last(ahead: Ahead) -> None:
    ahead.hand([own(11), own(12), own(13)], since=10)
    ahead.take(1)
    ahead.forget()
    assert (bool(ahead), ahead.handed, ahead.upto) == (False, False, 11)


def test_no_more_is_handed_over_than_soon_is_sent(ahead: Ahead) -> None:
    many = [own(number) for number in range(11, 11 + MOST)]
    last = many[-1].revision
    ahead.hand(many, since=10)
    ahead.hand([own(last + 1)], since=last)
    assert ahead.upto == last
    assert len(ahead.take(2 * MOST)) == MOST


def test_nothing_is_handed_over_where_others_may_come_before(ahead: Ahead) -> None:
    ahead.hand([own(13)], since=12)
    assert (bool(ahead), ahead.handed, ahead.upto) == (False, False, 10)


def test_what_is_above_is_left_out_and_comes_with_the_next(ahead: Ahead) -> None:
    ahead.extend([own(11), own(14)], since=10, upto=12)
    ahead.extend([own(14)], since=12, upto=14)
    assert revisions(ahead.take(9)) == [11, 14]


def test_a_reading_that_began_before_the_place_was_changed_brings_nothing_wrong(ahead: Ahead) -> None:
    ahead.reset(4)
    ahead.extend([own(12)], since=10, upto=12)
    assert (bool(ahead), ahead.upto) == (False, 4)
    ahead.reset(11)
    ahead.extend([own(11), own(12)], since=10, upto=12)
    assert revisions(ahead.take(9)) == [12]
