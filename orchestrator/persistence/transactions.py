"""One transaction of the one writer: endpoints in, endpoints out, and everything that is stored with them.

Layer: persistence; implements `ports.Transaction`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Text, and_, bindparam, case, delete, insert, select, update

from orchestrator.application.classes import Page, differences
from orchestrator.application.counters import deltas
from orchestrator.domain.cohorts import cohort
from orchestrator.persistence import counts, dialects, elements, particulars, schema, writes
from orchestrator.persistence.dictionaries import add_versions
from orchestrator.persistence.instants import near, to_ms
from orchestrator.persistence.rows import STATE_COLUMNS, decode, grouped
from orchestrator.persistence.sweeping import Sweep
from orchestrator.persistence.writes import Writes, counter_rows, versions_in

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.classes import ClassVerdict, Work
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.ports import Deliveries, Membership
    from orchestrator.application.pushes import ParkedPush, Push
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.drivers import Statement
    from orchestrator.persistence.numbers import Numbers
    from orchestrator.persistence.scans import Scans

_state, _endpoint = schema.endpoint_state, schema.endpoint
_keys = elements.listed(bindparam("wanted", type_=Text), "wanted", int)
_names = elements.listed(bindparam("wanted", type_=Text), "wanted", str)
_pairs = elements.listed(bindparam("wanted", type_=Text), "wanted", int, str)
_STATE = list(_state.columns)
_SUBJECT = [_endpoint.c.attributes, _endpoint.c.registered_ms]


def _selection(*, by_token: bool, subjects: bool) -> Select[Any]:
    columns = [*_STATE, _endpoint.c.endpoint_id, _endpoint.c.token, _endpoint.c.cohort, *(_SUBJECT if subjects else ())]
    if by_token:
        application, token = _pairs.columns
        pair = and_(_endpoint.c.application_id == application, _endpoint.c.token == token)
        found = _pairs.source.join(_endpoint, pair)
    else:
        found = _keys.source.join(_endpoint, _endpoint.c.id == _keys.value)
    return dialects.rows(columns).select_from(found.join(_state, _state.c.id == _endpoint.c.id))


_SELECTIONS = {
    (by_token, subjects): dialects.prepared(_selection(by_token=by_token, subjects=subjects))
    for by_token in (True, False)
    for subjects in (True, False)
}
_DUE = (
    select(_state.c.id)
    .where(_state.c.due_ms.is_not(None), _state.c.due_ms <= bindparam("now"))
    .order_by(_state.c.due_ms)
    .limit(bindparam("most"))
    .subquery()
)
_DUE_KEYS = dialects.prepared(dialects.rows([_DUE.c.id]))
_DROP_PUSHES = dialects.prepared(delete(schema.push).where(schema.push.c.revision.in_(_keys.values)))
_ADVANCE = dialects.prepared(
    update(schema.work)
    .where(schema.work.c.id == bindparam("number", type_=BigInteger))
    .values(cursor=bindparam("reached", type_=BigInteger))
)
_SETBACKS_FLAG = STATE_COLUMNS.index("setbacks")
_CONSENTS_FLAG = STATE_COLUMNS.index("consents")
_WIDTH = len(STATE_COLUMNS)
_ENDPOINT_COLUMNS = tuple(column.name for column in _endpoint.columns)
QUEUE = "queue"
"""The kind of a work item that is a queue of endpoints that wait for room."""
_NOTHING: Mapping[Any, Any] = {}


class SqlTransaction:
    """Everything the engine does to endpoints between begin and commit."""

    def __init__(self, connection: AsyncConnection, dictionary: Dictionary, numbers: Numbers, scans: Scans) -> None:
        """Work on a connection whose transaction has begun."""
        self._connection = connection
        self._dictionary = dictionary
        self._numbers = numbers
        self._scans = scans
        self._new_versions: list[tuple[int, Version]] = []

    async def find(self, tokens: Sequence[tuple[int, str]], membership: Membership | None) -> list[EndpointRecord]:
        """See `ports.Transaction.find`."""
        return await self._select((True, membership is not None), tokens, membership)

    async def find_keys(self, keys: Sequence[int], membership: Membership | None) -> list[EndpointRecord]:
        """See `ports.Transaction.find_keys`."""
        return await self._select((False, membership is not None), keys, membership)

    async def find_due(self, now: datetime, limit: int, membership: Membership | None) -> list[EndpointRecord]:
        """See `ports.Transaction.find_due`."""
        keys = await dialects.fetch(self._connection, _DUE_KEYS, now=to_ms(now), most=limit)
        return await self.find_keys([key for (key,) in keys], membership) if keys else []

    async def _select(
        self,
        kind: tuple[bool, bool],
        wanted: Sequence[object],
        membership: Membership | None,
    ) -> list[EndpointRecord]:
        rows = await dialects.fetch(self._connection, _SELECTIONS[kind], wanted=elements.listing(wanted))
        beside = await particulars.load(
            self._connection,
            self._dictionary,
            setbacks=[row[0] for row in rows if row[_SETBACKS_FLAG]],
            consents=[row[0] for row in rows if row[_CONSENTS_FLAG]],
        )
        found = [
            decode(
                row[:_WIDTH],
                endpoint_id=row[_WIDTH],
                token=row[_WIDTH + 1],
                cohort=row[_WIDTH + 2],
                dictionary=self._dictionary,
                setbacks=beside.setbacks.get(row[0], _NOTHING),
                consents=beside.consents.get(row[0], _NOTHING),
            )
            for row in rows
        ]
        if membership is None:
            return found
        return [grouped(record, row[-2], row[-1], membership) for record, row in zip(found, rows, strict=True)]

    async def taken(self, endpoint_ids: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
        """See `ports.Transaction.taken`."""
        if not endpoint_ids:
            return set()
        columns = [_endpoint.c.application_id, _endpoint.c.endpoint_id]
        application, name = _pairs.columns
        pair = and_(_endpoint.c.application_id == application, _endpoint.c.endpoint_id == name)
        statement = dialects.rows(columns).select_from(_pairs.source.join(_endpoint, pair))
        rows = await dialects.fetch(self._connection, statement, wanted=elements.listing(endpoint_ids))
        return {(application, endpoint_id) for application, endpoint_id in rows}

    async def attributes(self, keys: Sequence[int]) -> dict[int, str]:
        """See `ports.Transaction.attributes`."""
        columns = [_endpoint.c.id, _endpoint.c.attributes]
        statement = dialects.rows(columns).where(_endpoint.c.id.in_(_keys.values))
        return dict(await dialects.fetch(self._connection, statement, wanted=elements.listing(keys)))

    async def save_attributes(self, attributes: Mapping[int, str]) -> None:
        """See `ports.Transaction.save_attributes`."""
        await dialects.update(self._connection, _endpoint, ("id", "attributes"), list(attributes.items()))

    async def store(
        self, drafts: Sequence[Draft], due: Sequence[datetime | None], at: datetime, deliveries: Deliveries = ()
    ) -> Sequence[Push]:
        """See `ports.Transaction.store`."""
        await self.number(versions_in(drafts))
        batch = Writes(in_ms=near(at))
        created: list[dialects.Row] = []
        for draft, due_at in zip(drafts, due, strict=True):
            key = draft.before.key
            if not key:
                key = await self._numbers.endpoint_key(self._connection, draft.before.application)
                created.append(self._new_endpoint(key, draft, at))
            batch.add(draft, key, due_at, self._dictionary, self._numbers)
        statements = [
            *dialects.insertion(self._connection, _endpoint, _ENDPOINT_COLUMNS, created),
            *self._writing(batch),
            *self._counting(deltas(drafts)),
            *self._remembering(deliveries),
        ]
        await dialects.write(self._connection, statements)
        await self._queue_held(drafts, at)
        return batch.fresh

    async def _queue_held(self, drafts: Sequence[Draft], at: datetime) -> None:
        held: dict[tuple[int, Version], int] = {}
        for draft in drafts:
            if draft.held is not None:
                # A new one has the highest key of all, so that every queue comes to it.
                place, after = (draft.before.application, draft.held), max(draft.before.key - 1, 0)
                held[place] = min(after, held.get(place, after))
        for (application, version), after in held.items():
            await self.queue(application, version, after, at)

    async def numbers(self, applications: Collection[int], names: Collection[str]) -> Counter[CounterKey]:
        """See `ports.Transaction.numbers`."""
        chosen = and_(schema.counter.c.application_id.in_(applications), schema.counter.c.name.in_(names))
        return await counts.read(self._connection, chosen, self._dictionary)

    async def queue(self, application: int, version: Version, after: int, at: datetime) -> None:
        """See `ports.Transaction.queue`."""
        await self.number([(application, version)])
        table = schema.work
        statement = dialects.upsert(self._connection, table).values(
            application_id=application,
            kind=QUEUE,
            version_id=self._dictionary.number(application, version),
            cursor=after,
            created_ms=to_ms(at),
        )
        behind = case((statement.excluded.cursor < table.c.cursor, 1), else_=table.c.again)
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[table.c.application_id, table.c.version_id], set_={"again": behind}
            )
        )

    async def requeue(self, work: Work) -> bool:
        """See `ports.Transaction.requeue`."""
        table = schema.work
        again = update(table).where(table.c.id == work.number, table.c.again == 1).values(cursor=0, again=0)
        return (await self._connection.execute(again)).rowcount > 0

    def _new_endpoint(self, key: int, draft: Draft, at: datetime) -> dialects.Row:
        application, token, name = draft.before.application, draft.before.token, draft.before.endpoint_id
        place = cohort(self._dictionary.applications[application], name)
        return (key, application, name, token, draft.new_attributes or "{}", place, to_ms(at), 1)

    def _writing(self, batch: Writes) -> list[Statement]:
        """How the rows of a batch are written, one statement per table."""
        connection = self._connection
        return [
            *dialects.insertion(connection, _state, STATE_COLUMNS, batch.created),
            *dialects.rewriting(connection, _state, STATE_COLUMNS, sorted(batch.updated)),
            *particulars.replacing(connection, batch),
            *dialects.insertion(connection, schema.attempt, writes.ATTEMPT, batch.attempts),
            *dialects.insertion(connection, schema.history, writes.HISTORY, batch.history),
            *dialects.insertion(connection, schema.push, writes.PUSH, batch.pushes),
        ]

    async def count(self, differences: Counter[CounterKey]) -> None:
        """Add differences to the stored numbers."""
        await dialects.write(self._connection, self._counting(differences))

    def _counting(self, differences: Counter[CounterKey]) -> list[Statement]:
        rows = counter_rows(differences, self._dictionary)
        return dialects.insertion(self._connection, schema.counter, writes.COUNTER, rows, conflict=writes.ADD_UP)

    async def number(self, wanted: Iterable[tuple[int, Version]]) -> None:
        """Give every version a number that has none; taken back by `forget` when the transaction fails."""
        missing = self._dictionary.unknown(wanted)
        for number, application, version in await add_versions(self._connection, missing):
            self._dictionary.add_version(number, application, version)
            self._new_versions.append((application, version))

    def forget(self) -> None:
        """The transaction was rolled back: its new versions have no number any more."""
        for application, version in self._new_versions:
            self._dictionary.forget_version(application, version)

    async def mark_offered(self, offered: Collection[tuple[int, Version]], at: datetime) -> None:
        """See `ports.Transaction.mark_offered`."""
        software = schema.software
        for application, version in offered:
            version_id = self._dictionary.number(application, version)
            await self._connection.execute(
                update(software)
                .where(software.c.application_id == application, software.c.version_id == version_id)
                .where(software.c.offered_ms.is_(None))
                .values(offered_ms=to_ms(at))
            )

    async def remember(self, deliveries: Deliveries) -> None:
        """See `ports.Transaction.remember`."""
        await dialects.write(self._connection, self._remembering(deliveries))

    def _remembering(self, deliveries: Deliveries) -> list[Statement]:
        conflict = "ON CONFLICT (packet_id) DO UPDATE SET digest = excluded.digest"
        rows = list(dict(deliveries).items())
        return dialects.insertion(self._connection, schema.delivery, ("packet_id", "digest"), rows, conflict=conflict)

    async def forget_deliveries(self) -> None:
        """See `ports.Transaction.forget_deliveries`."""
        await self._connection.execute(delete(schema.delivery))

    async def bury(self, topic: str, payload: bytes, error: str, at: datetime) -> None:
        """See `ports.Transaction.bury`."""
        letter = insert(schema.dead_letter).values(topic=topic, payload=payload, error=error, at_ms=to_ms(at))
        await self._connection.execute(letter)

    async def page(self, work: Work, limit: int, entry: Entry) -> Page:
        """See `ports.Transaction.page`."""
        sweep = Sweep(self._connection, work, self._scans.of(work, entry), self._dictionary)
        end = await sweep.end(limit)
        if end is None:
            return Page(end=None)
        classes, keys = await sweep.read(end)
        membership = (lambda _, subject: entry.memberships.belonging(subject)) if entry.looks_at_subjects else None
        return Page(end=end, classes=classes, particular=await self.find_keys(keys, membership) if keys else ())

    async def move_classes(
        self, work: Work, page: Page, verdicts: Sequence[ClassVerdict], entry: Entry, at: datetime
    ) -> None:
        """See `ports.Transaction.move_classes`."""
        await self.number((work.application, item.hop) for item in verdicts if item.hop is not None)
        if page.end is None:
            return
        sweep = Sweep(self._connection, work, self._scans.of(work, entry), self._dictionary)
        counted = self._counting(differences(work.application, verdicts, page.classes))
        await dialects.write(self._connection, [*sweep.writing(page, page.end, verdicts, self._numbers, at), *counted])

    async def advance(self, work: Work, cursor: int | None) -> None:
        """See `ports.Transaction.advance`."""
        if cursor is None:
            await self._connection.execute(delete(schema.work).where(schema.work.c.id == work.number))
        else:
            await dialects.run(self._connection, _ADVANCE, {"number": work.number, "reached": cursor})

    async def park(self, pushes: Sequence[ParkedPush]) -> None:
        """See `ports.Transaction.park`."""
        columns = ("topic", "endpoint_id", "reason_code", "parked_ms", "retry_ms", "tries")
        rows = [
            (push.topic, push.key, push.reason_code, to_ms(push.parked_at), to_ms(push.retry_at), push.tries)
            for push in pushes
        ]
        conflict = (
            "ON CONFLICT (topic) DO UPDATE SET reason_code = excluded.reason_code, retry_ms = excluded.retry_ms, "
            "endpoint_id = excluded.endpoint_id, tries = excluded.tries"
        )
        await dialects.insert(self._connection, schema.parked_push, columns, rows, conflict=conflict)

    async def unpark(self, topics: Sequence[str]) -> None:
        """See `ports.Transaction.unpark`."""
        statement = delete(schema.parked_push).where(schema.parked_push.c.topic.in_(_names.values))
        await self._connection.execute(statement, {"wanted": elements.listing(topics)})

    async def raise_watermark(self, revision: int, at: datetime) -> None:
        """See `ports.Transaction.raise_watermark`."""
        values = {"watermark": revision, "alive_ms": to_ms(at), "clock_ms": to_ms(at)}
        await self._connection.execute(update(schema.installation).values(values))

    async def note_dates(self, at: datetime) -> None:
        """See `ports.Transaction.note_dates`."""
        await self._connection.execute(update(schema.installation).values(dates_ms=to_ms(at)))

    async def add_outage(self, started_at: datetime, ended_at: datetime) -> None:
        """See `ports.Transaction.add_outage`."""
        started, ended = to_ms(started_at), to_ms(ended_at)
        conflict = "ON CONFLICT (started_ms) DO UPDATE SET ended_ms = excluded.ended_ms"
        rows = [(started, ended)]
        await dialects.insert(self._connection, schema.outage, ("started_ms", "ended_ms"), rows, conflict=conflict)

    async def drop_pushes(self, revisions: Sequence[int]) -> None:
        """See `ports.Transaction.drop_pushes`."""
        await dialects.run(self._connection, _DROP_PUSHES, {"wanted": elements.listing(revisions)})
