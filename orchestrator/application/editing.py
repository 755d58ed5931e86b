"""What the operators' use cases need of the storage, as roles.

Rules:
- An edit is one transaction of the one writer: the definition, the work item that follows from it, and the endpoint's
  new state are written together or not at all.
- Views read a committed state and wait for nobody.

Layer: application; ports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orchestrator.application.ports import Transaction

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from orchestrator.application.audits import AuditEntry, StoredAudit
    from orchestrator.application.classes import Renewal, Work
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.diagnoses import Inspection
    from orchestrator.application.directory import Entry
    from orchestrator.application.measures import Measured
    from orchestrator.application.records import (
        Application,
        AttentionPlace,
        Draft,
        EndpointDocument,
        EndpointQuery,
        FilterRecord,
        NewEndpoint,
        SoftwareRecord,
        StoredHistory,
        StoredTrouble,
    )
    from orchestrator.domain.freezes import Freeze
    from orchestrator.domain.kinds import Crowd, Inquiry, Kind
    from orchestrator.domain.software import Software
    from orchestrator.domain.stagings import Place
    from orchestrator.domain.versions import Version


class Edit(Transaction, Protocol):
    """A transaction that may change definitions as well as endpoints."""

    async def put_application(self, application: Application) -> Application:
        """Create (key 0) or replace an application; return it with its key.

        Raises:
            AppVersionTakenError: an application version belongs to another application.
        """

    async def delete_application(self, key: int) -> None:
        """Delete an application that has no endpoints, with its software and filters."""

    async def put_software(self, application: int, record: SoftwareRecord) -> None:
        """Create or replace a software."""

    async def delete_software(self, application: int, version: Version) -> None:
        """Delete a software; attempts and history keep naming the version."""

    async def frozen_specifications(self, application: int) -> Mapping[str, str]:
        """The specifications under which software was offered that has been deleted, by version."""

    async def put_filter(self, application: int, record: FilterRecord) -> None:
        """Create or replace a filter."""

    async def delete_filter(self, application: int, filter_id: str) -> None:
        """Delete a filter."""

    async def entry(self, application: int) -> Entry:
        """The application as this transaction sees it, read anew."""

    async def set_freeze(self, application: int | None, freeze: Freeze | None) -> None:
        """Freeze an application (None: all of them), or lift its freeze; the other freezes stay."""

    async def audit(self, entry: AuditEntry) -> None:
        """Keep what an operator has changed."""

    async def add_work(self, application: int, running: Collection[Version | None] | None, at: datetime) -> None:
        """Have the endpoints that run one of these versions (None: unknown) decided anew; None: all endpoints."""

    async def renew(
        self, application: int, renewal: Renewal, running: Collection[Version | None], at: datetime
    ) -> None:
        """Have those of the endpoints that run one of these versions told anew that the renewal is about."""

    async def document(self, entry: Entry, endpoint_id: str) -> EndpointDocument | None:
        """One endpoint, filters in use included in its state."""

    async def token_owner(self, application: int, token: str) -> str | None:
        """The endpointId of the endpoint that has this token."""

    async def add_endpoint(self, entry: Entry, endpoint: NewEndpoint) -> EndpointDocument:
        """Create an endpoint."""

    async def documents_of(self, entry: Entry, endpoint_ids: Sequence[str]) -> list[EndpointDocument]:
        """Those of these endpoints that exist, in any order."""

    async def token_owners(self, application: int, tokens: Sequence[str]) -> dict[str, str]:
        """The endpointIds of the endpoints that have these tokens, by token."""

    async def save_documents(self, documents: Sequence[tuple[EndpointDocument, str]]) -> None:
        """Do what `save_document` does for several, each with its token, which no other endpoint has."""

    async def save_document(self, document: EndpointDocument, token: str) -> None:
        """Write attributes, token and revision of an endpoint; its state is written by `store`."""

    async def delete_endpoint(self, document: EndpointDocument, at: datetime) -> None:
        """Delete an endpoint with its history and count it out; `clear_topic` is the caller's.

        Its latest attempt stays among those that were ever made, withdrawn at `at` where it was not settled.
        """

    async def clear_topic(self, topic: str) -> None:
        """Have what is retained on a push topic cleared, because its endpoint is gone."""

    async def app_version_used(self, application: int, name: str) -> bool:
        """Whether an endpoint of the application has this application version."""

    async def endpoint_count(self, application: int) -> int:
        """How many endpoints an application has."""


class EditingStorage(Protocol):
    """The storage of definitions and endpoints, as operators use it."""

    def edit(self) -> AbstractAsyncContextManager[Edit]:
        """Begin; commit at the end of the block, roll back when it raises.

        Raises:
            StorageError: begin or commit did not succeed; nothing is written.
        """

    async def works(self) -> list[Work]:
        """All unfinished changes, oldest first."""

    async def entries(self) -> list[Entry]:
        """Every application with its software and filters."""

    async def document(self, entry: Entry, endpoint_id: str) -> EndpointDocument | None:
        """One endpoint, filters in use included in its state."""

    async def documents(self, entry: Entry, query: EndpointQuery) -> list[EndpointDocument]:
        """Endpoints in order of their key, at most `query.limit` of them, after `query.after`."""

    async def history(self, document: EndpointDocument, before: int | None, limit: int) -> list[StoredHistory]:
        """History entries of an endpoint, newest first, older than entry `before`."""

    async def counters(self, application: int) -> Counter[CounterKey]:
        """All numbers of an application, zeros left out."""

    async def app_version_used(self, application: int, name: str) -> bool:
        """Whether an endpoint of the application has this application version."""

    async def longest_token(self, application: int) -> int:
        """The bytes of the longest token of an application's endpoints; 0 without endpoints."""

    async def census(self, application: int, inquiry: Inquiry) -> Mapping[Kind, Crowd]:
        """How many endpoints of each kind an application has, as far as it is asked for."""

    async def places(
        self, application: int, inquiry: Inquiry, turned: int, low: int, high: int
    ) -> Mapping[Kind, Sequence[Place]]:
        """Where the endpoints of each kind stand, from rank `low` to below `high`, in no order.

        `turned` is by how much a rollout turns the order of endpoints. An index finds them.
        """

    async def measure(self, entry: Entry, item: Software, now: datetime) -> Measured:
        """How large the present stage of a rollout is; beside the writer, by one scan of what the stage admits."""

    async def frozen_specifications(self, application: int) -> Mapping[str, str]:
        """The specifications under which software was offered that has been deleted, by version."""

    async def freeze(self, application: int | None) -> Freeze | None:
        """The freeze of an application itself, or with None that of all applications."""

    async def audits(self, application: str | None, before: int | None, limit: int) -> list[StoredAudit]:
        """Entries of the audit, newest first, older than entry `before`; None: of all applications."""

    async def inspect(self) -> Inspection:
        """Look at the database itself; takes longer the larger it is."""

    async def troubles(
        self, entry: Entry, after: AttentionPlace | None, limit: int, now: datetime
    ) -> list[StoredTrouble]:
        """Endpoints that need attention, the worst first, after a place, at most `limit`."""

    async def parked_topics(self, key: int) -> list[tuple[str, int]]:
        """Push topics of an endpoint that the broker refuses, with the reason code."""


class Gate(Protocol):
    """The publisher, as a stop needs it."""

    async def settled(self) -> None:
        """Return when what was leaving at the call is answered by the broker, or lost with the connection.

        To be called when a stop is committed and the directory replaced: what is rendered from then on sees the stop,
        and what was rendered before has arrived when this returns (invariant 7). A broker that does not answer delays
        the return, never the stop.
        """


class Wake(Protocol):
    """Says that there is something new in the storage."""

    def pushes(self) -> None:
        """New pushes were committed."""

    def work(self) -> None:
        """A new work item was committed, or a date has changed."""

    def audited(self, entries: Sequence[AuditEntry]) -> None:
        """Changes by operators were committed."""

    def happened(self, draft: Draft, *, created: bool) -> None:
        """An operator's change of an endpoint, with what followed from it, was committed."""
