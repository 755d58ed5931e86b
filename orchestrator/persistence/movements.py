"""What a page of a sweep writes, one statement per table, from the endpoints that were put into `moved`.

Rules:
- A row of `moved` is one endpoint and what happens to it: its offer is withdrawn, or one is made, or consent is asked.
- Rows are numbered by key, with gaps, so that all statements of a page agree on every identifier.
- A statement that would find nothing to do is left out.

Layer: persistence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, and_, bindparam, case, insert, literal, select, text, update

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import HistoryKind
from orchestrator.persistence import dialects, schema, temporary, writes
from orchestrator.persistence.rows import ATTEMPT_CODES, HISTORY_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import BindParameter, ColumnElement

    from orchestrator.application.classes import ClassVerdict
    from orchestrator.persistence.dialects import Prepared

SAID = ("outcome", "why", "given_stage", "ask", "due")
"""What a verdict says beside the hop."""
ENTRIES = 3
"""History entries of one endpoint at the most: withdrawn, offered, asked."""
_OFFERED = ATTEMPT_CODES[AttemptState.OFFERED]
_WITHDRAWN = ATTEMPT_CODES[AttemptState.WITHDRAWN]
_m, _s = temporary.moved.c, schema.endpoint_state.c
_FOUND = temporary.moved.join(schema.endpoint_state, _s.id == _m.id)
_WAS_OPEN = and_(_s.attempt_version_id != 0, _s.attempt_state == _OFFERED)
_IS_OFFERED = _m.hop != 0
_IS_ASKED = and_(_m.ask > 0, _m.ask != _s.asked_id)


class Outcome(NamedTuple):
    """What the hot rows of offered endpoints have in common."""

    hop: int
    given_stage: int
    ask: int
    due: int | None


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger)


_HISTORY, _AT = _number("history"), _number("at")
_WITHDRAWN_ID, _OFFERED_ID, _ASKED_ID = (_HISTORY + ENTRIES * _m.n - place for place in (2, 1, 0))
_AFTER_WITHDRAWAL = case((_WAS_OPEN, _WITHDRAWN_ID), else_=_s.last_history_id)
_AFTER_OFFER = case((_IS_OFFERED, _OFFERED_ID), else_=_AFTER_WITHDRAWAL)


def _history(
    own: ColumnElement[int],
    before: ColumnElement[int],
    kind: HistoryKind,
    version: ColumnElement[int],
    happened: ColumnElement[bool],
) -> Prepared:
    why = _m.why if kind is HistoryKind.WITHDRAWN else text("NULL")
    rows = select(own, _m.id, before, _AT, literal(HISTORY_CODES[kind]), version, text("NULL"), why)
    chosen = rows.select_from(_FOUND).where(happened)
    return dialects.prepared(insert(schema.history).from_select(list(writes.HISTORY), chosen))


def _superseded() -> Prepared:
    rows = select(
        _number("attempt") + _m.n,
        _m.id,
        _s.attempt_version_id,
        _s.attempt_origin_id,
        _s.attempt_number,
        _s.sequence,
        case((_WAS_OPEN, _WITHDRAWN), else_=_s.attempt_state),
        _s.stage,
        _s.offered_ms,
        _s.reached_ms,
        case((_WAS_OPEN, _AT), else_=_s.settled_ms),
        case((_WAS_OPEN, _m.why), else_=_s.reason),
        _s.healthy,
    )
    chosen = rows.select_from(_FOUND).where(_IS_OFFERED, _s.attempt_version_id != 0)
    return dialects.prepared(insert(schema.attempt).from_select(list(writes.ATTEMPT), chosen))


def _pushes() -> Prepared:
    rows = select(_number("revision") + _m.n, _m.id, text("NULL")).where(_m.pushed != 0)
    return dialects.prepared(insert(schema.push).from_select(list(writes.PUSH), rows))


def _offered() -> Prepared:
    null, zero = text("NULL"), literal(0)
    place = _s.id - _number("after")
    values: dict[str, Any] = {
        "attempt_version_id": _number("hop"),
        "attempt_origin_id": _s.running_id,
        "attempt_number": literal(1),
        "attempt_state": literal(_OFFERED),
        "sequence": _s.sequence + 1,
        "stage": _number("given_stage"),
        "offered_ms": _AT,
        "due_ms": _number("due"),
        # What is offered is always pushed.
        "push_revision": _number("revision") + place,
        "last_history_id": _HISTORY + ENTRIES * place - 1,
        "asked_id": _number("ask"),
    }
    values |= dict.fromkeys(("progress", "returns", "soak_reports", "lapsed"), zero)
    emptied = ("reached_ms", "settled_ms", "percent", "returned_ms", "reason", "soaking_ms", "healthy")
    theirs = select(_m.id).where(_m.outcome == _number("outcome"), _IS_OFFERED)
    offered = update(schema.endpoint_state).where(_s.id.in_(theirs))
    return dialects.prepared(offered.values(values | dict.fromkeys(emptied, null)))


def _not_offered() -> Prepared:
    last = case((_IS_ASKED, _ASKED_ID), (_WAS_OPEN, _WITHDRAWN_ID), else_=_s.last_history_id)
    values: dict[str, Any] = {
        "attempt_state": case((_WAS_OPEN, _WITHDRAWN), else_=_s.attempt_state),
        "settled_ms": case((_WAS_OPEN, _AT), else_=_s.settled_ms),
        "reason": case((_WAS_OPEN, _m.why), else_=_s.reason),
        "push_revision": case((_m.pushed != 0, _number("revision") + _m.n), else_=_s.push_revision),
        "last_history_id": last,
        "asked_id": _m.ask,
    }
    return dialects.prepared(update(schema.endpoint_state).where(_s.id == _m.id, _m.hop == 0).values(values))


_WITHDRAWALS = _history(_WITHDRAWN_ID, _s.last_history_id, HistoryKind.WITHDRAWN, _s.attempt_version_id, _WAS_OPEN)
_OFFERS = _history(_OFFERED_ID, _AFTER_WITHDRAWAL, HistoryKind.OFFERED, _m.hop, _IS_OFFERED)
_ASKS = _history(_ASKED_ID, _AFTER_OFFER, HistoryKind.ASKED, _m.ask, _IS_ASKED)
_SUPERSEDED, _PUSHES, _OTHER_STATE = _superseded(), _pushes(), _not_offered()
OFFERED_STATE = _offered()
"""Rewrites, after `statements`, the rows of one outcome; its parameters are those of an `Outcome`, and what these take.

With what is the same for all of them as parameters it takes half the time.
"""


def statements(verdicts: Sequence[ClassVerdict], *, rationed: bool) -> Iterator[Prepared]:
    """What is to be run for these verdicts, in order; parameters: `history`, `attempt`, `revision`, `at`.

    `rationed`: not all of them have room.

    The rows of those that are offered something come last, by `OFFERED_STATE`: these look at what they were.
    """
    offers = any(item.hop is not None for item in verdicts)
    if any(item.withdraws for item in verdicts):
        yield _WITHDRAWALS
    if offers:
        yield _OFFERS
    if any(item.asks is not None for item in verdicts):
        yield _ASKS
    if offers and any(item.of.attempt is not None for item in verdicts):
        yield _SUPERSEDED
    yield _PUSHES
    if rationed or any(item.hop is None for item in verdicts):
        yield _OTHER_STATE
