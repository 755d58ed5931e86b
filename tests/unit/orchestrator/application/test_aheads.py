from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.application.aheads import MOST, Ahead
from orchestrator.application.pushes import OFFER, Push
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import TokenState
from tests.unit.orchestrator.domain.builders import v

PUSH = Push(
    revision=0,
    key=0,
    topic=None,
    application=1,
    app_version="kettle-v1",
    token="tok",
    latest=0,
    version=v("1.1.0"),
    state=AttemptState.OFFERED,
    observe=True,
    token_state=TokenState.ACTIVE,
)


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


def test_of_whom_a_later_push_says_everything_is_superseded(ahead: Ahead) -> None:
    offer = replace(own(12, 5), topic=OFFER, latest=7)
    left = replace(own(13, 5), topic="kp1/old", key=0, latest=0)
    ahead.extend([own(11, 5), offer, left], since=10, upto=13)
    ahead.extend([own(14, 5), own(15)], since=13, upto=15)
    taken = ahead.take(9)
    assert revisions(taken) == [11, 12, 13, 14, 15]
    assert [push.superseded for push in taken] == [True, True, False, False, False]


def test_an_offer_that_is_sent_again_supersedes_nothing(ahead: Ahead) -> None:
    ahead.extend([own(11, 5), replace(own(12, 5), topic=OFFER, latest=11)], since=10, upto=12)
    assert [push.superseded for push in ahead.take(9)] == [False, False]


def test_no_more_is_kept_than_soon_is_sent_and_who_is_newer_elsewhere_is_known(ahead: Ahead) -> None:
    many = [own(number) for number in range(11, 11 + MOST)]
    ahead.extend(many, since=10, upto=many[-1].revision)
    last = many[-1].revision
    ahead.extend([own(last + 1, 11)], since=last, upto=last + 1)
    assert ahead.upto == last
    taken = ahead.take(2)
    assert [push.superseded for push in taken] == [True, False]
    assert len(ahead.take(MOST)) == MOST - 2
    # What was left out is read now, and is not superseded by itself.
    ahead.extend([own(last + 1, 11)], since=last, upto=last + 1)
    assert [push.superseded for push in ahead.take(9)] == [False]


def test_a_reading_that_began_before_the_place_was_changed_brings_nothing_wrong(ahead: Ahead) -> None:
    ahead.reset(4)
    ahead.extend([own(12)], since=10, upto=12)
    assert (bool(ahead), ahead.upto) == (False, 4)
    ahead.reset(11)
    ahead.extend([own(11), own(12)], since=10, upto=12)
    assert revisions(ahead.take(9)) == [12]
