"""What waits to be done: pushes, parked pushes, work items; and what the engine keeps for itself.

Layer: persistence; the reading half of `ports.Storage`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Text, bindparam, func, null, or_, select

from orchestrator.application.classes import Renewal, Work
from orchestrator.application.pushes import OFFER, ParkedPush, Push, Superseded
from orchestrator.domain.endpoints import TokenState
from orchestrator.persistence import dialects, elements, schema
from orchestrator.persistence.instants import from_ms, to_ms
from orchestrator.persistence.rows import ATTEMPT_STATES, TOKEN_STATES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from orchestrator.application.pushes import Place
    from orchestrator.persistence.dialects import Prepared
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.drivers import Answer

_state = schema.endpoint_state.c
_TOPIC_STATE = [
    schema.endpoint.c.token,
    _state.app_version_id,
    _state.push_revision,
    _state.attempt_version_id,
    _state.attempt_state,
    _state.observe,
    _state.token_state,
    _state.asked_id,
]
_keys = elements.listed(bindparam("wanted", type_=Text), "wanted", int)
_places = elements.listed(bindparam("wanted", type_=Text), "wanted", int, str, str)
_work = schema.work.c
_WORK = dialects.rows([_work.id, _work.application_id, _work.kind, _work.running_ids, _work.cursor, _work.version_id])
_CHANGES = dialects.prepared(_WORK.where(_work.version_id.is_(None)))
_WAITING = dialects.prepared(_WORK.where(_work.version_id.is_not(None)))
_RENEWALS = {renewal.value: renewal for renewal in Renewal}


def _of_endpoints(condition: ColumnElement[bool]) -> Select[Any]:
    keys = (
        select(_state.id, _state.push_revision)
        .where(condition)
        .order_by(_state.id)
        .limit(bindparam("most"))
        .subquery("chosen")
    )
    columns = [keys.c.push_revision, keys.c.id, null(), *_TOPIC_STATE]
    joined = keys.join(schema.endpoint, schema.endpoint.c.id == keys.c.id).join(
        schema.endpoint_state, _state.id == keys.c.id
    )
    return dialects.rows(columns).select_from(joined)


_chosen = (
    select(schema.push)
    .where(schema.push.c.revision > bindparam("after"))
    .order_by(schema.push.c.revision)
    .limit(bindparam("most"))
    .subquery("chosen")
)
_PUSHES = dialects.prepared(
    dialects.rows([_chosen.c.revision, _chosen.c.endpoint_id, _chosen.c.topic, *_TOPIC_STATE]).select_from(
        _chosen.outerjoin(schema.endpoint, schema.endpoint.c.id == _chosen.c.endpoint_id).outerjoin(
            schema.endpoint_state, _state.id == _chosen.c.endpoint_id
        )
    )
)
_PUSHES_OF = _of_endpoints(_state.id.in_(_keys.values))
_stretch = (
    select(schema.push)
    .where(schema.push.c.revision > bindparam("after"), schema.push.c.revision <= bindparam("upto"))
    .order_by(schema.push.c.revision)
    .limit(bindparam("most"))
    .subquery("stretch")
)
_bounds = (
    select(func.max(_stretch.c.revision).label("last"), func.count().label("found")).select_from(_stretch).subquery()
)
_STRETCH = dialects.prepared(dialects.rows([_bounds.c.last, _bounds.c.found]))
_current = select(_state.id).where(_state.id == _stretch.c.endpoint_id, _state.push_revision == _stretch.c.revision)
_SUPERSEDED = dialects.prepared(
    dialects.rows([_stretch.c.revision]).where(
        or_(_stretch.c.topic == OFFER, _stretch.c.topic.is_(None) & ~_current.exists())
    )
)
_SAMPLE = _of_endpoints((_state.id > bindparam("after")) & (_state.push_revision > 0))


class SqlQueues:
    """Reads that the engine's loops start from."""

    def __init__(self, readers: AsyncEngine, dictionary: Dictionary) -> None:
        """Read with connections of this engine."""
        self._readers = readers
        self._dictionary = dictionary

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one committed state.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            async with self._readers.connect() as connection:
                yield connection
        except Exception as error:
            told = dialects.translated(self._readers, error)
            if told is None:
                raise
            raise told from error

    async def pushes(self, after: int, limit: int) -> list[Push]:
        """See `ports.Storage.pushes`."""
        return await self._read(_PUSHES, after=after, most=limit)

    async def pushes_of(self, keys: Sequence[int]) -> list[Push]:
        """See `ports.Storage.pushes_of`."""
        return await self._read(_PUSHES_OF, wanted=elements.listing(keys), most=len(keys))

    async def superseded(self, after: int, upto: int, limit: int) -> Superseded:
        """See `ports.Storage.superseded`."""
        span = {"after": after, "upto": upto, "most": limit}
        async with self.reading() as connection:
            ((last, found),) = await dialects.fetch(connection, _STRETCH, **span)
            rows = await dialects.fetch(connection, _SUPERSEDED, **span) if found else []
        end = int(last) if found == limit else None
        return Superseded(revisions=sorted(revision for (revision,) in rows), end=end)

    async def push_sample(self, after_key: int, limit: int) -> list[Push]:
        """See `ports.Storage.push_sample`."""
        return sorted(await self._read(_SAMPLE, after=after_key, most=limit), key=lambda push: push.key)

    async def _read(self, statement: Select[Any] | Prepared, **parameters: object) -> list[Push]:
        async with self.reading() as connection:
            rows = await dialects.fetch(connection, statement, **parameters)
        return sorted((self._push(row) for row in rows), key=lambda push: (push.revision, push.key))

    def _push(self, row: Sequence[Any]) -> Push:
        revision, key, topic, token, app_version_id, latest, version_id, state, observe, token_state, asked_id = row
        known = app_version_id is not None
        application, app_version = self._dictionary.app_versions.get(app_version_id, (0, "")) if known else (0, "")
        return Push(
            revision=revision,
            key=key,
            topic=topic,
            application=application,
            app_version=app_version,
            token=token or "",
            latest=latest or 0,
            version=self._dictionary.version(version_id or 0),
            state=ATTEMPT_STATES[state] if version_id else None,
            observe=bool(observe),
            token_state=TOKEN_STATES[token_state] if known else TokenState.REVOKED,
            asked=self._dictionary.version(max(asked_id or 0, 0)),
            consulted=bool(asked_id),
        )

    async def residents(self, places: Sequence[Place]) -> dict[Place, Push]:
        """See `ports.Storage.residents`."""
        endpoint, av = schema.endpoint, schema.app_version
        application, name, token = _places.columns
        found = (
            _places.source.join(endpoint, (endpoint.c.application_id == application) & (endpoint.c.token == token))
            .join(schema.endpoint_state, _state.id == endpoint.c.id)
            .join(av, (av.c.id == _state.app_version_id) & (av.c.name == name))
        )
        statement = dialects.rows([_state.push_revision, endpoint.c.id, null(), *_TOPIC_STATE])
        pushes = await self._read(statement.select_from(found), wanted=elements.listing(places))
        return {push.place: push for push in pushes}

    async def all_parked_topics(self) -> set[str]:
        """See `ports.Storage.all_parked_topics`."""
        async with self.reading() as connection:
            return set((await connection.execute(select(schema.parked_push.c.topic))).scalars())

    async def parked(self, now: datetime, limit: int) -> list[ParkedPush]:
        """See `ports.Storage.parked`."""
        table = schema.parked_push
        statement = select(table).where(table.c.retry_ms <= to_ms(now)).order_by(table.c.retry_ms).limit(limit)
        async with self.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            ParkedPush(
                topic=row.topic,
                key=row.endpoint_id,
                reason_code=row.reason_code,
                parked_at=from_ms(row.parked_ms),
                retry_at=from_ms(row.retry_ms),
                tries=row.tries,
            )
            for row in rows
        ]

    async def works(self) -> list[Work]:
        """See `ports.Storage.works`."""
        rows = await self._works(_CHANGES)
        changes = [
            Work(
                number=number,
                application=application,
                running=None
                if running_ids is None
                else frozenset(self._dictionary.version(known) for known in orjson.loads(running_ids)),
                cursor=cursor,
                renews=_RENEWALS.get(kind),
            )
            for number, application, kind, running_ids, cursor, _ in rows
        ]
        return sorted(changes, key=lambda work: work.renews is None)

    async def queues(self) -> list[Work]:
        """See `ports.Storage.queues`."""
        return [
            Work(
                number=number,
                application=application,
                running=frozenset(),
                cursor=cursor,
                version=self._dictionary.version(version_id),
            )
            for number, application, _, _, cursor, version_id in await self._works(_WAITING)
        ]

    async def _works(self, statement: Prepared) -> Answer:
        """Work items, by number."""
        async with self.reading() as connection:
            return sorted(await dialects.fetch(connection, statement), key=itemgetter(0))

    async def next_due(self) -> datetime | None:
        """When the next timer of an endpoint goes off; None: none is set."""
        due = schema.endpoint_state.c.due_ms
        # The index holds none but those that are set.
        moment: int | None = await self._scalar(select(func.min(due)).where(due.is_not(None)))
        return None if moment is None else from_ms(moment)

    async def deliveries(self) -> dict[int, int]:
        """See `ports.Storage.deliveries`."""
        statement = dialects.rows(list(schema.delivery.columns))
        async with self.reading() as connection:
            return dict(await dialects.fetch(connection, statement))

    async def watermark(self) -> int:
        """See `ports.Storage.watermark`."""
        return int(await self._scalar(select(schema.installation.c.watermark)) or 0)

    async def last_revision(self) -> int:
        """See `ports.Storage.last_revision`."""
        pushed = int(await self._scalar(select(func.max(schema.push.c.revision))) or 0)
        return max(pushed, await self.watermark())

    async def alive_at(self) -> datetime | None:
        """See `ports.Storage.alive_at`."""
        alive = await self._scalar(select(schema.installation.c.alive_ms))
        return from_ms(int(alive)) if alive else None

    async def dates_at(self) -> datetime | None:
        """See `ports.Storage.dates_at`."""
        noted = await self._scalar(select(schema.installation.c.dates_ms))
        return from_ms(int(noted)) if noted else None

    async def outages(self) -> list[tuple[datetime, datetime]]:
        """See `ports.Storage.outages`."""
        async with self.reading() as connection:
            rows = (await connection.execute(select(schema.outage).order_by(schema.outage.c.started_ms))).all()
        return [(from_ms(row.started_ms), from_ms(row.ended_ms)) for row in rows]

    async def _scalar(self, statement: Select[Any]) -> Any:  # noqa: ANN401 - one value of any column
        async with self.reading() as connection:
            return (await connection.execute(statement)).scalar()
