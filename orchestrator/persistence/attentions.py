"""Endpoints that need attention, the worst first, found by indexes of what is rare.

Rules:
- One lane for each problem, in order of severity; an endpoint is in the first lane whose condition it meets.
- Lanes of failures, health, loops, deadlines, refused topics and unknown versions read partial indexes, which ordinary
  endpoints are not in. The two others pass over the narrow hot rows, and only when the numbers say that there are any.
- A lane goes on after (place, key); the place is the column that its index begins with.

Layer: persistence.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Integer, and_, case, false, func, literal_column, not_, null, select, tuple_

from orchestrator.application.records import AttentionPlace, StoredTrouble
from orchestrator.domain import attentions
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.attentions import Trouble, TroubleKind
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.policies import DEFAULT_POLICY
from orchestrator.persistence import schema
from orchestrator.persistence.instants import from_ms, from_ms_or_none, to_ms
from orchestrator.persistence.rows import ATTEMPT_CODES, TOKEN_CODES
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.directory import Entry
    from orchestrator.persistence.dictionaries import Dictionary

_state, _endpoint, _setback, _parked = (
    schema.endpoint_state.c,
    schema.endpoint.c,
    schema.setback.c,
    schema.parked_push.c,
)
_ACTIVE = TOKEN_CODES[TokenState.ACTIVE]
_OFFERED = ATTEMPT_CODES[AttemptState.OFFERED]
_INSTALLING = ATTEMPT_CODES[AttemptState.INSTALLING]
_RAN = (ATTEMPT_CODES[AttemptState.SOAKING], ATTEMPT_CODES[AttemptState.CONFIRMED])
# As text: an index is used only where its own condition stands, and a parameter is none.
_FAILED: ColumnElement[bool] = literal_column(schema.FAILED_ATTEMPTS)
_UNWELL: ColumnElement[bool] = literal_column(schema.UNWELL)
_RETURNING: ColumnElement[bool] = literal_column(schema.RETURNING)
_UNKNOWN: ColumnElement[bool] = literal_column(schema.UNKNOWN_VERSION)
# The sign keeps the database from walking over the whole application instead of the lane's index.
_KEY: ColumnElement[int] = literal_column("+endpoint_state.id", BigInteger)
_NOTHING: ColumnElement[int] = literal_column("0", Integer)
_NULL: ColumnElement[Any] = null()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lane:
    problem: TroubleKind
    condition: ColumnElement[bool]
    place: ColumnElement[int] = _NOTHING
    since: ColumnElement[Any]
    times: ColumnElement[Any] = _NOTHING
    cause: ColumnElement[Any] = _NULL


async def listed(
    connection: AsyncConnection,
    entry: Entry,
    after: AttentionPlace | None,
    limit: int,
    now: datetime,
    dictionary: Dictionary,
) -> list[StoredTrouble]:
    """Endpoints of an application that need attention, the worst first, after a place, at most `limit`."""
    found: list[StoredTrouble] = []
    higher: list[ColumnElement[bool]] = []
    running = await _running(connection, entry)
    for lane in _lanes(entry, running, now, dictionary):
        severity = attentions.severity(lane.problem)
        if after is None or severity <= after.severity:
            start = after if after is not None and severity == after.severity else None
            statement = _statement(lane, higher, entry, start, limit - len(found))
            found += [_trouble(lane.problem, row, dictionary) for row in await connection.execute(statement)]
        if len(found) == limit:
            break
        higher.append(lane.condition)
    return found


async def _running(connection: AsyncConnection, entry: Entry) -> Mapping[int, int]:
    """How many endpoints run each version, by its number."""
    table = schema.counter
    chosen = select(table.c.version_id, table.c.amount).where(
        table.c.application_id == entry.application.key, table.c.name == "running", table.c.amount > 0
    )
    return {row.version_id: row.amount for row in await connection.execute(chosen)}


def _lanes(entry: Entry, running: Mapping[int, int], now: datetime, dictionary: Dictionary) -> Iterator[_Lane]:
    """The lanes, the worst first."""
    yield from _failures(TroubleKind.EXHAUSTED)
    open_offer = and_(_state.attempt_version_id != 0, _state.attempt_state.in_((_OFFERED, _INSTALLING)))
    recalled = [number for number in running if number and _recalled(number, entry, dictionary)]
    yield _Lane(
        problem=TroubleKind.RECALLED,
        condition=and_(_state.running_id.in_(recalled), ~open_offer) if recalled else false(),
        since=_state.running_ms,
    )
    yield _refused()
    yield _Lane(
        problem=TroubleKind.LOOP,
        condition=and_(_RETURNING, open_offer),
        place=_state.returns,
        since=_state.offered_ms,
        times=_state.returns,
    )
    yield from _failures(TroubleKind.REVERTED, TroubleKind.EXPIRED)
    yield _Lane(
        problem=TroubleKind.UNHEALTHY,
        condition=and_(_UNWELL, _state.attempt_state.in_(_RAN)),
        place=_state.healthy,
        since=func.coalesce(_state.soaking_ms, _state.settled_ms),
    )
    yield from _failures(TroubleKind.FAILED)
    yield from _stalls(entry, now, dictionary)
    yield _Lane(problem=TroubleKind.UNKNOWN, condition=_UNKNOWN, place=_state.running_id, since=_endpoint.registered_ms)
    long_ago = to_ms(now - attentions.UNSEEN_AFTER)
    yield _Lane(
        problem=TroubleKind.UNSEEN,
        condition=and_(
            _state.attempt_state == _OFFERED,
            _state.attempt_version_id != 0,
            _state.offered_ms < long_ago,
            func.coalesce(_state.seen_ms, 0) < long_ago,
        ),
        since=_state.offered_ms,
    )


def _refused() -> _Lane:
    """Endpoints with a topic that the broker does not let us write."""
    refused = select(_parked.endpoint_id).where(_parked.endpoint_id != 0)
    first = select(_parked.topic, _parked.reason_code, _parked.parked_ms).where(_parked.endpoint_id == _state.id)
    return _Lane(
        problem=TroubleKind.REFUSED,
        condition=_state.id.in_(refused),
        since=first.with_only_columns(func.min(_parked.parked_ms)).scalar_subquery(),
        times=first.with_only_columns(func.min(_parked.reason_code)).scalar_subquery(),
        cause=first.with_only_columns(func.min(_parked.topic)).scalar_subquery(),
    )


def _recalled(number: int, entry: Entry, dictionary: Dictionary) -> bool:
    item = entry.catalogue.get(dictionary.version(number))
    return item is not None and item.recalled


def _failures(*problems: TroubleKind) -> Iterator[_Lane]:
    """Endpoints whose latest attempt failed, and was not forgotten by a retry; a lane for each problem."""
    exhausted = TroubleKind.EXHAUSTED in problems
    failed = select(_setback.failures).where(
        _setback.endpoint_id == _state.id,
        _setback.version_id == _state.attempt_version_id,
        _setback.exhausted.is_(exhausted),
    )
    for problem in problems:
        conditions = [_FAILED, failed.exists()]
        if not exhausted:
            conditions.append(_state.attempt_state == ATTEMPT_CODES[AttemptState(problem.value)])
        yield _Lane(
            problem=problem,
            condition=and_(*conditions),
            place=_state.attempt_state,
            since=_state.settled_ms,
            times=failed.scalar_subquery(),
            cause=_state.reason,
        )


def _stalls(entry: Entry, now: datetime, dictionary: Dictionary) -> Iterator[_Lane]:
    """Endpoints that were heard since their offer, and have had no verdict for long."""
    spans = {
        number: attentions.stalled_after(entry.policy_of(dictionary.versions[number]))
        for (application, _), number in dictionary.version_ids.items()
        if application == entry.application.key and dictionary.versions[number] in entry.software
    }
    usual = attentions.stalled_after(DEFAULT_POLICY)
    own = [(_state.attempt_version_id == number, _ms(span)) for number, span in spans.items() if span != usual]
    policies = [DEFAULT_POLICY, *(item.policy for item in entry.catalogue.software)]
    ahead = max(policy.installing - attentions.stalled_after(policy) for policy in policies)
    for problem, code in ((TroubleKind.STALLED, _INSTALLING), (TroubleKind.NOT_TAKEN, _OFFERED)):
        yield _Lane(
            problem=problem,
            condition=and_(
                _state.due_ms.is_not(None),
                _state.due_ms < to_ms(now + ahead),
                _state.attempt_state == code,
                _state.attempt_version_id != 0,
                _state.reached_ms + (case(*own, else_=_ms(usual)) if own else _ms(usual)) < to_ms(now),
            ),
            place=_state.due_ms,
            since=_state.reached_ms,
        )


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def _statement(
    lane: _Lane, higher: Sequence[ColumnElement[bool]], entry: Entry, after: AttentionPlace | None, limit: int
) -> Select[Any]:
    first = entry.application.key * KEY_SPAN
    key = _state.id if lane.place is _NOTHING else _KEY
    conditions = [key > first, key < first + KEY_SPAN, lane.condition, _state.token_state == _ACTIVE]
    # What is not known, such as when it was reached, is null: so is the condition then, and its opposite.
    conditions += [not_(func.coalesce(condition, false())) for condition in higher]
    if after is not None and lane.place is _NOTHING:
        conditions.append(_state.id > after.key)
    elif after is not None:
        conditions.append(tuple_(lane.place, _state.id) > (after.place, after.key))
    order = [_state.id] if lane.place is _NOTHING else [lane.place, _state.id]
    return (
        select(
            _state.id,
            lane.place.label("place"),
            _endpoint.endpoint_id,
            _endpoint.token,
            _endpoint.registered_ms,
            _state.running_id,
            _state.attempt_version_id,
            _state.seen_ms,
            lane.since.label("since"),
            lane.times.label("times"),
            lane.cause.label("cause"),
        )
        .join_from(schema.endpoint_state, schema.endpoint, _endpoint.id == _state.id)
        .where(*conditions)
        .order_by(*order)
        .limit(limit)
    )


def _trouble(problem: TroubleKind, row: Row[Any], dictionary: Dictionary) -> StoredTrouble:
    trouble = Trouble(
        problem=problem,
        endpoint_id=row.endpoint_id,
        running=dictionary.version(row.running_id),
        version=dictionary.version(row.attempt_version_id),
        since=from_ms(row.registered_ms if row.since is None else row.since),
        seen_at=from_ms_or_none(row.seen_ms),
        times=row.times,
        cause=row.cause,
    )
    place = AttentionPlace(severity=attentions.severity(problem), place=row.place, key=row.id)
    return StoredTrouble(place=place, token=row.token, trouble=trouble)
