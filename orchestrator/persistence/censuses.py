"""How many endpoints of each kind an application has, for a plan.

Rules:
- It is one consistent read beside the writer, which it never holds up.
- Endpoints of which only the running version matters are taken from the numbers; only the others are counted, by one
  scan. When filters, stages or time zones are asked for, all are: they are in no number.
- How many endpoints of a kind each stage admits is added up in the same scan, so that stages make no kinds.

Layer: persistence; no I/O beyond the connection that is handed in.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import BigInteger, and_, case, func, literal, null, or_, select

from orchestrator.application.memberships import ZONE
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.kinds import Crowd, Kind
from orchestrator.domain.stagings import Place
from orchestrator.persistence import dialects, elements, filters, schema
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.rows import ATTEMPT_CODES, ATTEMPT_STATES, TOKEN_STATES
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, FromClause
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.domain.kinds import Inquiry
    from orchestrator.domain.stagings import Staging
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dictionaries import Dictionary

_state = schema.endpoint_state.c
_UNDER_WAY = (AttemptState.OFFERED, AttemptState.INSTALLING, AttemptState.SOAKING)
_TRIES = and_(_state.attempt_version_id != 0, _state.attempt_state.in_([ATTEMPT_CODES[state] for state in _UNDER_WAY]))
_INSTALLS = and_(_state.attempt_version_id != 0, _state.attempt_state == ATTEMPT_CODES[AttemptState.INSTALLING])
_PARTICULAR = or_(_state.token_state != 0, _state.setbacks.is_(True), _state.pinned_id.is_not(None), _TRIES)
_SPOKEN = or_(_state.consents.is_(True), _state.asked_id > 0)
_BITS = 60
"""Marks of which one number holds as many."""
_PLAIN = (0, 0, 0, 0, 0, 0, None, 0, None)
"""The columns of an endpoint of which nothing particular is known."""
_ARGUMENTS = 100
"""So many values one function takes, in every build of SQLite and of PostgreSQL."""


class Census:
    """The statements for one application."""

    def __init__(self, application: int, inquiry: Inquiry, dictionary: Dictionary) -> None:
        """Count an application's endpoints by what is asked."""
        self._application = application
        self._asked = inquiry
        self._at = to_ms(inquiry.at)
        self._dictionary = dictionary
        self._names = dictionary.names(application)
        self._inside = _state.id.between(application * KEY_SPAN, (application + 1) * KEY_SPAN - 1)
        self._particular = or_(_PARTICULAR, _SPOKEN) if inquiry.consents else _PARTICULAR
        self._counted = [staging for staging in inquiry.stagings if staging.counted]

    async def take(self, connection: AsyncConnection) -> dict[Kind, Crowd]:
        """Count."""
        found = await self._count(connection, self._columns, self._particular)
        if self._marks or self._sums:
            plain = await self._count(connection, [_state.running_id], ~self._particular)
        else:
            numbers = await self._running(connection)
            for kind, crowd in found.items():
                numbers[kind.running] -= crowd.endpoints
            plain = {Kind(running=version): Crowd(amount) for version, amount in numbers.items() if amount}
        for kind, crowd in plain.items():
            _join(found, kind, crowd)
        return found

    async def places(self, connection: AsyncConnection, turned: int, low: int, high: int) -> dict[Kind, list[Place]]:
        """Where the endpoints of each kind stand, from rank `low` to below `high`, in a rollout that is turned so.

        In no order.
        """
        columns = [*self._columns, *self._marks]
        named = [column.label(f"c{place}") for place, column in enumerate(columns)]
        rank = (schema.endpoint.c.cohort + turned) % COHORTS
        grouped = (
            # Both aggregates see the rows of a group in one order.
            select(*named, elements.NumbersAsJson(rank).label("ranks"), elements.NumbersAsJson(_state.id).label("keys"))
            .select_from(self._joined)
            .where(schema.endpoint.c.application_id == self._application, _cohorts(turned, low, high))
            .group_by(*named)
            .subquery()
        )
        found: dict[Kind, list[Place]] = {}
        for *row, ranks, keys in await dialects.fetch(connection, dialects.rows(list(grouped.columns))):
            standing = map(Place, orjson.loads(ranks), orjson.loads(keys))
            found.setdefault(self._kind(row, len(self._columns)), []).extend(standing)
        return found

    async def _running(self, connection: AsyncConnection) -> Counter[Version | None]:
        table = schema.counter
        chosen = select(table.c.version_id, table.c.amount).where(
            table.c.application_id == self._application, table.c.name == "running"
        )
        total: Counter[Version | None] = Counter()
        for version_id, amount in await connection.execute(chosen):
            total[self._dictionary.version(version_id)] += amount
        return total

    @cached_property
    def _columns(self) -> list[ColumnElement[Any]]:
        """What tells particular endpoints apart."""
        spoken = [case((_state.asked_id > 0, _state.asked_id), else_=0), _consents()] if self._asked.consents else []
        return [
            _state.running_id,
            _state.token_state,
            func.coalesce(_state.pinned_id, 0),
            case((_TRIES, _state.attempt_version_id), else_=0),
            case((_TRIES, _state.attempt_state), else_=0),
            case((_INSTALLS, _state.attempt_origin_id), else_=0),
            self._setbacks(),
            *spoken,
        ]

    def _setbacks(self) -> ColumnElement[Any]:
        """The endpoint's exhausted versions as positive numbers, those that it backs off from as negative ones."""
        table = schema.setback
        signed = case((table.c.exhausted.is_(True), table.c.version_id), else_=-table.c.version_id)
        relevant = and_(table.c.endpoint_id == _state.id, or_(table.c.exhausted.is_(True), table.c.retry_ms > self._at))
        held = select(elements.NumbersAsJson(signed)).where(relevant).scalar_subquery()
        return case((_state.setbacks.is_(True), held), else_=null())

    @cached_property
    def _matches(self) -> Mapping[str, ColumnElement[bool]]:
        return {item.filter_id: filters.condition(item, self._names) for item in self._asked.filters}

    @cached_property
    def _marks(self) -> list[ColumnElement[Any]]:
        """What tells all endpoints apart: numbers of which each bit is a filter or an admission, and the time zone."""
        admissions = [
            self._admits(staging, stage)
            for staging in self._asked.stagings
            for stage in (staging.present, staging.last)
        ]
        conditions = [*self._matches.values(), *admissions]
        parts = [conditions[first : first + _BITS] for first in range(0, len(conditions), _BITS)]
        zone = [elements.text_member(schema.endpoint.c.attributes, ZONE)] if self._asked.zoned else []
        return [*map(_packed, parts), *zone]

    def _admits(self, staging: Staging, stage: int) -> ColumnElement[bool]:
        """Whether a stage, or one before it, admits an endpoint."""
        rank, reach = (schema.endpoint.c.cohort + staging.turned) % COHORTS, staging.reach(stage)
        matched = [self._matches[name] for name in sorted(reach.filters) if name in self._matches]
        return or_(elements.admitted(rank, reach.limit, _state.id, reach.members), *matched)

    @cached_property
    def _sums(self) -> list[ColumnElement[Any]]:
        """For each staging that is counted, how many endpoints its stages up to each one admit."""
        found = [
            func.count().filter(self._admits(staging, stage))
            for staging in self._counted
            for stage in range(len(staging.steps))
        ]
        return [elements.ArrayAsJson(*found[first : first + _ARGUMENTS]) for first in range(0, len(found), _ARGUMENTS)]

    @cached_property
    def _joined(self) -> FromClause:
        return schema.endpoint_state.join(schema.endpoint, schema.endpoint.c.id == _state.id)

    async def _count(
        self, connection: AsyncConnection, columns: Sequence[ColumnElement[Any]], which: ColumnElement[bool]
    ) -> dict[Kind, Crowd]:
        source = self._joined if self._marks or self._sums else schema.endpoint_state
        named = [column.label(f"c{place}") for place, column in enumerate([*columns, *self._marks])]
        sums = [column.label(f"s{place}") for place, column in enumerate(self._sums)]
        grouped = (
            select(*named, *sums, func.count().label("size"))
            .select_from(source)
            .where(self._inside, which)
            .group_by(*named)
            .subquery()
        )
        found: dict[Kind, Crowd] = {}
        for *row, size in await dialects.fetch(connection, dialects.rows(list(grouped.columns))):
            kind = self._kind(row[: len(named)], len(columns))
            _join(found, kind, Crowd(size, self._staged(row[len(named) :])))
        return found

    def _staged(self, sums: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        amounts = iter([amount for text in sums for amount in orjson.loads(text)])
        staged = []
        for staging in self._counted:
            admitted = [0, *(next(amounts) for _ in staging.steps)]
            staged.append(tuple(upper - lower for lower, upper in pairwise(admitted)))
        return tuple(staged)

    def _kind(self, row: Sequence[Any], width: int) -> Kind:
        # Plain endpoints have their running version only.
        own: Sequence[Any] = [*row[:width], *_PLAIN[width:]]
        running_id, token_state, pinned_id, attempt_id, state, origin_id, setbacks, asked_id, consents = own
        version, marks = self._dictionary.version, row[width:]
        exhausted, backing_off = self._signed(setbacks)
        consented, refused = self._signed(consents)
        tried = {ATTEMPT_STATES[state]: version(attempt_id)}
        matching, later, never = self._told(marks)
        return Kind(
            running=version(running_id),
            filters=matching,
            token_state=TOKEN_STATES[token_state],
            pinned=version(pinned_id),
            exhausted=exhausted,
            backing_off=backing_off,
            offered=tried.get(AttemptState.OFFERED),
            installing=tried.get(AttemptState.INSTALLING),
            origin=version(origin_id),
            soaking=tried.get(AttemptState.SOAKING),
            consented=consented,
            refused=refused,
            asked=version(asked_id),
            later=later,
            never=never,
            zone=(marks[-1] or None) if self._asked.zoned else None,
        )

    def _signed(self, text: str | None) -> tuple[frozenset[Version], frozenset[Version]]:
        """The versions of positive numbers, and those of negative ones."""
        numbers: list[int] = [] if text is None else orjson.loads(text)
        versions = self._dictionary.versions
        return (
            frozenset(versions[number] for number in numbers if number > 0),
            frozenset(versions[-number] for number in numbers if number < 0),
        )

    def _told(self, marks: Sequence[Any]) -> tuple[frozenset[str], frozenset[Version], frozenset[Version]]:
        """The filters that match, the software that a later stage admits to, and that which none does."""

        def bit(place: int) -> bool:
            return bool(marks[place // _BITS] >> place % _BITS & 1)

        names, stagings = list(self._matches), self._asked.stagings
        first = len(names)
        later, never = set(), set()
        for place, staging in enumerate(stagings):
            present, last = bit(first + 2 * place), bit(first + 2 * place + 1)
            if not last:
                never.add(staging.version)
            elif not present:
                later.add(staging.version)
        matching = frozenset(name for place, name in enumerate(names) if bit(place))
        return matching, frozenset(later), frozenset(never)


def _consents() -> ColumnElement[Any]:
    """The versions that were consented to as positive numbers, those that were refused as negative ones."""
    table = schema.consent
    signed = case((table.c.granted.is_(True), table.c.version_id), else_=-table.c.version_id)
    said = select(elements.NumbersAsJson(signed)).where(table.c.endpoint_id == _state.id).scalar_subquery()
    return case((_state.consents.is_(True), said), else_=null())


def _join(found: dict[Kind, Crowd], kind: Kind, crowd: Crowd) -> None:
    # Rows that differ in what does not matter, such as build metadata or a back-off that is over, are of one kind.
    found[kind] = crowd.joined(found[kind]) if kind in found else crowd


def _packed(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[int]:
    """A number of which a bit is set where its condition is true."""
    bits = (case((item, literal(1 << place, BigInteger)), else_=0) for place, item in enumerate(conditions))
    return sum(bits, literal(0))


def _cohorts(turned: int, low: int, high: int) -> ColumnElement[bool]:
    """Whether an endpoint's rank is at least `low` and below `high`: one range of cohorts, or two."""
    cohort, first = schema.endpoint.c.cohort, (low - turned) % COHORTS
    past = first + high - low
    if past <= COHORTS:
        return and_(cohort >= first, cohort < past)
    return or_(cohort >= first, cohort < past - COHORTS)
