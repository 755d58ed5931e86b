"""The table of legal moves, and the one function that moves."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from orchestrator.domain.attempts import LEGAL, OPEN, SETTLED, Attempt, AttemptState, IllegalMove, move
from tests.unit.orchestrator.domain.builders import NOW, offer

S = AttemptState
MOVES = {
    (S.OFFERED, S.INSTALLING),
    (S.OFFERED, S.SOAKING),
    (S.OFFERED, S.FAILED),
    (S.OFFERED, S.EXPIRED),
    (S.OFFERED, S.WITHDRAWN),
    (S.INSTALLING, S.SOAKING),
    (S.INSTALLING, S.FAILED),
    (S.INSTALLING, S.EXPIRED),
    (S.INSTALLING, S.WITHDRAWN),
    (S.SOAKING, S.CONFIRMED),
    (S.SOAKING, S.REVERTED),
    (S.CONFIRMED, S.REVERTED),
    (S.WITHDRAWN, S.SOAKING),
    (S.WITHDRAWN, S.FAILED),
    (S.WITHDRAWN, S.REVERTED),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(AttemptState, repeat=2)))
def test_nothing_moves_an_attempt_but_the_table(before: AttemptState, after: AttemptState) -> None:
    attempt = _in(before)
    if (before, after) in MOVES:
        assert move(attempt, after, NOW).state is after
        return
    with pytest.raises(IllegalMove) as caught:
        move(attempt, after, NOW)
    assert (caught.value.before, caught.value.after) == (before, after)


def test_the_table_names_every_state() -> None:
    assert set(LEGAL) == set(AttemptState)


def test_settled_states_say_when_and_why_and_the_others_do_not() -> None:
    for before, after in MOVES:
        moved = move(_in(before), after, NOW, reason="why")
        assert moved.settled_at == (NOW if after in SETTLED else None)
        assert moved.reason == "why"


def test_open_soaking_and_settled_share_no_state() -> None:
    assert not OPEN & SETTLED
    assert OPEN | SETTLED | {S.SOAKING} == set(AttemptState)


def _in(state: AttemptState) -> Attempt:
    return replace(offer(), state=state)
