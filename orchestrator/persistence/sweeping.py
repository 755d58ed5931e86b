"""A page of a sweep in SQL: endpoints grouped by class, and each page's verdicts written by one statement per table.

Rules:
- "Plain" endpoints are those whose class says all: no setback, consent, pin or timer, token active, pushes wanted, and
  a latest attempt that is neither started nor failed. All others are handed out one by one.
- Rows are numbered in order of key, so that the statements of one page agree on every identifier.

Layer: persistence.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    column,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
    values,
)

from orchestrator.application.records import PushMode
from orchestrator.application.sweeps import EndpointClass, Page
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import HistoryKind
from orchestrator.persistence import dialects, filters, schema, writes
from orchestrator.persistence.filters import Names
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.rows import ATTEMPT_CODES, ATTEMPT_STATES, HISTORY_CODES
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter, ColumnElement, FromClause, Select, Subquery
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.directory import Entry
    from orchestrator.application.sweeps import ClassVerdict, Work
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.numbers import Numbers

_state = schema.endpoint_state.c
_OFFERED = ATTEMPT_CODES[AttemptState.OFFERED]
_WITHDRAWN = ATTEMPT_CODES[AttemptState.WITHDRAWN]
_CLEAR_STATES = (_OFFERED, ATTEMPT_CODES[AttemptState.CONFIRMED], _WITHDRAWN)
_IS_OPEN = and_(_state.attempt_version_id != 0, _state.attempt_state == _OFFERED)
_PLAIN = and_(
    _state.token_state == 0,
    _state.observe.is_(True),
    _state.setbacks.is_(False),
    _state.consents.is_(False),
    _state.pinned_id.is_(None),
    _state.due_ms.is_(None),
    or_(_state.attempt_version_id == 0, _state.attempt_state.in_(_CLEAR_STATES)),
)
_KEY_COLUMNS = ("running_id", "attempt_version_id", "attempt_origin_id", "attempt_state")


class Sweep:
    """The statements for one application as it is now."""

    def __init__(self, connection: AsyncConnection, work: Work, entry: Entry, dictionary: Dictionary) -> None:
        """Work on a connection whose transaction has begun."""
        self._connection = connection
        self._work = work
        self._dictionary = dictionary
        self._retained = entry.application.push is PushMode.RETAINED
        used = sorted(entry.catalogue.filters_in_use & entry.filters.keys())
        self._filter_ids = tuple(used)
        names = Names.of(dictionary, work.application)
        self._bits = [case((filters.condition(entry.filters[name].filter, names), 1), else_=0) for name in used]

    @cached_property
    def _source(self) -> FromClause:
        if not self._bits:
            return schema.endpoint_state
        return schema.endpoint_state.join(schema.endpoint, schema.endpoint.c.id == _state.id)

    @cached_property
    def _columns(self) -> list[ColumnElement[Any]]:
        bits = [bit.label(f"bit{n}") for n, bit in enumerate(self._bits)]
        return [*(_state[name] for name in _KEY_COLUMNS), *bits]

    def _concerned(self, end: int) -> ColumnElement[bool]:
        inside = and_(_state.id > max(self._work.cursor, self._first), _state.id <= end)
        if self._work.running is None:
            return inside
        return and_(inside, _state.running_id.in_(self._running_ids(self._work.running)))

    def _running_ids(self, versions: frozenset[Any]) -> list[int]:
        application = self._work.application
        known = self._dictionary.version_ids.items()
        ids = [
            number
            for (app, name), number in known
            if app == application and self._dictionary.versions[number] in versions
        ]
        return [*ids, 0] if None in versions else ids

    @property
    def _first(self) -> int:
        return self._work.application * KEY_SPAN

    async def end(self, limit: int) -> int | None:
        """Key of the last endpoint of the next page; None when there is none."""
        after = max(self._work.cursor, self._first)
        keys = select(_state.id).where(_state.id > after, _state.id < self._first + KEY_SPAN)
        page = keys.order_by(_state.id).limit(limit).subquery()
        end: int | None = (await self._connection.execute(select(func.max(page.c.id)))).scalar()
        return end

    def _one_by_one(self) -> ColumnElement[bool]:
        """Endpoints that their class does not say all about; a work item for all endpoints touches every offer."""
        return ~_PLAIN if self._work.running is not None else or_(~_PLAIN, _IS_OPEN)

    async def read(self, end: int) -> tuple[dict[EndpointClass, int], list[int]]:
        """The classes of a page with their sizes, and the keys of its particular endpoints."""
        concerned = self._concerned(end)
        grouped = (
            select(*self._columns, func.count().label("size"))
            .select_from(self._source)
            .where(concerned, ~self._one_by_one())
            .group_by(*self._columns)
            .subquery()
        )
        rows = await dialects.fetch(self._connection, dialects.rows_as_json(list(grouped.columns)))
        lone = select(_state.id).where(concerned, self._one_by_one()).order_by(_state.id).subquery()
        keys = await dialects.fetch(self._connection, dialects.rows_as_json([lone.c.id]))
        return {self._class(row): row[-1] for row in rows}, [key for (key,) in keys]

    def _class(self, row: Sequence[Any]) -> EndpointClass:
        running_id, attempt_id, origin_id, state, *bits, _ = row
        return EndpointClass(
            running=self._dictionary.version(running_id),
            attempt=self._dictionary.version(attempt_id),
            origin=self._dictionary.version(origin_id),
            state=ATTEMPT_STATES[state],
            filters=frozenset(name for name, bit in zip(self._filter_ids, bits, strict=True) if bit),
            numbers=(running_id, attempt_id, origin_id, state),
        )

    async def write(
        self, page: Page, end: int, verdicts: Sequence[ClassVerdict], numbers: Numbers, at: datetime
    ) -> None:
        """Write the verdicts: history, superseded attempts, pushes, and last the hot rows."""
        moved = self._moved(end, verdicts)
        width = sum(page.classes[item.of] for item in verdicts)
        base = {
            "history": numbers.take("history", 2 * width),
            "attempt": numbers.take("attempt", width),
            "revision": numbers.take("revision", width),
            "at": to_ms(at),
        }
        for statement in _statements(moved):
            await self._connection.execute(statement, base)

    def _moved(self, end: int, verdicts: Sequence[ClassVerdict]) -> Subquery:
        bits = [column(f"bit{n}", Integer) for n in range(len(self._bits))]
        columns: list[ColumnElement[Any]] = [column(f"v_{name}", Integer) for name in _KEY_COLUMNS]
        columns += [*bits, column("hop", Integer), column("why", Text)]
        # As a common table expression: SQLite names the columns of VALUES nowhere else.
        table = values(*columns, name="given").data([self._verdict_row(item) for item in verdicts]).cte("verdict")
        same = [
            mine == theirs
            for mine, theirs in zip(self._columns_bare, list(table.columns)[: len(self._columns_bare)], strict=True)
        ]
        rank = func.row_number().over(order_by=_state.id).label("n")
        # Nothing is cleared where nothing is retained.
        pushed = literal(1) if self._retained else case((table.c.hop != 0, 1), else_=0)
        return (
            select(schema.endpoint_state, table.c.hop, table.c.why, rank, pushed.label("pushed"))
            .select_from(self._source.join(table, and_(*same)))
            .where(self._concerned(end), ~self._one_by_one())
            .subquery("moved")
        )

    @cached_property
    def _columns_bare(self) -> list[ColumnElement[Any]]:
        return [*(_state[name] for name in _KEY_COLUMNS), *self._bits]

    def _verdict_row(self, item: ClassVerdict) -> tuple[Any, ...]:
        bits = [int(name in item.of.filters) for name in self._filter_ids]
        hop = self._dictionary.number(self._work.application, item.hop)
        return (*item.of.numbers, *bits, hop, item.reason)


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger)


def _was_open(moved: Subquery) -> ColumnElement[bool]:
    return and_(moved.c.attempt_version_id != 0, moved.c.attempt_state == _OFFERED)


def _statements(moved: Subquery) -> list[Any]:
    pushes = select(_number("revision") + moved.c.n, moved.c.id, text("NULL")).where(moved.c.pushed != 0)
    return [
        *_histories(moved),
        insert(schema.attempt).from_select(list(writes.ATTEMPT), _superseded(moved)),
        insert(schema.push).from_select(list(writes.PUSH), pushes),
        update(schema.endpoint_state).where(_state.id == moved.c.id).values(_new_state(moved)),
    ]


def _histories(moved: Subquery) -> list[Any]:
    m, history, at = moved.c, _number("history"), _number("at")
    was_open = _was_open(moved)
    withdrawn_id, offered_id = history + 2 * m.n - 1, history + 2 * m.n
    withdrawn = select(
        withdrawn_id,
        m.id,
        m.last_history_id,
        at,
        literal(HISTORY_CODES[HistoryKind.WITHDRAWN]),
        m.attempt_version_id,
        text("NULL"),
        m.why,
    ).where(was_open)
    offered = select(
        offered_id,
        m.id,
        case((was_open, withdrawn_id), else_=m.last_history_id),
        at,
        literal(HISTORY_CODES[HistoryKind.OFFERED]),
        m.hop,
        text("NULL"),
        text("NULL"),
    ).where(m.hop != 0)
    return [insert(schema.history).from_select(list(writes.HISTORY), rows) for rows in (withdrawn, offered)]


def _superseded(moved: Subquery) -> Select[Any]:
    m, at, was_open = moved.c, _number("at"), _was_open(moved)
    return select(
        _number("attempt") + m.n,
        m.id,
        m.attempt_version_id,
        m.attempt_origin_id,
        m.attempt_number,
        m.sequence,
        case((was_open, _WITHDRAWN), else_=m.attempt_state),
        m.stage,
        m.offered_ms,
        m.reached_ms,
        case((was_open, at), else_=m.settled_ms),
        case((was_open, m.why), else_=m.reason),
    ).where(m.hop != 0, m.attempt_version_id != 0)


def _new_state(moved: Subquery) -> dict[str, Any]:
    m = moved.c
    history, revision, at = _number("history"), _number("revision"), _number("at")
    offered = m.hop != 0
    kept = {
        "attempt_version_id": m.hop,
        "attempt_origin_id": m.running_id,
        "attempt_number": literal(1),
        "offered_ms": at,
        "reached_ms": text("NULL"),
        "settled_ms": text("NULL"),
        "percent": text("NULL"),
        "progress": literal(0),
        "returns": literal(0),
        "returned_ms": text("NULL"),
        "reason": text("NULL"),
    }
    changed: dict[str, Any] = {name: case((offered, value), else_=m[name]) for name, value in kept.items()}
    changed["settled_ms"] = case((offered, text("NULL")), else_=at)
    changed["reason"] = case((offered, text("NULL")), else_=m.why)
    changed["attempt_state"] = case((offered, _OFFERED), else_=_WITHDRAWN)
    changed["sequence"] = m.sequence + case((offered, 1), else_=0)
    changed["push_revision"] = case((m.pushed != 0, revision + m.n), else_=m.push_revision)
    changed["last_history_id"] = case((offered, history + 2 * m.n), else_=history + 2 * m.n - 1)
    return changed
