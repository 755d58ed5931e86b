"""The size of a stage, in SQL: who it admits of those that could come to the version.

Rules:
- It is one consistent read beside the writer, which it never holds up.
- Nobody is in a stage who gives no verdict for it: pinned and rescued endpoints, and those that refuse the version.
- A stage of a percentage that nobody falls into takes in the one endpoint of the lowest rank, as long as that is so; a
  stage of a number takes in as many as that.

Layer: persistence; reads on the connection that is handed in.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, exists, false, func, not_, or_, select

from orchestrator.application.measures import Measured, leading
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.gates import Size
from orchestrator.domain.rollouts import shift
from orchestrator.domain.software import Strategy
from orchestrator.persistence import elements, filters, schema
from orchestrator.persistence.filters import Names
from orchestrator.persistence.rows import ATTEMPT_CODES, stage_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.directory import Entry
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dictionaries import Dictionary

_state, _endpoint = schema.endpoint_state.c, schema.endpoint.c
_HELD = [ATTEMPT_CODES[state] for state in AttemptState if state is not AttemptState.WITHDRAWN]


class Measure:
    """The statements for the present stage of one rollout."""

    def __init__(self, entry: Entry, item: Software, dictionary: Dictionary) -> None:
        """Measure a stage of an application's software, as they are now."""
        self._entry = entry
        self._item = item
        self._dictionary = dictionary
        self._names = Names.of(dictionary, entry.application.key)
        self._stage = item.policy.stage(item.rollout.stage)
        self._kept = item.rollout.kept(item.rollout.stage)
        self._rank = (_endpoint.cohort + shift(entry.application.name, item.version)) % COHORTS

    async def take(self, connection: AsyncConnection) -> Measured:
        """Measure."""
        size = await self._count(connection)
        limit = None
        if self._stage.count is not None:
            limit = await self._rank_of(connection, self._stage.count)
            limit = None if limit is not None and limit <= self._item.admission.limit else limit
        elif self._stage.percent is not None and (self._kept or not size.endpoints):
            limit = await self._taken_in(connection)
        return Measured(size=size, limit=limit)

    async def _taken_in(self, connection: AsyncConnection) -> int | None:
        """The rank above that of the one endpoint that a percentage takes in, 0 for nobody; None: as it is."""
        lowest = await self._rank_of(connection, 1, not_(self._earlier))
        if lowest is None:
            return None
        wanted = 0 if lowest <= self._stage.rank_limit else lowest
        return None if wanted == self._kept else wanted

    async def _count(self, connection: AsyncConnection) -> Size:
        waits = and_(self._to_come, not_(self._tried), not_(self._has(_state.setbacks, schema.setback)))
        admitted = self._admitted(self._item.rollout.stage)
        counted = select(func.count(), func.coalesce(func.sum(case((waits, 1), else_=0)), 0))
        row = (await connection.execute(self._among(counted, admitted, not_(self._earlier)))).one()
        return Size(endpoints=row[0], waiting=row[1])

    async def _rank_of(self, connection: AsyncConnection, number: int, *conditions: ColumnElement[bool]) -> int | None:
        """The rank above that of the candidate that is the `number`th in order of rank, or the last there is."""
        ranks = self._among(select(self._rank.label("place")), *conditions).order_by(self._rank).limit(number)
        found: int | None = (await connection.execute(select(func.max(ranks.subquery().c.place)))).scalar()
        return None if found is None else found + 1

    def _among(self, statement: Any, *conditions: ColumnElement[bool]) -> Any:  # noqa: ANN401 - a select of any columns
        joined = schema.endpoint.join(schema.endpoint_state, _state.id == _endpoint.id)
        inside = _endpoint.application_id == self._entry.application.key
        return statement.select_from(joined).where(
            inside, _state.token_state == 0, or_(self._to_come, self._tried), *self._targets, *conditions
        )

    @property
    def _targets(self) -> list[ColumnElement[bool]]:
        if self._item.strategy is not Strategy.TARGETED:
            return []
        return [or_(false(), *self._matching(use.filter_id for use in self._item.filters))]

    @cached_property
    def _to_come(self) -> ColumnElement[bool]:
        """Whether the endpoint could come to the version."""
        found = leading(self._entry.catalogue, self._item, [None, *self._versions.values()])
        ids = [number for number, version in self._versions.items() if version in found]
        runs = _state.running_id.in_([*ids, 0] if None in found else ids)
        refused = self._has(_state.consents, schema.consent, schema.consent.c.granted.is_(False))
        return and_(runs, _state.pinned_id.is_(None), *([not_(refused)] if self._asks else []))

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
        limit, spot = stage.ranks(self._item.rollout.kept(number))
        named = [] if stage.filter_id is None else [stage.filter_id]
        ranked = elements.ranked(self._rank, limit, [] if spot is None else [spot])
        return or_(ranked, *self._matching(named))

    def _matching(self, names: Iterable[str]) -> list[ColumnElement[bool]]:
        known = self._entry.filters
        return [filters.condition(known[name].filter, self._names) for name in names if name in known]
