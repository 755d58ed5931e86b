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

from orchestrator.application.classes import EndpointClass, Page
from orchestrator.application.memberships import ZONE
from orchestrator.application.records import PushMode
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.endpoints import HistoryKind
from orchestrator.persistence import dialects, filters, schema, writes
from orchestrator.persistence.filters import Names
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.rows import (
    ATTEMPT_CODES,
    ATTEMPT_STATES,
    HISTORY_CODES,
    WAS_ASKED,
    stage_code,
    stage_of,
)
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter, ColumnElement, FromClause, Select, Subquery
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.classes import ClassVerdict, Work
    from orchestrator.application.directory import Entry
    from orchestrator.domain.catalogues import Restriction
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.numbers import Numbers

_state = schema.endpoint_state.c
_OFFERED = ATTEMPT_CODES[AttemptState.OFFERED]
_WITHDRAWN = ATTEMPT_CODES[AttemptState.WITHDRAWN]
_SAID = ("why", "given_stage", "ask", "due")
"""What a verdict says beside the hop."""
_ENTRIES = 3
"""History entries of one endpoint at the most: withdrawn, offered, asked."""
_UNKNOWN = -1
"""For "nothing was said of its health": nulls are not equal to each other."""
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
_KEY: tuple[ColumnElement[Any], ...] = (
    _state.running_id,
    _state.attempt_version_id,
    _state.attempt_origin_id,
    _state.attempt_state,
    _state.stage,
    case((_state.reached_ms.is_(None), 0), else_=1).label("reached"),
    func.coalesce(_state.healthy, _UNKNOWN).label("healthy"),
    _state.lapsed,
    _state.asked_id,
)


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
        matches = {name: filters.condition(entry.filters[name].filter, names) for name in used}
        self._bits = [case((matches[name], 1), else_=0) for name in used]
        self._holds = [_hold(restriction, matches) for restriction in entry.catalogue.restrictions]
        self._zoned = entry.catalogue.zoned
        self._zone = dialects.text_member(schema.endpoint.c.attributes, ZONE)
        self._looks_beside = bool(self._bits or self._holds or self._zoned)

    @cached_property
    def _source(self) -> FromClause:
        if not self._looks_beside:
            return schema.endpoint_state
        return schema.endpoint_state.join(schema.endpoint, schema.endpoint.c.id == _state.id)

    @cached_property
    def _marks(self) -> list[ColumnElement[Any]]:
        """What tells classes apart beside the columns of the hot row: filters, restrictions, the time zone."""
        return [*self._bits, *self._holds, *([self._zone] if self._zoned else [])]

    @cached_property
    def _columns(self) -> list[ColumnElement[Any]]:
        marks = [mark.label(f"mark{n}") for n, mark in enumerate(self._marks)]
        return [*_KEY, *marks]

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
        # One of the class stands for all: which restrictions hold it is what they have in common.
        cohort = func.min(schema.endpoint.c.cohort) if self._looks_beside else literal(0)
        grouped = (
            select(*self._columns, cohort.label("cohort"), func.count().label("size"))
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
        *numbers, cohort, _size = row
        running_id, attempt_id, origin_id, state, stage, reached, healthy, lapsed, asked_id, *marks = numbers
        bits = marks[: len(self._bits)]
        holds = marks[len(self._bits) : len(self._bits) + len(self._holds)]
        return EndpointClass(
            running=self._dictionary.version(running_id),
            attempt=self._dictionary.version(attempt_id),
            origin=self._dictionary.version(origin_id),
            state=ATTEMPT_STATES[state],
            filters=frozenset(name for name, bit in zip(self._filter_ids, bits, strict=True) if bit),
            stage=stage_of(stage),
            reached=bool(reached),
            healthy=None if healthy == _UNKNOWN else bool(healthy),
            lapsed=bool(lapsed),
            asked=self._dictionary.version(asked_id) if asked_id > 0 else None,
            held=sum(bit << place for place, bit in enumerate(holds)),
            zone=marks[-1] or None if self._zoned else None,
            cohort=cohort,
            numbers=tuple(numbers),
        )

    async def write(
        self, page: Page, end: int, verdicts: Sequence[ClassVerdict], numbers: Numbers, at: datetime
    ) -> None:
        """Write the verdicts: history, superseded attempts, pushes, and last the hot rows."""
        moved = self._moved(end, verdicts)
        width = sum(page.classes[item.of] for item in verdicts)
        base = {
            "history": numbers.take("history", _ENTRIES * width),
            "attempt": numbers.take("attempt", width),
            "revision": numbers.take("revision", width),
            "at": to_ms(at),
        }
        for statement in _statements(moved):
            await self._connection.execute(statement, base)

    def _moved(self, end: int, verdicts: Sequence[ClassVerdict]) -> Subquery:
        """The endpoints that change, numbered in order of key, each with what its class's verdict says."""
        placed = self._placed(end, verdicts)
        p = placed.c
        # Those of a class for which there is no room get no offer.
        hop = case((p.place <= p.most, p.hop), else_=0).label("hop")
        states = [p[column.name] for column in schema.endpoint_state.columns]
        made = select(*states, hop, *(p[name] for name in _SAID)).subquery("made")
        m = made.c
        # Nothing is cleared where nothing is retained.
        asked = m.ask != m.asked_id
        pushed = literal(1) if self._retained else case((or_(m.hop != 0, asked), 1), else_=0)
        number = func.row_number().over(order_by=m.id).label("n")
        changed = or_(m.hop != 0, asked, _was_open(made))
        return select(*m, number, pushed.label("pushed")).where(changed).subquery("moved")

    def _placed(self, end: int, verdicts: Sequence[ClassVerdict]) -> Subquery:
        """The endpoints of the classes that there are verdicts on, each with its place among those of its class."""
        zone = self._width - 1 if self._zoned else None
        columns: list[ColumnElement[Any]] = [
            column(f"k{n}", Text if n == zone else Integer) for n in range(self._width)
        ]
        columns += [column("verdict", Integer), column("hop", Integer), column("why", Text)]
        columns += [column(name, Integer) for name in ("given_stage", "ask", "due", "most")]
        # As a common table expression: SQLite names the columns of VALUES nowhere else.
        data = [self._verdict_row(number, item) for number, item in enumerate(verdicts)]
        table = values(*columns, name="given").data(data).cte("verdict")
        pairs = zip([*_KEY, *self._marks], list(table.c)[: self._width], strict=True)
        same = [mine == theirs for mine, theirs in pairs]
        place = func.row_number().over(partition_by=table.c.verdict, order_by=_state.id).label("place")
        return (
            select(schema.endpoint_state, place, table.c.most, table.c.hop, *(table.c[name] for name in _SAID))
            .select_from(self._source.join(table, and_(*same)))
            .where(self._concerned(end), ~self._one_by_one())
            .subquery("placed")
        )

    @property
    def _width(self) -> int:
        return len(_KEY) + len(self._marks)

    def _verdict_row(self, number: int, item: ClassVerdict) -> tuple[Any, ...]:
        named = self._dictionary.number
        hop, asks = named(self._work.application, item.hop), named(self._work.application, item.asks)
        asked_id = item.of.numbers[len(_KEY) - 1]
        # Once asked, its topic is kept up to date.
        ask = asks or (WAS_ASKED if asked_id else 0)
        due = None if item.hop is None or item.due_at is None else to_ms(item.due_at)
        return (*item.of.numbers, number, hop, item.reason, stage_code(item.stage), ask, due, item.most)


def _hold(restriction: Restriction, matches: Mapping[str, ColumnElement[bool]]) -> ColumnElement[int]:
    """1 for endpoints that a restriction holds."""
    rank = (schema.endpoint.c.cohort + restriction.turned) % COHORTS
    matched = [matches[name] for name in sorted(restriction.filters) if name in matches]
    return case((or_(rank < restriction.limit, *matched), 0), else_=1)


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
    was_open, offered, asked = _was_open(moved), m.hop != 0, _asks(moved)
    withdrawn_id, offered_id, asked_id = (history + _ENTRIES * m.n - place for place in (2, 1, 0))
    after_withdrawal = case((was_open, withdrawn_id), else_=m.last_history_id)
    after_offer = case((offered, offered_id), else_=after_withdrawal)
    null = text("NULL")
    entries = (
        (withdrawn_id, m.last_history_id, HistoryKind.WITHDRAWN, m.attempt_version_id, m.why, was_open),
        (offered_id, after_withdrawal, HistoryKind.OFFERED, m.hop, null, offered),
        (asked_id, after_offer, HistoryKind.ASKED, m.ask, null, asked),
    )
    return [
        insert(schema.history).from_select(
            list(writes.HISTORY),
            select(own, m.id, before, at, literal(HISTORY_CODES[kind]), version, null, why).where(happened),
        )
        for own, before, kind, version, why, happened in entries
    ]


def _asks(moved: Subquery) -> ColumnElement[bool]:
    return and_(moved.c.ask > 0, moved.c.ask != moved.c.asked_id)


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
        m.healthy,
    ).where(m.hop != 0, m.attempt_version_id != 0)


def _new_state(moved: Subquery) -> dict[str, Any]:
    m, null = moved.c, text("NULL")
    history, at = _number("history"), _number("at")
    offered, was_open = m.hop != 0, _was_open(moved)
    fresh: dict[str, Any] = {
        "attempt_version_id": m.hop,
        "attempt_origin_id": m.running_id,
        "attempt_number": literal(1),
        "stage": m.given_stage,
        "offered_ms": at,
        "due_ms": m.due,
    }
    fresh |= dict.fromkeys(("progress", "returns", "soak_reports", "lapsed"), literal(0))
    fresh |= dict.fromkeys(("reached_ms", "percent", "returned_ms", "soaking_ms", "healthy"), null)
    changed: dict[str, ColumnElement[Any]] = {
        name: case((offered, value), else_=m[name]) for name, value in fresh.items()
    }
    changed["settled_ms"] = case((offered, null), (was_open, at), else_=m.settled_ms)
    changed["reason"] = case((offered, null), (was_open, m.why), else_=m.reason)
    changed["attempt_state"] = case((offered, _OFFERED), (was_open, _WITHDRAWN), else_=m.attempt_state)
    changed["sequence"] = m.sequence + case((offered, 1), else_=0)
    changed["asked_id"] = m.ask
    changed["push_revision"] = case((m.pushed != 0, _number("revision") + m.n), else_=m.push_revision)
    last = history + _ENTRIES * m.n
    changed["last_history_id"] = case(
        (_asks(moved), last), (offered, last - 1), (was_open, last - 2), else_=m.last_history_id
    )
    return changed
