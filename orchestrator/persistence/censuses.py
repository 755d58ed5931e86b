"""How many endpoints of each kind an application has, for a plan.

Rules:
- It is one consistent read beside the writer, which it never holds up.
- Endpoints of which only the running version matters are taken from the numbers; only the others are counted, by one
  scan. When filters are given, all are: whom they match is in no number.

Layer: persistence; no I/O beyond the connection that is handed in.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import BigInteger, and_, case, func, literal, null, or_, select

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.plans import Kind
from orchestrator.persistence import dialects, filters, schema
from orchestrator.persistence.filters import Names
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.rows import ATTEMPT_CODES, TOKEN_STATES
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, FromClause
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.domain.filters import Filter
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dictionaries import Dictionary

_state = schema.endpoint_state.c
_INSTALLS = and_(_state.attempt_version_id != 0, _state.attempt_state == ATTEMPT_CODES[AttemptState.INSTALLING])
_PARTICULAR = or_(_state.token_state != 0, _state.setbacks.is_(True), _state.pinned_id.is_not(None), _INSTALLS)
_BITS = 60
"""Filters whose matches are told by one number."""


class Census:
    """The statements for one application."""

    def __init__(self, application: int, asked: Sequence[Filter], at: datetime, dictionary: Dictionary) -> None:
        """Count an application's endpoints at an instant, with the filters that match."""
        self._application = application
        self._asked = tuple(asked)
        self._at = to_ms(at)
        self._dictionary = dictionary
        self._names = Names.of(dictionary, application)
        self._inside = _state.id.between(application * KEY_SPAN, (application + 1) * KEY_SPAN - 1)

    async def take(self, connection: AsyncConnection) -> Counter[Kind]:
        """Count."""
        found = await self._count(connection, self._particular(), _PARTICULAR)
        if self._asked:
            return found + await self._count(connection, [_state.running_id], ~_PARTICULAR)
        plain = await self._running(connection)
        for kind, amount in found.items():
            plain[kind.running] -= amount
        return found + Counter({Kind(running=version): amount for version, amount in plain.items()})

    async def _running(self, connection: AsyncConnection) -> Counter[Version | None]:
        table = schema.counter
        chosen = select(table.c.version_id, table.c.amount).where(
            table.c.application_id == self._application, table.c.name == "running"
        )
        total: Counter[Version | None] = Counter()
        for version_id, amount in await connection.execute(chosen):
            total[self._dictionary.version(version_id)] += amount
        return total

    def _particular(self) -> list[ColumnElement[Any]]:
        return [
            _state.running_id,
            _state.token_state,
            func.coalesce(_state.pinned_id, 0),
            case((_INSTALLS, _state.attempt_version_id), else_=0),
            case((_INSTALLS, _state.attempt_origin_id), else_=0),
            self._setbacks(),
        ]

    def _setbacks(self) -> ColumnElement[Any]:
        """The endpoint's exhausted versions as positive numbers, those that it backs off from as negative ones."""
        table = schema.setback
        signed = case((table.c.exhausted.is_(True), table.c.version_id), else_=-table.c.version_id)
        relevant = and_(table.c.endpoint_id == _state.id, or_(table.c.exhausted.is_(True), table.c.retry_ms > self._at))
        held = select(func.json_group_array(signed)).where(relevant).scalar_subquery()
        return case((_state.setbacks.is_(True), held), else_=null())

    @property
    def _bits(self) -> list[ColumnElement[int]]:
        parts = [self._asked[first : first + _BITS] for first in range(0, len(self._asked), _BITS)]
        return [sum((self._bit(item, place) for place, item in enumerate(part)), literal(0)) for part in parts]

    def _bit(self, item: Filter, place: int) -> ColumnElement[int]:
        return case((filters.condition(item, self._names), literal(1 << place, BigInteger)), else_=0)

    @property
    def _source(self) -> FromClause:
        if not self._asked:
            return schema.endpoint_state
        return schema.endpoint_state.join(schema.endpoint, schema.endpoint.c.id == _state.id)

    async def _count(
        self, connection: AsyncConnection, columns: Sequence[ColumnElement[Any]], which: ColumnElement[bool]
    ) -> Counter[Kind]:
        named = [column.label(f"c{place}") for place, column in enumerate([*columns, *self._bits])]
        grouped = (
            select(*named, func.count().label("size"))
            .select_from(self._source)
            .where(self._inside, which)
            .group_by(*named)
            .subquery()
        )
        found: Counter[Kind] = Counter()
        width = len(columns)
        for *row, size in await dialects.fetch(connection, dialects.rows_as_json(list(grouped.columns))):
            found[self._kind(row[:width], row[width:])] += size
        return found

    def _kind(self, row: Sequence[Any], bits: Sequence[int]) -> Kind:
        # Plain endpoints have their running version only.
        running_id, token_state, pinned_id, installing_id, origin_id, setbacks = [*row, 0, 0, 0, 0, None][:6]
        version, versions = self._dictionary.version, self._dictionary.versions
        signed: list[int] = [] if setbacks is None else orjson.loads(setbacks)
        return Kind(
            running=version(running_id),
            filters=frozenset(
                item.filter_id for place, item in enumerate(self._asked) if bits[place // _BITS] >> place % _BITS & 1
            ),
            token_state=TOKEN_STATES[token_state],
            pinned=version(pinned_id),
            exhausted=frozenset(versions[number] for number in signed if number > 0),
            backing_off=frozenset(versions[-number] for number in signed if number < 0),
            installing=version(installing_id),
            origin=version(origin_id),
        )
