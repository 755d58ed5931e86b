"""A transaction that changes definitions, and endpoints as operators see them.

Rules:
- Numbers of new application versions are known to others only after the commit; a roll-back reads them anew.
- An endpoint that goes leaves one push: its topic, to be cleared.

Layer: persistence; implements `editing.Edit`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import delete, func, insert, select, update

from orchestrator.application.counters import CounterKey, add, leave_behind
from orchestrator.application.records import AppVersionTakenError, EndpointRecord
from orchestrator.domain.attempts import SETTLED, AttemptState, move
from orchestrator.domain.cohorts import cohort
from orchestrator.domain.endpoints import Endpoint
from orchestrator.persistence import (
    audits,
    definitions,
    departures,
    dialects,
    documents,
    particulars,
    remnants,
    retentions,
    rows,
    schema,
    writes,
)
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.numbers import endpoints_of
from orchestrator.persistence.schema import KEY_SPAN
from orchestrator.persistence.transactions import SqlTransaction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.audits import AuditEntry
    from orchestrator.application.classes import Renewal
    from orchestrator.application.directory import Entry
    from orchestrator.application.records import (
        Application,
        EndpointDocument,
        FilterRecord,
        NewEndpoint,
        SoftwareRecord,
    )
    from orchestrator.application.retentions import Stretch
    from orchestrator.domain.freezes import Freeze
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.numbers import Numbers
    from orchestrator.persistence.places import Places
    from orchestrator.persistence.scans import Scans

WITHDRAWN = AttemptState.WITHDRAWN
DELETED = "its endpoint was deleted"


class SqlEdit(SqlTransaction):
    """Everything operators do between begin and commit."""

    redefined = False
    """Whether names of application versions have changed."""

    def __init__(
        self, connection: AsyncConnection, dictionary: Dictionary, numbers: Numbers, scans: Scans, places: Places
    ) -> None:
        """Take the connection, what is kept in memory, and the partition among all."""
        super().__init__(connection, dictionary, numbers, scans)
        self._places = places

    async def put_application(self, application: Application) -> Application:
        """See `editing.Edit.put_application`."""
        values = definitions.application_row(application)
        if application.key:
            statement = update(schema.application).where(schema.application.c.id == application.key).values(values)
            await self._connection.execute(statement)
            key = application.key
        else:
            await self._places.take_application(self._connection, application.name)
            added = insert(schema.application).values(values).returning(schema.application.c.id)
            key = int((await self._connection.execute(added)).scalar_one())
        self.redefined = True
        self._dictionary.applications[key] = application.name
        await self._put_app_versions(key, application.app_versions)
        return definitions.with_key(application, key)

    async def _put_app_versions(self, key: int, names: Collection[str]) -> None:
        table, dictionary = schema.app_version, self._dictionary
        for name in names:
            number = dictionary.app_version_ids.get(name)
            if number is None:
                await self._places.take_app_version(self._connection, name, dictionary.applications[key])
                added = insert(table).values(application_id=key, name=name).returning(table.c.id)
                number = int((await self._connection.execute(added)).scalar_one())
                dictionary.add_app_version(number, key, name)
            elif dictionary.app_versions[number][0] != key:
                raise AppVersionTakenError(name)
        for number, (application, name) in list(dictionary.app_versions.items()):
            if application == key and name not in names:
                await self._places.give_up_app_versions(self._connection, [name])
                await self._connection.execute(delete(table).where(table.c.id == number))
                dictionary.forget_app_version(name)

    async def delete_application(self, key: int) -> None:
        """See `editing.Edit.delete_application`."""
        self.redefined = True
        await self._places.give_up_application(self._connection, self._dictionary.applications[key])
        counted = (schema.counter, remnants.attempt_sum)
        for table in (schema.software, schema.endpoint_filter, *counted, schema.work, schema.app_version):
            await self._connection.execute(delete(table).where(table.c.application_id == key))
        await self._connection.execute(delete(schema.version).where(schema.version.c.application_id == key))
        await self._connection.execute(delete(schema.application).where(schema.application.c.id == key))
        # Its number may be given out again: nothing may be left under it, neither here nor in the table.
        past = schema.attempt.c.endpoint_id
        await self._connection.execute(delete(schema.attempt).where(past > key * KEY_SPAN, past < (key + 1) * KEY_SPAN))
        self._dictionary.forget_application(key)

    async def put_software(self, application: int, record: SoftwareRecord) -> None:
        """See `editing.Edit.put_software`."""
        version = record.software.version
        await self.number([(application, version)])
        keys = {"application_id": application, "version_id": self._dictionary.number(application, version)}
        await self._connection.execute(delete(schema.software).filter_by(**keys))
        await self._connection.execute(insert(schema.software).values(keys | definitions.software_row(record)))

    async def delete_software(self, application: int, version: Version) -> None:
        """See `editing.Edit.delete_software`."""
        number = self._dictionary.number(application, version)
        keys = {"application_id": application, "version_id": number}
        offered = schema.software.c.offered_ms.is_not(None)
        kept = select(schema.software.c.specification).filter_by(**keys).where(offered)
        specification = (await self._connection.execute(kept)).scalar()
        if specification is not None:
            frozen = update(schema.version).where(schema.version.c.id == number)
            await self._connection.execute(frozen.values(frozen_specification=specification))
        await self._connection.execute(delete(schema.software).filter_by(**keys))

    async def frozen_specifications(self, application: int) -> Mapping[str, str]:
        """See `editing.Edit.frozen_specifications`."""
        return await definitions.frozen_specifications(self._connection, application)

    async def put_filter(self, application: int, record: FilterRecord) -> None:
        """See `editing.Edit.put_filter`."""
        keys = {"application_id": application, "filter_id": record.filter.filter_id}
        values = {
            "expression": record.filter.expression,
            "description": record.description,
            "revision": record.revision,
        }
        await self._connection.execute(delete(schema.endpoint_filter).filter_by(**keys))
        await self._connection.execute(insert(schema.endpoint_filter).values(keys | values))

    async def delete_filter(self, application: int, filter_id: str) -> None:
        """See `editing.Edit.delete_filter`."""
        statement = delete(schema.endpoint_filter).filter_by(application_id=application, filter_id=filter_id)
        await self._connection.execute(statement)

    async def entry(self, application: int) -> Entry:
        """See `editing.Edit.entry`."""
        return await definitions.load_entry(self._connection, application, self._dictionary)

    async def set_freeze(self, application: int | None, freeze: Freeze | None) -> None:
        """See `editing.Edit.set_freeze`."""
        await audits.set_freeze(self._connection, application, freeze)

    async def audit(self, entry: AuditEntry) -> None:
        """See `editing.Edit.audit`."""
        await audits.add(self._connection, entry)

    async def add_work(self, application: int, running: Collection[Version | None] | None, at: datetime) -> None:
        """See `editing.Edit.add_work`."""
        await self._add_work("decide", application, running, at)

    async def renew(
        self, application: int, renewal: Renewal, running: Collection[Version | None], at: datetime
    ) -> None:
        """See `editing.Edit.renew`."""
        await self._add_work(renewal.value, application, running, at)

    async def _add_work(
        self, kind: str, application: int, running: Collection[Version | None] | None, at: datetime
    ) -> None:
        ids = None
        if running is not None:
            number = self._dictionary.number
            ids = orjson.dumps(sorted(number(application, version) for version in running)).decode()
        work = {"application_id": application, "kind": kind, "running_ids": ids, "cursor": 0}
        await self._connection.execute(insert(schema.work).values(**work, created_ms=to_ms(at)))

    async def document(self, entry: Entry, endpoint_id: str) -> EndpointDocument | None:
        """See `editing.Edit.document`."""
        return await documents.one(self._connection, entry, endpoint_id, self._dictionary)

    async def token_owner(self, application: int, token: str) -> str | None:
        """See `editing.Edit.token_owner`."""
        statement = select(schema.endpoint.c.endpoint_id).filter_by(application_id=application, token=token)
        owner: str | None = (await self._connection.execute(statement)).scalar()
        return owner

    async def add_endpoint(self, entry: Entry, endpoint: NewEndpoint) -> EndpointDocument:
        """See `editing.Edit.add_endpoint`."""
        application = endpoint.application
        key = await self._numbers.endpoint_key(self._connection, application)
        if endpoint.pinned is not None:
            await self.number([(application, endpoint.pinned)])
        values = {
            "id": key,
            "application_id": application,
            "endpoint_id": endpoint.endpoint_id,
            "token": endpoint.token,
            "attributes": endpoint.attributes,
            "cohort": cohort(self._dictionary.applications[application], endpoint.endpoint_id),
            "registered_ms": to_ms(endpoint.registered_at),
            "revision": 1,
        }
        await self._connection.execute(insert(schema.endpoint).values(values))
        state = Endpoint(registered_at=endpoint.registered_at, token_state=endpoint.token_state, pinned=endpoint.pinned)
        record = EndpointRecord(
            key=key,
            application=application,
            endpoint_id=endpoint.endpoint_id,
            app_version=endpoint.app_version,
            token=endpoint.token,
            endpoint=state,
        )
        row = rows.encode(record, None, self._dictionary)
        await dialects.insert(self._connection, schema.endpoint_state, rows.STATE_COLUMNS, [row])
        await self.count(Counter({CounterKey(application, "running"): 1}))
        created = await self.document(entry, endpoint.endpoint_id)
        if created is None:
            raise AssertionError(endpoint.endpoint_id)
        return created

    async def documents_of(self, entry: Entry, endpoint_ids: Sequence[str]) -> list[EndpointDocument]:
        """See `editing.Edit.documents_of`."""
        return await documents.several(self._connection, entry, endpoint_ids, self._dictionary)

    async def token_owners(self, application: int, tokens: Sequence[str]) -> dict[str, str]:
        """See `editing.Edit.token_owners`."""
        return await documents.owners(self._connection, application, tokens)

    async def save_documents(self, documents: Sequence[tuple[EndpointDocument, str]]) -> None:
        """See `editing.Edit.save_documents`."""
        rows = [(item.record.key, token, item.attributes, item.revision) for item, token in documents]
        columns = ("id", "token", "attributes", "revision")
        await dialects.update(self._connection, schema.endpoint, columns, rows)

    async def save_document(self, document: EndpointDocument, token: str) -> None:
        """See `editing.Edit.save_document`."""
        values = {"attributes": document.attributes, "token": token, "revision": document.revision}
        statement = update(schema.endpoint).where(schema.endpoint.c.id == document.record.key).values(values)
        await self._connection.execute(statement)

    async def delete_endpoint(self, document: EndpointDocument, at: datetime) -> None:
        """See `editing.Edit.delete_endpoint`."""
        record = document.record
        gone: Counter[CounterKey] = Counter()
        add(gone, record.application, record.endpoint, -1)
        attempt = record.endpoint.attempt
        if attempt is not None:
            # It stays among the attempts ever made, as a superseded one. Nothing is to be expected of it any more.
            left = attempt if attempt.state in SETTLED else move(attempt, WITHDRAWN, at, reason=DELETED)
            leave_behind(gone, record.application, left, 1)
            number = self._numbers.take("attempt", 1) + 1
            row = writes.attempt_row(number, record.key, left, record.application, self._dictionary)
            await dialects.insert(self._connection, schema.attempt, writes.ATTEMPT, [row])
        await self.count(Counter({key: amount for key, amount in gone.items() if amount}))
        await documents.delete_chain(self._connection, record)
        await particulars.remove(self._connection, record.key)
        parked = schema.parked_push
        await self._connection.execute(delete(parked).where(parked.c.endpoint_id == record.key))
        for keyed in (schema.endpoint_state, schema.endpoint):
            await self._connection.execute(delete(keyed).where(keyed.c.id == record.key))
        # Attempts and stages know endpoints by their keys.
        await retentions.note_removed(self._connection, endpoints_of(record.application), record.key)

    async def remove(self, stretch: Stretch) -> int:
        """Remove rows that are kept for long enough; return how many there were."""
        return await retentions.remove(self._connection, stretch)

    async def remove_zeros(self, found: Sequence[Sequence[object]]) -> int:
        """The same for numbers that were found to be zero, those that are not any more left aside."""
        return await retentions.remove_zeros(self._connection, found)

    async def remove_entries(self, entries: Sequence[int]) -> int:
        """The same for history entries by number."""
        return await retentions.remove_entries(self._connection, entries)

    async def clear_topic(self, topic: str) -> None:
        """See `editing.Edit.clear_topic`."""
        revision = self._numbers.take("revision", 1) + 1
        await self._connection.execute(insert(schema.push).values(revision=revision, endpoint_id=0, topic=topic))

    async def sign_out(self, session: str, until: datetime, now: datetime) -> None:
        """Keep that a shared session was signed out of, until it would have ended."""
        await departures.keep(self._connection, self._places.home, session, to_ms(until), to_ms(now))

    async def endpoint_count(self, application: int) -> int:
        """See `editing.Edit.endpoint_count`."""
        keys = schema.endpoint.c.id
        inside = (keys > application * KEY_SPAN) & (keys < (application + 1) * KEY_SPAN)
        return int((await self._connection.execute(select(func.count()).where(inside))).scalar_one())

    async def app_version_used(self, application: int, name: str) -> bool:
        """See `editing.Edit.app_version_used`."""
        return await definitions.app_version_used(self._connection, application, name, self._dictionary)
