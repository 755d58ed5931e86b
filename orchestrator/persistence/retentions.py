"""What grows with time alone: finding the oldest of it, and removing that.

Rules:
- Rows are found by their own identifiers, in whose order they were written: no index beside the table is needed, and a
  stretch is one range of it.
- Identifiers are not given out again: how far history and attempts are removed is kept (`Numbers`), and the newest row
  of the others always stays.
- A number that is zero is as good as none: its row goes, and comes back when it counts something again.
- Attempts leave what they counted for: `attempt_sum` and the rows that are left make the counters (invariant 8).

Layer: persistence; on the connection that is handed in.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Text, and_, case, delete, func, literal, select, tuple_

from orchestrator.application.retentions import Remains, Stretch, Surplus
from orchestrator.persistence import dialects, elements, remnants, schema
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

_history, _attempt = schema.history.c, schema.attempt.c
_state = schema.endpoint_state.c
_NUMBER = list(schema.counter.primary_key.columns)


class _Source(NamedTuple):
    table: Table
    number: Column[int]
    """Grows from row to row."""
    at: ColumnElement[int]
    """From when a row is."""
    emptied: bool = False
    """Whether all may be removed: then how far is kept. Else the newest row stays."""


_SOURCES = {
    Remains.HISTORY: _Source(schema.history, _history.id, _history.at_ms, emptied=True),
    Remains.ATTEMPTS: _Source(
        schema.attempt,
        _attempt.id,
        func.coalesce(_attempt.settled_ms, _attempt.offered_ms, 0),
        emptied=True,
    ),
    Remains.AUDIT: _Source(schema.audit, schema.audit.c.id, schema.audit.c.at_ms),
    Remains.DEAD_LETTERS: _Source(schema.dead_letter, schema.dead_letter.c.id, schema.dead_letter.c.at_ms),
    Remains.OUTAGES: _Source(schema.outage, schema.outage.c.started_ms, schema.outage.c.ended_ms),
}


async def oldest(
    connection: AsyncConnection, what: Remains, before: datetime | None, most: int | None, limit: int
) -> Stretch | None:
    """See `retentions.Archive.oldest`."""
    source = _SOURCES[what]
    after, newest = await _ends(connection, what)
    early = 0 if before is None else to_ms(before)
    above = newest if most is None else max(newest - most, 0)
    chosen = select(source.number, source.at).where(source.number > after).order_by(source.number).limit(limit)
    rows = (await connection.execute(chosen)).all()

    def goes(row: Sequence[int]) -> bool:
        number, at_ms = row
        kept = not source.emptied and number >= newest
        return not kept and (at_ms < early or (most is not None and number <= above))

    going = [number for number, _ in takewhile(goes, rows)]
    return Stretch(what=what, after=after, end=going[-1]) if going else None


async def _ends(connection: AsyncConnection, what: Remains) -> tuple[int, int]:
    """After which number the rows begin, and the highest."""
    until = remnants.removed_until.c
    after = (await connection.execute(select(until.number).where(until.kind == what.value))).scalar()
    newest = (await connection.execute(select(func.max(_SOURCES[what].number)))).scalar()
    return after or 0, newest or 0


async def remove(connection: AsyncConnection, stretch: Stretch) -> int:
    """Remove a stretch and keep what it counted for; return how many rows there were."""
    source = _SOURCES[stretch.what]
    inside = and_(source.number > stretch.after, source.number <= stretch.end)
    if stretch.what is Remains.ATTEMPTS:
        await _sum_up(connection, inside)
    removed = (await connection.execute(delete(source.table).where(inside))).rowcount
    if source.emptied:
        await note_removed(connection, stretch.what.value, stretch.end)
    return removed


async def note_removed(connection: AsyncConnection, kind: str, number: int) -> None:
    """Note that a number was removed: none up to it is given out again."""
    table = remnants.removed_until
    statement = dialects.upsert(connection, table).values(kind=kind, number=number)
    higher = {"number": statement.excluded.number}
    behind = table.c.number < statement.excluded.number
    await connection.execute(statement.on_conflict_do_update(index_elements=[table.c.kind], set_=higher, where=behind))


async def _sum_up(connection: AsyncConnection, inside: ColumnElement[bool]) -> None:
    table = remnants.attempt_sum
    kind = [
        (_attempt.endpoint_id // KEY_SPAN).label("application_id"),
        _attempt.version_id,
        _attempt.origin_id,
        _attempt.state,
        _attempt.stage,
        case((_attempt.reached_ms.is_(None), 0), else_=1).label("reached"),
        case((_attempt.healthy == 0, 1), else_=0).label("unhealthy"),
    ]
    names = [column.name for column in kind]
    counted = select(*kind, func.count().label("amount")).where(inside).group_by(*kind)
    statement = dialects.upsert(connection, table).from_select([*names, "amount"], counted)
    more = table.c.amount + statement.excluded.amount
    await connection.execute(statement.on_conflict_do_update(index_elements=names, set_={"amount": more}))


async def surplus(connection: AsyncConnection, after: int, endpoints: int, most: int) -> Surplus:
    """See `retentions.Archive.surplus`."""
    page = select(_state.id).where(_state.id > after).order_by(_state.id).limit(endpoints).subquery()
    end: int | None = (await connection.execute(select(func.max(page.c.id)))).scalar()
    if end is None:
        return Surplus(end=None)
    newest = and_(_history.id == _state.last_history_id, _history.endpoint_id == _state.id)
    start = (
        select(_state.id.label("key"), _history.id, _history.previous_id, literal(1).label("place"))
        .join_from(schema.endpoint_state, schema.history, newest)
        .where(_state.id > after, _state.id <= end)
        .cte("chain", recursive=True)
    )
    # What comes before has a lower number: a damaged row makes no circle.
    older_one = and_(_history.id == start.c.previous_id, _history.id < start.c.id)
    before = and_(older_one, _history.endpoint_id == start.c.key)
    older = select(start.c.key, _history.id, _history.previous_id, start.c.place + 1).join_from(
        start, schema.history, before
    )
    chain = start.union_all(older)
    found = await dialects.fetch(connection, dialects.rows([chain.c.id]).where(chain.c.place > most))
    return Surplus(end=end, entries=sorted(number for (number,) in found))


async def remove_entries(connection: AsyncConnection, entries: Sequence[int]) -> int:
    """Remove history entries by number; return how many there were."""
    chosen = _history.id.in_(elements.listed_here(entries))
    return (await connection.execute(delete(schema.history).where(chosen))).rowcount


async def zeros(connection: AsyncConnection, limit: int) -> Sequence[Sequence[object]]:
    """The keys of stored numbers that are zero, at most `limit`."""
    chosen = select(*_NUMBER).where(schema.counter.c.amount == 0).limit(limit)
    return [tuple(row) for row in await connection.execute(chosen)]


async def remove_zeros(connection: AsyncConnection, found: Sequence[Sequence[object]]) -> int:
    """Remove those of these numbers that are still zero; return how many there were."""
    given = elements.listed(literal(elements.listing(found), Text()), "given", int, str, int, int, str)
    chosen = tuple_(*_NUMBER).in_(select(*given.columns).select_from(given.source))
    return (await connection.execute(delete(schema.counter).where(schema.counter.c.amount == 0, chosen))).rowcount
