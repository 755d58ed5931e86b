"""Buckets by hand-moved time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.application.floods import REMEMBERED, Flood, Floods

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOUD, CALM = (1, "loud"), (1, "calm")


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_minutes_worth_may_come_at_once_and_one_more_may_not() -> None:
    floods = Floods(60)
    assert floods.over({LOUD: 60, CALM: 1}, NOON) == set()
    assert floods.over({LOUD: 1, CALM: 1}, NOON) == {LOUD}


def test_a_bucket_fills_evenly_and_never_beyond_a_minutes_worth() -> None:
    floods = Floods(60)
    floods.over({LOUD: 60}, NOON)
    assert floods.over({LOUD: 10}, later(10)) == set()
    assert floods.over({LOUD: 1}, later(10.5)) == {LOUD}
    floods = Floods(60)
    floods.over({LOUD: 1}, NOON)
    assert floods.over({LOUD: 61}, later(3600)) == {LOUD}


def test_whoever_sends_steadily_what_it_may_never_floods() -> None:
    floods = Floods(60)
    assert not any(floods.over({LOUD: 1}, later(second)) for second in range(600))


def test_an_endpoint_that_floods_is_named_once_and_told_of_until_its_bucket_is_half_full() -> None:
    floods = Floods(60)
    floods.over({LOUD: 1000, CALM: 5}, NOON)
    floods.refuse(LOUD)
    floods.refuse(CALM)
    floods.over({LOUD: 1}, later(1))
    floods.refuse(LOUD)
    assert (floods.begun(), floods.begun()) == ([LOUD], [])
    flood = floods.of(LOUD, later(1))
    assert flood == Flood(since=NOON, refused=2, per_minute=60)
    assert str(flood) == (
        "it floods since 12:00:00 UTC, with more than 60 messages a minute:"
        " 2 of them were refused, only its newest ones are taken"
    )
    assert (floods.count(later(1)), floods.of(CALM, later(1)), floods.of((2, "loud"), later(1))) == (1, None, None)
    # What it owes is a minute's worth, however much came.
    assert floods.count(later(90)) == 1
    assert floods.count(later(91)) == 0
    assert floods.over({LOUD: 30}, later(91)) == set()
    assert floods.of(LOUD, later(91)) is None


def test_a_clock_that_goes_back_fills_nothing_and_breaks_nothing() -> None:
    floods = Floods(60)
    floods.over({LOUD: 60}, NOON)
    assert floods.over({LOUD: 1}, later(-60)) == {LOUD}


def test_as_many_endpoints_are_remembered_as_may_be_those_heard_last() -> None:
    floods = Floods(1, remembered=2)
    floods.over({LOUD: 5}, NOON)
    floods.over({CALM: 5}, NOON)
    floods.over({LOUD: 1}, NOON)
    floods.over({(1, "third"): 1}, NOON)
    assert floods.of(LOUD, NOON) is not None
    assert floods.of(CALM, NOON) is None
    assert REMEMBERED == 10_000
