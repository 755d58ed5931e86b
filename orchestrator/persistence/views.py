"""What operators read: endpoints, history, numbers.

Layer: persistence; the reading half of `editing.EditingStorage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from orchestrator.persistence import (
    attentions,
    audits,
    counts,
    definitions,
    documents,
    inspections,
    retentions,
    schema,
    silences,
)
from orchestrator.persistence.censuses import Census
from orchestrator.persistence.measures import Measure
from orchestrator.persistence.queues import SqlQueues

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from orchestrator.application.audits import StoredAudit
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.diagnoses import Inspection
    from orchestrator.application.directory import Entry
    from orchestrator.application.measures import Measured
    from orchestrator.application.records import (
        AttentionPlace,
        EndpointDocument,
        EndpointQuery,
        StoredHistory,
        StoredTrouble,
    )
    from orchestrator.application.retentions import Remains, Stretch, Surplus
    from orchestrator.application.retirements import Page
    from orchestrator.domain.freezes import Freeze
    from orchestrator.domain.kinds import Crowd, Inquiry, Kind
    from orchestrator.domain.software import Software
    from orchestrator.domain.stagings import Place


class SqlViews(SqlQueues):
    """Reads beside the writer."""

    async def entries(self) -> list[Entry]:
        """Every application with its software and filters."""
        async with self.reading() as connection:
            keys = list((await connection.execute(select(schema.application.c.id))).scalars())
            return [await definitions.load_entry(connection, key, self._dictionary) for key in keys]

    async def document(self, entry: Entry, endpoint_id: str) -> EndpointDocument | None:
        """See `editing.EditingStorage.document`."""
        async with self.reading() as connection:
            return await documents.one(connection, entry, endpoint_id, self._dictionary)

    async def documents(self, entry: Entry, query: EndpointQuery) -> list[EndpointDocument]:
        """See `editing.EditingStorage.documents`."""
        async with self.reading() as connection:
            return await documents.listed(connection, entry, query, self._dictionary)

    async def history(self, document: EndpointDocument, before: int | None, limit: int) -> list[StoredHistory]:
        """See `editing.EditingStorage.history`."""
        async with self.reading() as connection:
            return await documents.history(connection, document.record, before, limit, self._dictionary)

    async def counters(self, application: int) -> Counter[CounterKey]:
        """See `editing.EditingStorage.counters`."""
        async with self.reading() as connection:
            chosen = schema.counter.c.application_id == application
            return await counts.read(connection, chosen, self._dictionary)

    async def measure(self, entry: Entry, item: Software, now: datetime) -> Measured:
        """See `editing.EditingStorage.measure`."""
        async with self.reading() as connection:
            return await Measure(entry, item, self._dictionary, now).take(connection)

    async def freeze(self, application: int | None) -> Freeze | None:
        """See `editing.EditingStorage.freeze`."""
        async with self.reading() as connection:
            return await audits.load_freeze(connection, application)

    async def audits(self, application: str | None, before: int | None, limit: int) -> list[StoredAudit]:
        """See `editing.EditingStorage.audits`."""
        async with self.reading() as connection:
            return await audits.listed(connection, application, before, limit)

    async def oldest(self, what: Remains, before: datetime | None, most: int | None, limit: int) -> Stretch | None:
        """See `retentions.Archive.oldest`."""
        async with self.reading() as connection:
            return await retentions.oldest(connection, what, before, most, limit)

    async def surplus(self, after: int, endpoints: int, most: int) -> Surplus:
        """See `retentions.Archive.surplus`."""
        async with self.reading() as connection:
            return await retentions.surplus(connection, after, endpoints, most)

    async def silent(self, after: int, endpoints: int, since: datetime) -> Page:
        """See `retirements.Register.silent`."""
        async with self.reading() as connection:
            return await silences.silent(connection, after, endpoints, since)

    async def inspect(self) -> Inspection:
        """See `diagnoses.Inspected.inspect`."""
        async with self.reading() as connection:
            return await inspections.inspect(connection)

    async def troubles(
        self, entry: Entry, after: AttentionPlace | None, limit: int, now: datetime
    ) -> list[StoredTrouble]:
        """See `editing.EditingStorage.troubles`."""
        async with self.reading() as connection:
            return await attentions.listed(connection, entry, after, limit, now, self._dictionary)

    async def census(self, application: int, inquiry: Inquiry) -> Mapping[Kind, Crowd]:
        """See `editing.EditingStorage.census`."""
        async with self.reading() as connection:
            return await Census(application, inquiry, self._dictionary).take(connection)

    async def places(
        self, application: int, inquiry: Inquiry, turned: int, low: int, high: int
    ) -> Mapping[Kind, Sequence[Place]]:
        """See `editing.EditingStorage.places`."""
        async with self.reading() as connection:
            return await Census(application, inquiry, self._dictionary).places(connection, turned, low, high)

    async def app_version_used(self, application: int, name: str) -> bool:
        """See `editing.EditingStorage.app_version_used`."""
        async with self.reading() as connection:
            return await definitions.app_version_used(connection, application, name, self._dictionary)

    async def longest_token(self, application: int) -> int:
        """See `editing.EditingStorage.longest_token`."""
        async with self.reading() as connection:
            return await definitions.longest_token(connection, application)

    async def frozen_specifications(self, application: int) -> Mapping[str, str]:
        """See `editing.EditingStorage.frozen_specifications`."""
        async with self.reading() as connection:
            return await definitions.frozen_specifications(connection, application)

    async def parked_topics(self, key: int) -> list[tuple[str, int]]:
        """See `editing.EditingStorage.parked_topics`."""
        table = schema.parked_push
        chosen = select(table.c.topic, table.c.reason_code).where(table.c.endpoint_id == key)
        async with self.reading() as connection:
            return [(row.topic, row.reason_code) for row in await connection.execute(chosen)]
