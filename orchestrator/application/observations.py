"""What operators look at: lists of endpoints, why one is where it is, its history, an application's numbers.

Rules:
- A view reads what is committed and waits for nobody.

Layer: application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.documents import endpoints as documents
from orchestrator.application.documents import fleets
from orchestrator.application.problems import NotFoundError
from orchestrator.domain import explanations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.drawings.charts import Chart
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.floods import Floods
    from orchestrator.application.ports import Clock
    from orchestrator.application.records import (
        AttentionPlace,
        EndpointDocument,
        EndpointQuery,
        StoredHistory,
        StoredTrouble,
    )
    from orchestrator.application.silences import Silences


class Observations:
    """Views of all applications."""

    def __init__(
        self, storage: EditingStorage, directory: Directory, clock: Clock, floods: Floods, silences: Silences
    ) -> None:
        """Take what the views need."""
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._floods = floods
        self._silences = silences

    def entry(self, application: str) -> Entry:
        """An application as it is now.

        Raises:
            NotFoundError: there is none of this name.
        """
        entry = self._directory.by_name(application)
        if entry is None:
            raise NotFoundError("application", application)
        return entry

    async def endpoints(self, application: str, query: EndpointQuery) -> Sequence[EndpointDocument]:
        """The endpoints that match, in the order in which they were registered, at most `query.limit`.

        Raises:
            NotFoundError: there is no such application.
        """
        return await self._storage.documents(self.entry(application), query)

    async def history(
        self, application: str, endpoint_id: str, before: int | None, limit: int
    ) -> Sequence[StoredHistory]:
        """An endpoint's history, newest first, older than entry `before`, at most `limit` entries.

        Raises:
            NotFoundError: there is no such application, or it has no such endpoint.
        """
        return await self._storage.history(await self._document(application, endpoint_id), before, limit)

    async def explanation(self, application: str, endpoint_id: str) -> Document:
        """Why an endpoint is offered what it is offered, or nothing; whether it floods, what the broker refuses.

        Raises:
            NotFoundError: there is no such application, or it has no such endpoint.
        """
        entry = self.entry(application)
        document = await self._document(application, endpoint_id)
        now = self._clock.now()
        explanation = explanations.explain(document.record.endpoint, entry.catalogue, now)
        parked = await self._storage.parked_topics(document.record.key)
        notes = [f"the broker refuses its push topic {topic} (reason code 0x{code:02x})" for topic, code in parked]
        flood = self._floods.of((entry.application.key, document.record.token), now)
        notes += [] if flood is None else [str(flood)]
        return documents.build_explanation(endpoint_id, explanation, notes)

    async def attention(self, application: str, after: AttentionPlace | None, limit: int) -> Sequence[StoredTrouble]:
        """Endpoints that need attention, the worst first, after a place, at most `limit`.

        Raises:
            NotFoundError: there is no such application.
        """
        return await self._storage.troubles(self.entry(application), after, limit, self._clock.now())

    async def summary(self, application: str) -> Document:
        """The application's numbers.

        Raises:
            NotFoundError: there is no such application.
        """
        entry = self.entry(application)
        key = entry.application.key
        return fleets.build_summary(await self._storage.counters(key), entry, self._silences.of(key))

    async def chart(self, application: str) -> Chart:
        """The application's upgrade graph with its numbers.

        Raises:
            NotFoundError: there is no such application.
        """
        entry = self.entry(application)
        return fleets.chart(await self._storage.counters(entry.application.key), entry, self._clock.now())

    async def graph(self, application: str) -> Document:
        """The document of the application's upgrade graph.

        Raises:
            NotFoundError: there is no such application.
        """
        return fleets.build_graph(await self.chart(application))

    async def _document(self, application: str, endpoint_id: str) -> EndpointDocument:
        document = await self._storage.document(self.entry(application), endpoint_id)
        if document is None:
            raise NotFoundError("endpoint", endpoint_id)
        return document
