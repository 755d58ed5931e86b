from __future__ import annotations

from datetime import timedelta

from orchestrator.application.retentions import OUTAGES_KEPT, Remains, Retention, Term

DAY = timedelta(days=1)


def test_history_and_the_attempts_behind_it_are_kept_for_the_same_time() -> None:
    retention = Retention(history=DAY, audit=Term(span=2 * DAY, most=3), dead_letters=Term(most=4))
    assert retention.term(Remains.HISTORY) == retention.term(Remains.ATTEMPTS) == Term(span=DAY)
    assert retention.term(Remains.AUDIT) == Term(span=2 * DAY, most=3)
    assert retention.term(Remains.DEAD_LETTERS) == Term(most=4)


def test_without_a_word_everything_is_kept_but_outages_that_are_long_over() -> None:
    endless = {what for what in Remains if Retention().term(what).endless}
    assert endless == set(Remains) - {Remains.OUTAGES}
    assert Retention().term(Remains.OUTAGES).span == OUTAGES_KEPT
