"""Endpoints: what operators do with single ones.

Rules:
- A change of what the decision looks at is followed by the decision in the same transaction, as a report is.
- No call here changes what an endpoint runs (invariant 4).
- A topic that an endpoint leaves, because it gets another name or goes, is cleared.

Layer: application.
"""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.application import drafts, preconditions
from orchestrator.application.audits import Action, AuditEntry, endpoint_path
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.documents import audits as documents
from orchestrator.application.problems import (
    AppVersionUnknownError,
    MemberError,
    NotFoundError,
    TokenTakenError,
)
from orchestrator.application.records import NewEndpoint
from orchestrator.domain import changes
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.facts import Consented, Retried
from protocol import topics
from protocol.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.documents.endpoints import EndpointBody
    from orchestrator.application.editing import Edit, EditingStorage, Gate, Wake
    from orchestrator.application.ports import Clock
    from orchestrator.application.preconditions import Precondition
    from orchestrator.application.records import Draft, EndpointDocument
    from orchestrator.domain.versions import Version
    from protocol.topics import Instances

_TOKEN_BYTES = 16
"""Of chance in a token that is made here: 22 characters."""


@dataclass(slots=True, kw_only=True)
class _Visit:
    """One endpoint in one transaction."""

    edit: Edit
    entry: Entry
    document: EndpointDocument
    draft: Draft
    token: str
    now: datetime
    audited: AuditEntry | None = None
    offered: set[Version] = field(default_factory=set)
    """Software that nobody was offered before."""


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
        instances: Instances,
    ) -> None:
        """Take what the use cases need; `instances` name the push topics."""
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._gate = gate
        self._wake = wake
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
                stored = await self._settle(visit, visit.document)
            else:
                visit = self._visit(edit, entry, document)
                stored = await self._revise(visit, body)
            await self._audit(visit, by, Action.ENDPOINT_PUT, document, stored)
        self._follow(visit)
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
            await self._audit(visit, by, Action.ENDPOINT_PATCH, visit.document, stored)
        self._follow(visit)
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
            stored = await self._settle(visit, visit.document)
            if visit.draft.entries:
                await self._audit(visit, by, Action.ENDPOINT_RETRY, visit.document, stored)
        self._follow(visit)
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
        async with nullcontext() if granted else self._gate.closed(), self._storage.edit() as edit:
            visit = await self._find(edit, application, endpoint_id)
            said = Consented(version=version or _awaited(visit), granted=granted, reason=by.reason, at=visit.now)
            drafts.hear(visit.draft, visit.entry, said, watermark=0, at=visit.now)
            stored = await self._settle(visit, visit.document)
            if visit.draft.entries:
                await self._audit(visit, by, Action.ENDPOINT_CONSENT, visit.document, stored)
        self._follow(visit)
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
        stops = state is not None and state is not TokenState.ACTIVE
        async with self._gate.closed() if stops else nullcontext(), self._storage.edit() as edit:
            visit = await self._find(edit, application, endpoint_id)
            if state is None and token is None:
                token = secrets.token_urlsafe(_TOKEN_BYTES)
            visit.token = token or visit.token
            await self._check_token(edit, visit.entry, endpoint_id, visit.token)
            visit.draft.after = replace(visit.draft.after, token_state=state or visit.draft.after.token_state)
            drafts.settle(visit.draft, visit.entry, visit.now)
            stored = await self._settle(visit, replace(visit.document, revision=visit.document.revision + 1))
            await self._audit(visit, by, Action.ENDPOINT_TOKEN, visit.document, stored)
        self._follow(visit)
        return stored

    async def delete(
        self, application: str, endpoint_id: str, precondition: Precondition, *, by: Author = ANONYMOUS
    ) -> None:
        """Delete an endpoint with its history; its push topic is cleared.

        Raises:
            NotFoundError: there is no such endpoint.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
        """
        async with self._storage.edit() as edit:
            visit = await self._find(edit, application, endpoint_id)
            document = visit.document
            precondition.check(_tag(document))
            await edit.delete_endpoint(document)
            await edit.clear_topic(self._topic(document.record.app_version, document.record.token))
            await self._audit(visit, by, Action.ENDPOINT_DELETE, document, None)
        self._follow(visit)

    async def _find(self, edit: Edit, application: str, endpoint_id: str) -> _Visit:
        entry = self.entry(application)
        document = await edit.document(entry, endpoint_id)
        if document is None:
            raise NotFoundError("endpoint", endpoint_id)
        return self._visit(edit, entry, document)

    def _visit(self, edit: Edit, entry: Entry, document: EndpointDocument) -> _Visit:
        return _Visit(
            edit=edit,
            entry=entry,
            document=document,
            draft=drafts.begin(document.record),
            token=document.record.token,
            now=self._clock.now(),
        )

    async def _create(self, edit: Edit, entry: Entry, endpoint_id: str, body: EndpointBody) -> _Visit:
        token = body.token or first_token(endpoint_id)
        await self._check_token(edit, entry, endpoint_id, token)
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
        visit = self._visit(edit, entry, await edit.add_endpoint(entry, new))
        drafts.settle(visit.draft, entry, visit.now)
        return visit

    async def _revise(self, visit: _Visit, body: EndpointBody) -> EndpointDocument:
        document, entry, draft = visit.document, visit.entry, visit.draft
        app_version = app_version_of(entry, body.app_version, draft.app_version)
        visit.token = body.token or visit.token
        await self._check_token(visit.edit, entry, document.endpoint_id, visit.token)
        given = (body.attributes, body.pin, app_version, visit.token)
        if given == (document.attributes, draft.after.pinned, draft.app_version, document.record.token):
            return document
        draft.after = replace(draft.after, pinned=body.pin)
        draft.new_attributes = body.attributes
        drafts.relocate(draft, app_version, self._instances)
        drafts.regroup(draft, entry)
        drafts.settle(draft, entry, visit.now)
        revised = replace(document, attributes=body.attributes, revision=document.revision + 1)
        return await self._settle(visit, revised)

    async def _settle(self, visit: _Visit, revised: EndpointDocument) -> EndpointDocument:
        """Write what has become of the endpoint, and return it as it is stored."""
        edit, entry, draft, now = visit.edit, visit.entry, visit.draft, visit.now
        drafts.rename(draft, visit.token, self._instances)
        draft.push = drafts.pushes_needed(draft, entry)
        await edit.save_document(revised, visit.token)
        await edit.store([draft], [changes.due_at(draft.after, entry.policy_of, now)], now)
        visit.offered = entry.unfrozen(drafts.offered(draft))
        await edit.mark_offered([(entry.application.key, version) for version in visit.offered], now)
        stored = await edit.document(entry, revised.endpoint_id)
        if stored is None:
            raise NotFoundError("endpoint", revised.endpoint_id)
        return stored

    def _follow(self, visit: _Visit) -> None:
        """The transaction is committed: what it froze is frozen, and there may be something to publish."""
        visit.entry.freeze(visit.offered, visit.now)
        self._wake.pushes()
        if visit.audited is not None:
            self._wake.audited([visit.audited])
        self._wake.happened(visit.draft, created=visit.audited is not None and visit.audited.before is None)

    async def _audit(
        self,
        visit: _Visit,
        by: Author,
        action: Action,
        before: EndpointDocument | None,
        after: EndpointDocument | None,
    ) -> None:
        """Keep the change, if it is one."""
        if before is after:
            return
        visit.audited = AuditEntry(
            at=visit.now,
            application=visit.entry.application.name,
            author=by,
            action=action,
            resource=endpoint_path(visit.document.endpoint_id),
            before=documents.of_endpoint(before),
            after=documents.of_endpoint(after),
        )
        await visit.edit.audit(visit.audited)

    async def _check_token(self, edit: Edit, entry: Entry, endpoint_id: str, token: str) -> None:
        owner = await edit.token_owner(entry.application.key, token)
        if owner not in {None, endpoint_id}:
            raise TokenTakenError(str(owner))

    def _topic(self, app_version: str, token: str) -> str:
        return topics.push_topic(self._instances, app_version, token)


def _tag(document: EndpointDocument) -> str:
    return preconditions.tag_of(document, document.record.endpoint.registered_at)


def _awaited(visit: _Visit) -> Version:
    """What the endpoint is offered, or waits for."""
    endpoint = visit.draft.after
    if endpoint.offer is not None:
        return endpoint.offer.version
    path = visit.entry.decide(endpoint, visit.now).path
    if not path:
        raise MemberError("'version' is required: the endpoint waits for nothing", "member-missing")
    return path[0]


def first_token(endpoint_id: str) -> str:
    """The token of a new endpoint for which none was given: its own name.

    Raises:
        MemberError: it cannot be one.
    """
    if not topics.TOKEN.fullmatch(endpoint_id):
        raise MemberError(f"'token' is required: {quoted(endpoint_id)} cannot be one", "member-missing")
    return endpoint_id


def app_version_of(entry: Entry, given: str | None, present: str | None) -> str:
    """The application version that an endpoint gets: the one given, else the one it has, else the only one.

    Raises:
        AppVersionUnknownError: the application does not have it, or several and none was named.
    """
    names = entry.application.app_versions
    name = given or present or (names[0] if len(names) == 1 else None)
    if name not in names:
        raise AppVersionUnknownError(name, names)
    return name
