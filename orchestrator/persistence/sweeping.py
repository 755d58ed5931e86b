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
    Text,
    and_,
    case,
    column,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    values,
)

from orchestrator.application.classes import EndpointClass, Page, Renewal
from orchestrator.application.memberships import ZONE
from orchestrator.application.records import PushMode
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.cohorts import COHORTS
from orchestrator.persistence import dialects, elements, filters, movements, schema, temporary
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.rows import (
    ATTEMPT_CODES,
    ATTEMPT_STATES,
    WAS_ASKED,
    stage_code,
    stage_of,
)
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import CTE, ColumnElement, FromClause, Select, Subquery
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.classes import ClassVerdict, Work
    from orchestrator.application.directory import Entry
    from orchestrator.domain.catalogues import Restriction
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.numbers import Numbers

_state = schema.endpoint_state.c
_OFFERED = ATTEMPT_CODES[AttemptState.OFFERED]
_MOVED = ("n", "id", "hop", *movements.SAID, "pushed")
_UNKNOWN = -1
"""For "nothing was said of its health": nulls are not equal to each other."""
_CLEAR_STATES = (_OFFERED, ATTEMPT_CODES[AttemptState.CONFIRMED], ATTEMPT_CODES[AttemptState.WITHDRAWN])
_IS_OPEN = and_(_state.attempt_version_id != 0, _state.attempt_state == _OFFERED)
_IS_ASKED = _state.asked_id > 0
_TOLD = {Renewal.ASKS: _IS_ASKED, Renewal.SHOWN: or_(_IS_ASKED, _IS_OPEN)}
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
        names = dictionary.names(work.application)
        matches = {name: filters.condition(entry.filters[name].filter, names) for name in used}
        self._bits = [case((matches[name], 1), else_=0) for name in used]
        self._holds = [_hold(restriction, matches) for restriction in entry.catalogue.restrictions]
        self._zoned = entry.catalogue.zoned
        self._zone = elements.text_member(schema.endpoint.c.attributes, ZONE)
        self._plain = and_(_PLAIN, ~self._without_term(entry))
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
        if self._work.renews is not None:
            inside = and_(inside, _TOLD[self._work.renews])
        if self._work.running is None:
            return inside
        return and_(inside, _state.running_id.in_(self._ids(self._work.running)))

    def _ids(self, versions: frozenset[Any]) -> list[int]:
        """The numbers of versions, however their build metadata was written."""
        application, known = self._work.application, self._dictionary.version_ids.items()
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
        """Endpoints that their class does not say all about.

        A work item for all endpoints touches every offer, and a renewal all that it is about.
        """
        if self._work.renews is not None:
            return true()
        return ~self._plain if self._work.running is not None else or_(~self._plain, _IS_OPEN)

    def _without_term(self, entry: Entry) -> ColumnElement[bool]:
        """Plain endpoints whose offer was made before there was a limit that gives its slot back."""
        slotted = entry.catalogue.slotted
        if not slotted:
            return false()
        theirs = _state.attempt_version_id.in_(self._ids(slotted))
        return and_(_IS_OPEN, theirs, _state.reached_ms.is_(None), _state.lapsed == 0)

    async def read(self, end: int) -> tuple[dict[EndpointClass, int], list[int]]:
        """The classes of a page with their sizes, and the keys of its particular endpoints."""
        concerned = self._concerned(end)
        # One of the class stands for all: which restrictions hold it is what they have in common.
        cohort = schema.endpoint.c.cohort if self._looks_beside else literal(0)
        one = func.min(cohort * literal(KEY_SPAN, BigInteger) + _state.id - self._first)
        grouped = (
            select(*self._columns, one.label("one"), func.count().label("size"), func.min(_state.id).label("first"))
            .select_from(self._source)
            .where(concerned, ~self._one_by_one())
            .group_by(*self._columns)
            .subquery()
        )
        rows = await dialects.fetch(self._connection, dialects.rows(list(grouped.columns)))
        rows.sort(key=lambda row: row[-1])
        lone = select(_state.id).where(concerned, self._one_by_one()).order_by(_state.id).subquery()
        keys = await dialects.fetch(self._connection, dialects.rows([lone.c.id]))
        return {self._class(row): row[-2] for row in rows}, [key for (key,) in keys]

    def _class(self, row: Sequence[Any]) -> EndpointClass:
        *numbers, one, _size, _first = row
        cohort, key = divmod(one, KEY_SPAN)
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
            key=self._first + key,
            numbers=tuple(numbers),
        )

    async def write(
        self, page: Page, end: int, verdicts: Sequence[ClassVerdict], numbers: Numbers, at: datetime
    ) -> None:
        """Write the verdicts: history, superseded attempts, pushes, and last the hot rows."""
        await self._connection.execute(delete(temporary.moved))
        moving = insert(temporary.moved).from_select(_MOVED, self._moving(page, end, verdicts))
        await self._connection.execute(moving)
        width = sum(page.classes[item.of] for item in verdicts)
        base = {
            "history": numbers.take("history", movements.ENTRIES * width),
            "attempt": numbers.take("attempt", width),
            "revision": numbers.take("revision", width),
            "at": to_ms(at),
        }
        for statement in movements.statements(verdicts):
            await dialects.run(self._connection, statement, base)

    def _moving(self, page: Page, end: int, verdicts: Sequence[ClassVerdict]) -> Select[Any]:
        """The endpoints that change, in order of key, each with what its class's verdict says."""
        table = self._given(verdicts)
        pairs = zip([*_KEY, *self._marks], list(table.c)[: self._width], strict=True)
        joined = self._source.join(table, and_(*(mine == theirs for mine, theirs in pairs)))
        inside = and_(self._concerned(end), ~self._one_by_one())
        said = [table.c[name] for name in movements.SAID]
        if all(item.most >= page.classes[item.of] for item in verdicts):
            chosen = select(_state.id, table.c.hop, *said).select_from(joined).where(inside).order_by(_state.id)
            return self._with_push(chosen.subquery("chosen"))
        # Those of a class for which there is no room get no offer.
        place = func.row_number().over(partition_by=table.c.verdict, order_by=_state.id).label("place")
        placed = (
            select(_state.id, table.c.hop, place, table.c.most, table.c.opened, _state.asked_id, *said)
            .select_from(joined)
            .where(inside)
            .subquery("placed")
        )
        p = placed.c
        hop = case((p.place <= p.most, p.hop), else_=0).label("hop")
        changed = or_(p.place <= p.most, p.opened == 1, p.ask != p.asked_id)
        chosen = select(p.id, hop, *(p[name] for name in movements.SAID)).where(changed).order_by(p.id)
        return self._with_push(chosen.subquery("chosen"))

    def _with_push(self, chosen: Subquery) -> Select[Any]:
        c = chosen.c
        # Nothing is cleared where nothing is retained; what is asked is retained everywhere.
        pushed = literal(1) if self._retained else case((or_(c.hop != 0, c.ask != 0), 1), else_=0)
        number = func.row_number().over(order_by=c.id).label("n")
        return select(number, *c, pushed.label("pushed")).order_by(c.id)

    def _given(self, verdicts: Sequence[ClassVerdict]) -> CTE:
        """The verdicts as a table: what tells their classes apart, and what they say."""
        zone = self._width - 1 if self._zoned else None
        columns: list[ColumnElement[Any]] = [
            column(f"k{n}", Text if n == zone else BigInteger) for n in range(self._width)
        ]
        columns += [column("verdict", BigInteger), column("hop", BigInteger), column("why", Text)]
        columns += [column(name, BigInteger) for name in ("given_stage", "ask", "due", "most", "opened")]
        data = [self._verdict_row(number, item) for number, item in enumerate(verdicts)]
        # As a common table expression: SQLite names the columns of VALUES nowhere else.
        return values(*columns, name="given").data(data).cte("verdict")

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
        return (
            *item.of.numbers,
            number,
            hop,
            item.reason,
            stage_code(item.stage),
            ask,
            # Also without a value it has a type.
            literal(due, BigInteger),
            item.most,
            int(item.withdraws),
        )


def _hold(restriction: Restriction, matches: Mapping[str, ColumnElement[bool]]) -> ColumnElement[int]:
    """1 for endpoints that a restriction holds."""
    rank = (schema.endpoint.c.cohort + restriction.turned) % COHORTS
    matched = [matches[name] for name in sorted(restriction.filters) if name in matches]
    return case((or_(elements.admitted(rank, restriction.limit, _state.id, restriction.members), *matched), 0), else_=1)
