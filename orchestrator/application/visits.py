"""One endpoint in one of an operator's transactions: looked up, changed, written, kept in the audit, told.

Rules:
- A visit belongs to one transaction; `follow` is called once that has committed.
- A topic that the endpoint leaves because it gets another token is cleared.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.application import drafts
from orchestrator.application.audits import AuditEntry, endpoint_path
from orchestrator.application.documents import audits as documents
from orchestrator.application.problems import AppVersionUnknownError, MemberError, NotFoundError, TokenTakenError
from orchestrator.domain import changes
from protocol import topics
from protocol.errors import quoted

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.audits import Action
    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Entry
    from orchestrator.application.editing import Edit, Wake
    from orchestrator.application.records import Draft, EndpointDocument
    from orchestrator.domain.versions import Version
    from protocol.topics import Instances


@dataclass(slots=True, kw_only=True)
class Visit:
    """One endpoint in one transaction."""

    edit: Edit
    entry: Entry
    document: EndpointDocument
    """As the transaction found it."""
    draft: Draft
    token: str
    """What it shall have."""
    now: datetime
    instances: Instances
    audited: AuditEntry | None = None
    offered: set[Version] = field(default_factory=set)
    """Software that nobody was offered before."""

    async def settle(self, revised: EndpointDocument) -> EndpointDocument:
        """Write what has become of the endpoint, and return it as it is stored.

        Raises:
            NotFoundError: it is gone.
        """
        edit, entry, draft, now = self.edit, self.entry, self.draft, self.now
        drafts.rename(draft, self.token, self.instances)
        draft.push = drafts.pushes_needed(draft, entry)
        await edit.save_document(revised, self.token)
        await edit.store([draft], [changes.due_at(draft.after, entry.policy_of, now)], now)
        self.offered = entry.unfrozen(drafts.offered(draft))
        await edit.mark_offered([(entry.application.key, version) for version in self.offered], now)
        stored = await edit.document(entry, revised.endpoint_id)
        if stored is None:
            raise NotFoundError("endpoint", revised.endpoint_id)
        return stored

    async def check_token(self) -> None:
        """Pass when the endpoint may have its token.

        Raises:
            TokenTakenError: another endpoint of the application has it.
        """
        await check_token(self.edit, self.entry, self.document.endpoint_id, self.token)

    async def audit(
        self, by: Author, action: Action, before: EndpointDocument | None, after: EndpointDocument | None
    ) -> None:
        """Keep the change, if it is one."""
        if before is after:
            return
        self.audited = AuditEntry(
            at=self.now,
            application=self.entry.application.name,
            author=by,
            action=action,
            resource=endpoint_path(self.document.endpoint_id),
            before=documents.of_endpoint(before),
            after=documents.of_endpoint(after),
        )
        await self.edit.audit(self.audited)

    def follow(self, wake: Wake) -> None:
        """The transaction is committed: what it froze is frozen, and there may be something to publish and to tell."""
        self.entry.freeze(self.offered, self.now)
        wake.pushes()
        if self.audited is not None:
            wake.audited([self.audited])
        wake.happened(self.draft, created=self.audited is not None and self.audited.before is None)

    def awaited(self) -> Version:
        """What the endpoint is offered, or waits for.

        Raises:
            MemberError: neither.
        """
        endpoint = self.draft.after
        if endpoint.offer is not None:
            return endpoint.offer.version
        path = self.entry.decide(endpoint, self.now).path
        if not path:
            raise MemberError("'version' is required: the endpoint waits for nothing", "member-missing")
        return path[0]


async def check_token(edit: Edit, entry: Entry, endpoint_id: str, token: str) -> None:
    """Pass when an endpoint may have a token.

    Raises:
        TokenTakenError: another endpoint of the application has it.
    """
    owner = await edit.token_owner(entry.application.key, token)
    if owner not in {None, endpoint_id}:
        raise TokenTakenError(str(owner))


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
