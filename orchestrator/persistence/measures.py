"""The size of a stage, in SQL: who it admits of those that could come to the version.

Rules:
- It is one consistent read beside the writer, which it never holds up.
- Nobody is in a stage who gives no verdict for it: pinned and rescued endpoints, and those that refuse the version.
- A stage of a percentage that nobody falls into takes in the one endpoint of the lowest rank, as long as that is so.
- A stage of a number keeps whom it and earlier ones took in; of others it takes in whom it has tried, then the lowest.
- Nobody waits who holds an open offer that leads elsewhere, as of a newer version.
- In the last stage those of earlier ones wait as well: they get their offers in it, and nothing comes after it.
- After the end of its rollout a stage takes in nobody, and nobody waits in it: who would have, is left.
- A filter that errs on an endpoint, which has not the attribute, does not match it: it is left to later stages.

Layer: persistence; reads on the connection that is handed in.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, exists, false, func, not_, or_, select

from orchestrator.application.measures import Measured, leading
from orchestrator.domain.attempts import OPEN, AttemptState
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.gates import Size
from orchestrator.domain.rollouts import NOBODY, shift
from orchestrator.domain.software import Strategy
from orchestrator.persistence import elements, filters, schema
from orchestrator.persistence.rows import ATTEMPT_CODES, stage_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.directory import Entry
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dictionaries import Dictionary

_state, _endpoint = schema.endpoint_state.c, schema.endpoint.c
_NONE = false()
_OPEN = [ATTEMPT_CODES[state] for state in OPEN]
_HELD = [ATTEMPT_CODES[state] for state in AttemptState if state is not AttemptState.WITHDRAWN]


class Measure:
    """The statements for the present stage of one rollout."""

    def __init__(self, entry: Entry, item: Software, dictionary: Dictionary, now: datetime) -> None:
        """Measure a stage of an application's software, as they are now."""
        self._entry = entry
        self._item = item
        self._dictionary = dictionary
        self._now = now
        self._names = dictionary.names(entry.application.key)
        self._stage = item.policy.stage(item.rollout.stage)
        self._members = item.rollout.members_of(item.rollout.stage)
        self._rank = (_endpoint.cohort + shift(entry.application.name, item.version)) % COHORTS

    async def take(self, connection: AsyncConnection) -> Measured:
        """Measure."""
        size = await self._count(connection)
        members = None
        if self._item.over(self._now):
            return Measured(size=size, members=None)
        if self._stage.count is not None:
            members = await self._filled(connection, self._stage.count)
        elif self._stage.percent is not None and (self._members or not size.endpoints):
            members = await self._taken_in(connection)
        return Measured(size=size, members=members)

    async def _filled(self, connection: AsyncConnection, number: int) -> frozenset[int] | None:
        """Whom a number takes in; None: as it is."""
        kept = self._item.admission.members
        if len(kept) >= number:
            return None
        present = or_(self._earlier, self._admitted(self._item.rollout.stage))
        tried = and_(self._tried, _state.stage == stage_code(self._item.rollout.stage))
        others = _state.id.not_in(elements.listed_here(sorted(kept)))
        chosen = self._among(select(_state.id, present), or_tried=tried).where(others)
        ordered = chosen.order_by(case((tried, 0), else_=1), self._rank, _state.id).limit(number - len(kept))
        found = (await connection.execute(ordered)).all()
        if all(inside for _, inside in found):
            return None
        return self._members | {key for key, _ in found}

    async def _taken_in(self, connection: AsyncConnection) -> frozenset[int] | None:
        """The one endpoint that a percentage takes in, or nobody; None: as it is."""
        chosen = self._among(select(_state.id, self._rank), not_(self._earlier)).order_by(self._rank, _state.id)
        lowest = (await connection.execute(chosen.limit(1))).first()
        if lowest is None:
            return None
        wanted = NOBODY if lowest[1] < self._stage.rank_limit else frozenset({lowest[0]})
        return None if wanted == self._members else wanted

    async def _count(self, connection: AsyncConnection) -> Size:
        number, over = self._item.rollout.stage, self._item.over(self._now)
        own = and_(self._admitted(number), not_(self._earlier))
        last = number + 1 >= len(self._item.policy.staging)
        among = or_(own, self._earlier) if last and not over else own
        untried = and_(self._to_come, not_(self._tried))
        sought = untried if over else and_(untried, not_(self._elsewhere), not_(self._setback))
        amounts = select(_amount(own), _amount(sought), _amount(and_(sought, _state.asked_id > 0)))
        endpoints, found, asked = (await connection.execute(self._among(amounts, among))).one()
        if over:
            return Size(endpoints=endpoints, waiting=0, left=found)
        return Size(endpoints=endpoints, waiting=found, asked=asked)

    def _among(self, statement: Any, *conditions: ColumnElement[bool], or_tried: ColumnElement[bool] = _NONE) -> Any:  # noqa: ANN401 - a select of any columns
        """The endpoints that give a verdict on the version, by these conditions, and whom `or_tried` names."""
        joined = schema.endpoint.join(schema.endpoint_state, _state.id == _endpoint.id)
        inside = _endpoint.application_id == self._entry.application.key
        belong = and_(_state.token_state == 0, or_(self._to_come, self._tried), *self._targets, *conditions)
        return statement.select_from(joined).where(inside, or_(belong, or_tried))

    @property
    def _targets(self) -> list[ColumnElement[bool]]:
        if self._item.strategy is not Strategy.TARGETED:
            return []
        return [or_(false(), *self._matching(use.filter_id for use in self._item.filters))]

    @cached_property
    def _to_come(self) -> ColumnElement[bool]:
        """Whether the endpoint could come to the version."""
        runs = _state.running_id.in_([*self._leading, 0] if None in self._found else self._leading)
        refused = self._has(_state.consents, schema.consent, schema.consent.c.granted.is_(False))
        return and_(runs, _state.pinned_id.is_(None), *([not_(refused)] if self._asks else []))

    @cached_property
    def _found(self) -> frozenset[Version | None]:
        return leading(self._entry.catalogue, self._item, [None, *self._versions.values()], self._now)

    @cached_property
    def _leading(self) -> Sequence[int]:
        """The numbers of the versions from which an endpoint could come to the version."""
        return [number for number, version in self._versions.items() if version in self._found]

    @property
    def _elsewhere(self) -> ColumnElement[bool]:
        """Whether it holds an open offer of a version from which it could not come to this one any more."""
        others = _state.attempt_version_id.not_in([0, *self._own, *self._leading])
        return and_(others, _state.attempt_state.in_(_OPEN))

    @property
    def _setback(self) -> ColumnElement[bool]:
        """Whether it has failed at the version, and tries it later or not at all."""
        return self._has(_state.setbacks, schema.setback)

    @cached_property
    def _tried(self) -> ColumnElement[bool]:
        """Whether its latest attempt is one of the version, in a stage, and was not withdrawn."""
        of_stage = and_(_state.stage != stage_code(None), _state.attempt_state.in_(_HELD))
        return and_(_state.attempt_version_id.in_(self._own), of_stage)

    @cached_property
    def _versions(self) -> Mapping[int, Version]:
        """Those that the application has ever known, by number."""
        known, key = self._dictionary.version_ids.items(), self._entry.application.key
        return {number: self._dictionary.versions[number] for (application, _), number in known if application == key}

    @cached_property
    def _own(self) -> Sequence[int]:
        """The numbers of the version, however its build metadata was written."""
        return [number for number, version in self._versions.items() if version == self._item.version]

    @property
    def _asks(self) -> bool:
        catalogue = self._entry.catalogue
        return bool(catalogue.consenting >> catalogue.index[self._item.version] & 1)

    def _has(self, flag: ColumnElement[bool], table: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        """Whether the endpoint has something particular that is about the version; few have anything."""
        own = and_(table.c.endpoint_id == _state.id, table.c.version_id.in_(self._own), *conditions)
        return and_(flag.is_(True), exists().where(own))

    @cached_property
    def _earlier(self) -> ColumnElement[bool]:
        """Whether an earlier stage admits the endpoint."""
        admitted = [self._admitted(number) for number in range(self._item.rollout.stage)]
        return or_(false(), *admitted)

    def _admitted(self, number: int) -> ColumnElement[bool]:
        stage = self._item.policy.stage(number)
        members = self._item.rollout.members_of(number)
        named = [] if stage.filter_id is None else [stage.filter_id]
        return or_(elements.admitted(self._rank, stage.rank_limit, _state.id, members), *self._matching(named))

    def _matching(self, names: Iterable[str]) -> list[ColumnElement[bool]]:
        known = self._entry.filters
        conditions = (filters.condition(known[name].filter, self._names) for name in names if name in known)
        # An error is null, of which the opposite is null as well.
        return [func.coalesce(matched, false()) for matched in conditions]


def _amount(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows it is true of."""
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
