"""Endpoints: what operators do with single ones.

Rules:
- A change of what the decision looks at is followed by the decision in the same transaction, as a report is.
- No call here changes what an endpoint runs (invariant 4).
- A topic that an endpoint leaves, because it gets another name or goes, is cleared.

Layer: application.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.application import drafts, preconditions, pushes
from orchestrator.application.audits import Action
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.problems import (
    NotFoundError,
)
from orchestrator.application.records import NewEndpoint
from orchestrator.application.visits import Visit, app_version_of, check_token, first_token
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.facts import Consented, Retried

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.documents.endpoints import EndpointBody
    from orchestrator.application.editing import Edit, EditingStorage, Gate, Wake
    from orchestrator.application.ports import Clock
    from orchestrator.application.preconditions import Precondition
    from orchestrator.application.records import EndpointDocument, EndpointRecord
    from orchestrator.application.rooms import Rooms
    from orchestrator.domain.versions import Version
    from protocol.topics import Instances

_TOKEN_BYTES = 16
"""Of chance in a token that is made here: 22 characters."""


class Endpoints:
    """The endpoints of all applications."""

    def __init__(
        self,
        storage: EditingStorage,
        directory: Directory,
        clock: Clock,
        gate: Gate,
        wake: Wake,
        *,
        rooms: Rooms,
        instances: Instances,
    ) -> None:
        """Take what the use cases need; `instances` name the push topics."""
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._gate = gate
        self._wake = wake
        self._rooms = rooms
        self._instances = instances

    def entry(self, application: str) -> Entry:
        """An application as it is now.

        Raises:
            NotFoundError: there is none of this name.
        """
        entry = self._directory.by_name(application)
        if entry is None:
            raise NotFoundError("application", application)
        return entry

    async def get(self, application: str, endpoint_id: str) -> EndpointDocument:
        """One endpoint.

        Raises:
            NotFoundError: there is no such application, or it has no such endpoint.
        """
        document = await self._storage.document(self.entry(application), endpoint_id)
        if document is None:
            raise NotFoundError("endpoint", endpoint_id)
        return document

    async def put(
        self,
        application: str,
        endpoint_id: str,
        body: EndpointBody,
        precondition: Precondition,
        *,
        by: Author = ANONYMOUS,
    ) -> tuple[EndpointDocument, bool]:
        """Write an endpoint; return it, and whether it is new.

        Raises:
            NotFoundError: there is no such application.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
            AppVersionUnknownError: the application does not have that version, or several and none was named.
            TokenTakenError: another endpoint of the application has the token.
            MemberError: there is no token, and the endpointId cannot be one.
        """
        async with self._storage.edit() as edit:
            entry = self.entry(application)
            document = await edit.document(entry, endpoint_id)
            precondition.check(None if document is None else _tag(document))
            if document is None:
                visit = await self._create(edit, entry, endpoint_id, body)
                stored = await visit.settle(visit.document)
            else:
                visit = await self._visit(edit, entry, document)
                stored = await self._revise(visit, body)
            await visit.audit(by, Action.ENDPOINT_PUT, document, stored)
        visit.follow(self._wake)
        return stored, document is None

    async def patch(
        self,
        application: str,
        endpoint_id: str,
        revised: Callable[[EndpointDocument], EndpointBody],
        precondition: Precondition,
        *,
        by: Author = ANONYMOUS,
    ) -> EndpointDocument:
        """Change an endpoint to what `revised` makes of it.

        Raises:
            NotFoundError: there is no such endpoint.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
            AppVersionUnknownError: the application does not have that version.
            TokenTakenError: another endpoint of the application has the token.
        """
        async with self._storage.edit() as edit:
            visit = await self._find(edit, application, endpoint_id)
            precondition.check(_tag(visit.document))
            stored = await self._revise(visit, revised(visit.document))
            await visit.audit(by, Action.ENDPOINT_PATCH, visit.document, stored)
        visit.follow(self._wake)
        return stored

    async def retry(
        self, application: str, endpoint_id: str, version: Version | None, *, by: Author = ANONYMOUS
    ) -> EndpointDocument:
        """Forget the endpoint's failures of one version, or of all, so that it is offered them again.

        Raises:
            NotFoundError: there is no such endpoint.
        """
        async with self._storage.edit() as edit:
            visit = await self._find(edit, application, endpoint_id)
            retried = Retried(version=version, at=visit.now)
            drafts.hear(visit.draft, visit.entry, retried, watermark=0, at=visit.now)
            stored = await visit.settle(visit.document)
            if visit.draft.entries:
                await visit.audit(by, Action.ENDPOINT_RETRY, visit.document, stored)
        visit.follow(self._wake)
        return stored

    async def consent(
        self, application: str, endpoint_id: str, version: Version | None, *, granted: bool, by: Author = ANONYMOUS
    ) -> EndpointDocument:
        """Give consent to a version at an endpoint, or refuse it, or take it back; the author's reason is kept.

        Without a version it is the one that the endpoint is offered or waits for.

        Raises:
            NotFoundError: there is no such endpoint.
            MemberError: no version is named, and the endpoint waits for none.
        """
        async with self._storage.edit() as edit:
            visit = await self._find(edit, application, endpoint_id)
            said = Consented(version=version or visit.awaited(), granted=granted, reason=by.reason, at=visit.now)
            drafts.hear(visit.draft, visit.entry, said, watermark=0, at=visit.now)
            stored = await visit.settle(visit.document)
            if visit.draft.entries:
                await visit.audit(by, Action.ENDPOINT_CONSENT, visit.document, stored)
        visit.follow(self._wake)
        if not granted:
            await self._gate.settled()
        return stored

    async def change_token(
        self,
        application: str,
        endpoint_id: str,
        state: TokenState | None,
        token: str | None,
        *,
        by: Author = ANONYMOUS,
    ) -> EndpointDocument:
        """Put a token into a state, or exchange it, or both; with neither, exchange it for one made of chance.

        Raises:
            NotFoundError: there is no such endpoint.
            TokenTakenError: another endpoint of the application has the token.
        """
        async with self._storage.edit() as edit:
            visit = await self._find(edit, application, endpoint_id)
            if state is None and token is None:
                token = secrets.token_urlsafe(_TOKEN_BYTES)
            visit.token = token or visit.token
            await visit.check_token()
            visit.draft.after = replace(visit.draft.after, token_state=state or visit.draft.after.token_state)
            drafts.settle(visit.draft, visit.entry, visit.now)
            stored = await visit.settle(replace(visit.document, revision=visit.document.revision + 1))
            await visit.audit(by, Action.ENDPOINT_TOKEN, visit.document, stored)
        visit.follow(self._wake)
        if state is not None and state is not TokenState.ACTIVE:
            await self._gate.settled()
        return stored

    async def delete(
        self, application: str, endpoint_id: str, precondition: Precondition, *, by: Author = ANONYMOUS
    ) -> None:
        """Delete an endpoint with its history; its push topics are cleared.

        Raises:
            NotFoundError: there is no such endpoint.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
        """
        async with self._storage.edit() as edit:
            visit = await self._find(edit, application, endpoint_id)
            document = visit.document
            precondition.check(_tag(document))
            await edit.delete_endpoint(document, visit.now)
            for topic in self._topics(document.record):
                await edit.clear_topic(topic)
            await visit.audit(by, Action.ENDPOINT_DELETE, document, None)
        visit.follow(self._wake)

    async def _find(self, edit: Edit, application: str, endpoint_id: str) -> Visit:
        entry = self.entry(application)
        document = await edit.document(entry, endpoint_id)
        if document is None:
            raise NotFoundError("endpoint", endpoint_id)
        return await self._visit(edit, entry, document)

    async def _visit(self, edit: Edit, entry: Entry, document: EndpointDocument) -> Visit:
        now = self._clock.now()
        ledger = await self._rooms.enter(edit, [entry], now)
        return Visit(
            edit=edit,
            entry=entry,
            document=document,
            draft=drafts.begin(document.record, ledger.room(entry)),
            token=document.record.token,
            now=now,
            instances=self._instances,
        )

    async def _create(self, edit: Edit, entry: Entry, endpoint_id: str, body: EndpointBody) -> Visit:
        token = body.token or first_token(endpoint_id)
        await check_token(edit, entry, endpoint_id, token)
        new = NewEndpoint(
            application=entry.application.key,
            endpoint_id=endpoint_id,
            token=token,
            app_version=app_version_of(entry, body.app_version, None),
            attributes=body.attributes,
            registered_at=self._clock.now(),
            token_state=TokenState.ACTIVE,
            pinned=body.pin,
        )
        visit = await self._visit(edit, entry, await edit.add_endpoint(entry, new))
        drafts.settle(visit.draft, entry, visit.now)
        return visit

    async def _revise(self, visit: Visit, body: EndpointBody) -> EndpointDocument:
        document, entry, draft = visit.document, visit.entry, visit.draft
        app_version = app_version_of(entry, body.app_version, draft.app_version)
        visit.token = body.token or visit.token
        await visit.check_token()
        given = (body.attributes, body.pin, app_version, visit.token)
        if given == (document.attributes, draft.after.pinned, draft.app_version, document.record.token):
            return document
        draft.after = replace(draft.after, pinned=body.pin)
        draft.new_attributes = body.attributes
        drafts.relocate(draft, app_version, self._instances)
        drafts.regroup(draft, entry)
        drafts.settle(draft, entry, visit.now)
        revised = replace(document, attributes=body.attributes, revision=document.revision + 1)
        return await visit.settle(revised)

    def _topics(self, record: EndpointRecord) -> list[str]:
        consulted = record.endpoint.consulted
        return pushes.topics_of(self._instances, record.app_version, record.token, consulted=consulted)


def _tag(document: EndpointDocument) -> str:
    return preconditions.tag_of(document, document.record.endpoint.registered_at)
