"""The statements of a sweep's pages: compiled once, and kept while nothing changes that they were made of.

Rules:
- A page differs from the one before by parameters only: from where, up to where, and what its classes' verdicts say.
- Rows of `moved` are numbered by key, with gaps: to count them, the database would have to sort them first.
- Verdicts are matched with endpoints by what told their classes apart.

Layer: persistence.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Text,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
)

from orchestrator.application.classes import Renewal
from orchestrator.application.memberships import ZONE
from orchestrator.application.records import PushMode
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.cohorts import COHORTS
from orchestrator.persistence import dialects, elements, filters, movements, schema, temporary
from orchestrator.persistence.rows import ATTEMPT_CODES
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import CTE, FromClause, Select, Subquery

    from orchestrator.application.classes import Work
    from orchestrator.application.directory import Entry
    from orchestrator.domain.catalogues import Restriction
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dialects import Prepared
    from orchestrator.persistence.dictionaries import Dictionary, Names

KEPT = 32
"""So many scans are kept, those used last: of changes that are worked off, and of queues. Half a megabyte each."""
UNKNOWN = -1
"""For "nothing was said of its health": nulls are not equal to each other."""
_state = schema.endpoint_state.c
_OFFERED = ATTEMPT_CODES[AttemptState.OFFERED]
_MOVED = ("n", "id", "hop", *movements.SAID, "pushed")
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
    # Why an endpoint is not well is counted, and a class does not say it.
    or_(_state.healthy.is_(None), _state.healthy != 0),
    or_(_state.attempt_version_id == 0, elements.one_of(_state.attempt_state, _CLEAR_STATES)),
)
_KEY: tuple[ColumnElement[Any], ...] = (
    _state.running_id,
    _state.attempt_version_id,
    _state.attempt_origin_id,
    _state.attempt_state,
    _state.stage,
    case((_state.reached_ms.is_(None), 0), else_=1).label("reached"),
    func.coalesce(_state.healthy, UNKNOWN).label("healthy"),
    _state.lapsed,
    _state.asked_id,
)
WIDTH = len(_KEY)
"""So many numbers of the hot row tell classes apart; what filters, restrictions and the time zone say comes after."""
_AFTER, _UPTO = bindparam("after", type_=BigInteger), bindparam("upto", type_=BigInteger)
_page = (
    select(_state.id)
    .where(_state.id > _AFTER, _state.id < _UPTO)
    .order_by(_state.id)
    .limit(bindparam("most"))
    .subquery()
)
_last = select(func.max(_page.c.id).label("end")).subquery()
END = dialects.prepared(dialects.rows([_last.c.end]))
"""The key of the last endpoint of a page of `most`, `after` one key and before `upto`; null when there is none."""
EMPTIED = dialects.prepared(delete(temporary.moved))


class Given(NamedTuple):
    """What a verdict says, as the statements take it."""

    number: int
    hop: int
    outcome: int
    why: str | None
    given_stage: int
    ask: int
    due: int | None
    most: int
    opened: int


class Scan:
    """The statements of one work item, under an application as it is now."""

    def __init__(self, work: Work, entry: Entry, names: Names) -> None:
        """Write them; each is compiled at its first use."""
        self._work = work
        self._names = names
        self._first = work.application * KEY_SPAN
        self._retained = entry.application.push is PushMode.RETAINED
        self.filters = tuple(sorted(entry.catalogue.filters_in_use & entry.filters.keys()))
        matches = {name: filters.condition(entry.filters[name].filter, names) for name in self.filters}
        self._bits = [case((matches[name], 1), else_=0) for name in self.filters]
        self._holds = [_hold(restriction, matches) for restriction in entry.catalogue.restrictions]
        self.zoned = entry.catalogue.zoned
        self._zone = elements.text_member(schema.endpoint.c.attributes, ZONE)
        self._plain = and_(_PLAIN, ~self._without_term(entry.catalogue.slotted))
        self._looks_beside = bool(self._bits or self._holds or self.zoned)

    @cached_property
    def classes(self) -> Prepared:
        """The classes of a page: what tells each apart, one of it, its size, its first."""
        # One of the class stands for all: which restrictions hold it is what they have in common.
        cohort = schema.endpoint.c.cohort if self._looks_beside else literal(0)
        one = func.min(cohort * literal(KEY_SPAN, BigInteger) + _state.id - self._first)
        columns = [*_KEY, *(mark.label(f"mark{n}") for n, mark in enumerate(self._marks))]
        grouped = (
            select(*columns, one.label("one"), func.count().label("size"), func.min(_state.id).label("first"))
            .select_from(self._source)
            .where(self._concerned, ~self._one_by_one)
            .group_by(*columns)
            .subquery()
        )
        return dialects.prepared(dialects.rows(list(grouped.columns)))

    @cached_property
    def particular(self) -> Prepared:
        """The keys of a page's particular endpoints, in order."""
        lone = select(_state.id).where(self._concerned, self._one_by_one).order_by(_state.id).subquery()
        return dialects.prepared(dialects.rows([lone.c.id]))

    @cached_property
    def moving(self) -> Prepared:
        """Fill `moved` with the endpoints that change, each with what its class's verdict says."""
        given = self._given
        said = [given.c[name] for name in movements.SAID]
        chosen = select(_state.id, given.c.hop, *said).select_from(self._matched(given)).where(self._inside)
        return self._filling(chosen.subquery("chosen"))

    @cached_property
    def rationed(self) -> Prepared:
        """The same, where those of a class for which there is no room get no offer."""
        given = self._given
        place = func.row_number().over(partition_by=given.c.number, order_by=_state.id).label("place")
        said = [given.c[name] for name in movements.SAID]
        placed = (
            select(_state.id, given.c.hop, place, given.c.most, given.c.opened, _state.asked_id, *said)
            .select_from(self._matched(given))
            .where(self._inside)
            .subquery("placed")
        )
        p = placed.c
        hop = case((p.place <= p.most, p.hop), else_=0).label("hop")
        changed = or_(p.place <= p.most, p.opened == 1, p.ask != p.asked_id)
        return self._filling(select(p.id, hop, *(p[name] for name in movements.SAID)).where(changed).subquery("chosen"))

    @property
    def _marks(self) -> list[ColumnElement[Any]]:
        """What tells classes apart beside the columns of the hot row."""
        return [*self._bits, *self._holds, *([self._zone] if self.zoned else [])]

    @property
    def _source(self) -> FromClause:
        if not self._looks_beside:
            return schema.endpoint_state
        return schema.endpoint_state.join(schema.endpoint, schema.endpoint.c.id == _state.id)

    @property
    def _inside(self) -> ColumnElement[bool]:
        return and_(self._concerned, ~self._one_by_one)

    @property
    def _concerned(self) -> ColumnElement[bool]:
        inside = and_(_state.id > _AFTER, _state.id <= _UPTO)
        if self._work.renews is not None:
            inside = and_(inside, _TOLD[self._work.renews])
        if self._work.running is None:
            return inside
        return and_(inside, self._one_of(_state.running_id, self._work.running))

    def _one_of(self, number: ColumnElement[int], versions: Collection[Version | None]) -> ColumnElement[bool]:
        """Whether a number is one of these versions', however their build metadata was written."""
        ids = [known for known, version in self._names.versions.items() if version in versions]
        ids += [0] if None in versions else []
        return elements.one_of(number, ids)

    @property
    def _one_by_one(self) -> ColumnElement[bool]:
        """Endpoints that their class does not say all about.

        A work item for all endpoints touches every offer, and a renewal all that it is about.
        """
        if self._work.renews is not None:
            return true()
        return ~self._plain if self._work.running is not None else or_(~self._plain, _IS_OPEN)

    def _without_term(self, slotted: Collection[Version]) -> ColumnElement[bool]:
        """Plain endpoints whose offer was made before there was a limit that gives its slot back."""
        if not slotted:
            return false()
        theirs = self._one_of(_state.attempt_version_id, slotted)
        return and_(_IS_OPEN, theirs, _state.reached_ms.is_(None), _state.lapsed == 0)

    @cached_property
    def _given(self) -> CTE:
        """The verdicts as a table: what tells their classes apart, and what they say."""
        names = [*(f"k{n}" for n in range(WIDTH + len(self._marks))), *Given._fields]
        texts = {"why", names[WIDTH + len(self._marks) - 1] if self.zoned else "why"}
        kinds = [str if name in texts else int for name in names]
        listed = elements.listed(bindparam("verdicts", type_=Text), "listed", *kinds)
        columns = [column.label(name) for column, name in zip(listed.columns, names, strict=True)]
        # Else it would be taken apart anew for each endpoint.
        return select(*columns).select_from(listed.source).cte("verdict").prefix_with("MATERIALIZED")

    def _matched(self, given: CTE) -> FromClause:
        told = zip([*_KEY, *self._marks], list(given.c), strict=False)
        return self._source.join(given, and_(*(mine == theirs for mine, theirs in told)))

    def _filling(self, chosen: Subquery) -> Prepared:
        c = chosen.c
        # Nothing is cleared where nothing is retained; what is asked is retained everywhere.
        pushed = literal(1) if self._retained else case((or_(c.hop != 0, c.ask != 0), 1), else_=0)
        number = (c.id - _AFTER).label("n")
        rows: Select[Any] = select(number, *c, pushed.label("pushed"))
        return dialects.prepared(insert(temporary.moved).from_select(_MOVED, rows))


class Scans:
    """Those of one storage."""

    def __init__(self, dictionary: Dictionary) -> None:
        """Take the names that rows hold as numbers."""
        self._dictionary = dictionary
        self._kept: dict[object, tuple[Entry, Names, Scan]] = {}

    def of(self, work: Work, entry: Entry) -> Scan:
        """The scan of a work item, under an application as it is now."""
        names = self._dictionary.names(work.application)
        kind = (work.application, work.running, work.renews)
        # Taken out and put back: a dictionary keeps the order in which it was filled, here that of use.
        kept = self._kept.pop(kind, None)
        if kept is None or kept[0] is not entry or kept[1] is not names:
            kept = (entry, names, Scan(work, entry, names))
        self._kept[kind] = kept
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return kept[2]


def _hold(restriction: Restriction, matches: Mapping[str, ColumnElement[bool]]) -> ColumnElement[int]:
    """1 for endpoints that a restriction holds."""
    rank = (schema.endpoint.c.cohort + restriction.turned) % COHORTS
    matched = [matches[name] for name in sorted(restriction.filters) if name in matches]
    return case((or_(elements.admitted(rank, restriction.limit, _state.id, restriction.members), *matched), 0), else_=1)
