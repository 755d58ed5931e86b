"""Endpoints as operators see them, and their history.

Layer: persistence; reads on the connection that is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, literal, select

from orchestrator.application.memberships import Belonging, zone_of
from orchestrator.application.records import EndpointDocument, StoredHistory
from orchestrator.domain.endpoints import HistoryEntry
from orchestrator.persistence import elements, filters, narrowing, particulars, schema
from orchestrator.persistence.instants import from_ms, from_ms_or_none, to_ms
from orchestrator.persistence.rows import ATTEMPT_CODES, HISTORY_KINDS, STATE_COLUMNS, TOKEN_CODES, decode, grouped
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CTE, ColumnElement, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.directory import Entry
    from orchestrator.application.memberships import Subject
    from orchestrator.application.records import EndpointQuery, EndpointRecord
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.particulars import Particulars

_endpoint, _state, _history = schema.endpoint.c, schema.endpoint_state.c, schema.history.c
_DOCUMENT = select(
    schema.endpoint_state,
    _endpoint.endpoint_id,
    _endpoint.token,
    _endpoint.attributes,
    _endpoint.registered_ms,
    _endpoint.revision,
    _endpoint.cohort,
).join_from(schema.endpoint, schema.endpoint_state, _state.id == _endpoint.id)


async def one(
    connection: AsyncConnection, entry: Entry, endpoint_id: str, dictionary: Dictionary
) -> EndpointDocument | None:
    """One endpoint of an application; None when there is none."""
    chosen = (_endpoint.application_id == entry.application.key) & elements.same(_endpoint.endpoint_id, endpoint_id)
    found = await _read(connection, _DOCUMENT.where(chosen), entry, dictionary)
    return found[0] if found else None


async def several(
    connection: AsyncConnection, entry: Entry, endpoint_ids: Sequence[str], dictionary: Dictionary
) -> list[EndpointDocument]:
    """Those of these endpoints of an application that exist."""
    wanted = elements.listed(literal(elements.listing(endpoint_ids)), "wanted", str)
    chosen = (_endpoint.application_id == entry.application.key) & _endpoint.endpoint_id.in_(wanted.values)
    return await _read(connection, _DOCUMENT.where(chosen), entry, dictionary)


async def owners(connection: AsyncConnection, application: int, tokens: Sequence[str]) -> dict[str, str]:
    """Who has these tokens of an application."""
    wanted = elements.listed(literal(elements.listing(tokens)), "wanted", str)
    chosen = (_endpoint.application_id == application) & _endpoint.token.in_(wanted.values)
    rows = await connection.execute(select(_endpoint.token, _endpoint.endpoint_id).where(chosen))
    return {row.token: row.endpoint_id for row in rows}


async def listed(
    connection: AsyncConnection, entry: Entry, query: EndpointQuery, dictionary: Dictionary
) -> list[EndpointDocument]:
    """Endpoints of an application in order of key."""
    first = entry.application.key * KEY_SPAN
    conditions = [_state.id > max(query.after, first), _state.id < first + KEY_SPAN]
    keys = None
    if query.filter is not None:
        keys = await narrowing.keys(connection, entry.application.key, query.filter, query.after)
        conditions += [] if keys is None else [_state.id.in_(elements.listed_here(keys))]
    if keys is None and narrowing.apart(query):
        # Hot rows are read for those that match alone.
        chosen = select(_endpoint.id).where(_endpoint.id > max(query.after, first), _endpoint.id < first + KEY_SPAN)
        matching = chosen.where(*_conditions(entry, query, dictionary)).order_by(_endpoint.id).limit(query.limit)
        conditions.append(_state.id.in_(matching))
    else:
        conditions += _conditions(entry, query, dictionary)
    statement = _DOCUMENT.where(*conditions).order_by(_state.id).limit(query.limit)
    return await _read(connection, statement, entry, dictionary)


def _conditions(entry: Entry, query: EndpointQuery, dictionary: Dictionary) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.unknown:
        conditions.append(_state.running_id == 0)
    if query.running is not None:
        known = dictionary.version_ids.items()
        ids = [
            number
            for (application, _), number in known
            if application == entry.application.key and dictionary.versions[number] in query.running
        ]
        conditions.append(_state.running_id.in_(ids))
    if query.state is not None:
        conditions += [_state.attempt_version_id != 0, _state.attempt_state == ATTEMPT_CODES[query.state]]
    if query.token_state is not None:
        conditions.append(_state.token_state == TOKEN_CODES[query.token_state])
    if query.silent_since is not None:
        conditions.append(func.coalesce(_state.seen_ms, _endpoint.registered_ms) < to_ms(query.silent_since))
    if query.token is not None:
        conditions += [
            _endpoint.application_id == entry.application.key,
            elements.same(_endpoint.token, query.token),
        ]
    if query.filter is not None:
        conditions.append(filters.condition(query.filter, dictionary.names(entry.application.key)))
    return conditions


async def _read(
    connection: AsyncConnection, statement: Select[Any], entry: Entry, dictionary: Dictionary
) -> list[EndpointDocument]:
    found = (await connection.execute(statement)).all()
    beside = await particulars.load(
        connection,
        dictionary,
        setbacks=[row.id for row in found if row.setbacks],
        consents=[row.id for row in found if row.consents],
    )
    return [_document(row, entry, dictionary, beside) for row in found]


def _document(row: Row[Any], entry: Entry, dictionary: Dictionary, beside: Particulars) -> EndpointDocument:
    def matching(_application: int, subject: Subject) -> Belonging:
        values = subject.values()
        filters = frozenset(name for name, record in entry.filters.items() if record.filter.matches(values))
        return Belonging(filters, zone_of(subject.attributes) if entry.catalogue.zoned else None)

    record = decode(
        row[: len(STATE_COLUMNS)],
        endpoint_id=row.endpoint_id,
        token=row.token,
        dictionary=dictionary,
        setbacks=beside.setbacks.get(row.id, {}),
        consents=beside.consents.get(row.id, {}),
        registered_ms=row.registered_ms,
        cohort=row.cohort,
    )
    return EndpointDocument(
        endpoint_id=row.endpoint_id,
        attributes=row.attributes,
        revision=row.revision,
        record=grouped(record, row.attributes, row.registered_ms, matching),
        due_at=from_ms_or_none(row.due_ms),
    )


def _chain(last: int, key: int) -> CTE:
    """The identifiers of an endpoint's history entries, from the newest given one back."""
    start = select(_history.id, _history.previous_id).where(_history.id == last, _history.endpoint_id == key)
    chain = start.cte("chain", recursive=True)
    older = select(_history.id, _history.previous_id).where(
        _history.id == chain.c.previous_id, _history.endpoint_id == key
    )
    return chain.union_all(older)


async def history(
    connection: AsyncConnection, record: EndpointRecord, before: int | None, limit: int, dictionary: Dictionary
) -> list[StoredHistory]:
    """History entries, newest first, older than entry `before`."""
    last = record.last_history
    if before is not None:
        step = select(_history.previous_id).where(_history.id == before, _history.endpoint_id == record.key)
        last = (await connection.execute(step)).scalar() or 0
    chain = _chain(last, record.key)
    ids = select(chain.c.id).limit(limit).subquery()
    statement = (
        select(schema.history)
        .join(ids, (_history.id == ids.c.id) & (_history.endpoint_id == literal(record.key)))
        .order_by(_history.id.desc())
    )
    return [
        StoredHistory(
            number=row.id,
            entry=HistoryEntry(
                at=from_ms(row.at_ms),
                kind=HISTORY_KINDS[row.kind],
                version=dictionary.version(row.version_id),
                status_code=row.status_code,
                reason=row.reason,
            ),
        )
        for row in await connection.execute(statement)
    ]


async def delete_chain(connection: AsyncConnection, record: EndpointRecord) -> None:
    """Delete all history of an endpoint."""
    chain = _chain(record.last_history, record.key)
    owned = (_history.endpoint_id == record.key) & _history.id.in_(select(chain.c.id))
    await connection.execute(delete(schema.history).where(owned))
