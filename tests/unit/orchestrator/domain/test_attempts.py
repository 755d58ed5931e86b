"""The table of legal moves, and the functions that move."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

import pytest

from orchestrator.domain.attempts import LEGAL, OPEN, SETTLED, Attempt, AttemptState, IllegalMove, confirm, move, soak
from tests.unit.orchestrator.domain.builders import HOUR, NOW, offer, v

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
    (S.SOAKING, S.FAILED),
    (S.SOAKING, S.EXPIRED),
    (S.SOAKING, S.WITHDRAWN),
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


@pytest.mark.parametrize("before", AttemptState)
def test_confirming_is_the_move_to_soaking_and_the_one_to_confirmed(before: AttemptState) -> None:
    if (before, S.SOAKING) not in MOVES:
        with pytest.raises(IllegalMove) as caught:
            confirm(_in(before), NOW)
        assert (caught.value.before, caught.value.after) == (before, S.SOAKING)
        return
    reached = replace(_in(before), reached_at=NOW - HOUR)
    assert confirm(reached, NOW) == move(move(reached, S.SOAKING, NOW), S.CONFIRMED, NOW)


def test_a_confirmed_attempt_was_reached_by_the_report_at_the_latest() -> None:
    assert confirm(_in(S.OFFERED), NOW).reached_at == NOW
    assert confirm(replace(_in(S.OFFERED), reached_at=NOW - HOUR), NOW).reached_at == NOW - HOUR


@pytest.mark.parametrize("before", AttemptState)
def test_a_soak_begins_by_the_move_to_soaking_and_with_no_report_counted(before: AttemptState) -> None:
    earlier = replace(_in(before), soak_reports=2, soaking_at=NOW - HOUR)
    if (before, S.SOAKING) not in MOVES:
        with pytest.raises(IllegalMove):
            soak(earlier, NOW)
        return
    begun = soak(earlier, NOW)
    assert (begun.state, begun.reached_at, begun.settled_at) == (S.SOAKING, NOW, None)
    assert (begun.soaking_at, begun.soak_reports) == (NOW, 0)
    assert soak(replace(earlier, reached_at=NOW - HOUR), NOW).reached_at == NOW - HOUR


def test_a_slot_is_held_while_an_attempt_is_open_unless_it_has_lapsed_unreached() -> None:
    for state in AttemptState:
        assert _in(state).holds_slot == (state in OPEN)
        assert not replace(_in(state), lapsed=True).holds_slot
    assert replace(_in(S.OFFERED), lapsed=True, reached_at=NOW).holds_slot


def test_a_move_keeps_every_other_field() -> None:
    full = Attempt(
        version=v("2.0.0"),
        number=2,
        sequence=7,
        origin=v("1.0.0"),
        state=S.INSTALLING,
        offered_at=NOW - 3 * HOUR,
        reached_at=NOW - 2 * HOUR,
        settled_at=NOW - HOUR,
        percent=40,
        progress="downloading",
        returns=3,
        returned_at=NOW - HOUR,
        reason="before",
        stage=1,
        soaking_at=NOW - HOUR,
        soak_reports=4,
        healthy=False,
        lapsed=True,
    )
    assert None not in [getattr(full, field.name) for field in fields(full)]
    assert move(full, S.FAILED, NOW, reason="why") == replace(full, state=S.FAILED, settled_at=NOW, reason="why")
    assert confirm(full, NOW) == replace(full, state=S.CONFIRMED, settled_at=NOW, reason=None, healthy=None)
    soaking = replace(full, state=S.SOAKING, settled_at=None, reason=None, soaking_at=NOW, soak_reports=0, healthy=None)
    assert soak(full, NOW) == soaking


def test_open_soaking_and_settled_share_no_state() -> None:
    assert not OPEN & SETTLED
    assert OPEN | SETTLED | {S.SOAKING} == set(AttemptState)


def _in(state: AttemptState) -> Attempt:
    return replace(offer(), state=state)
