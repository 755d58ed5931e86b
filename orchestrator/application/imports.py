"""Bulk import: many endpoints created or updated by one call, page by page.

Rules:
- A page of lines is one transaction with a constant number of statements, so that reports are let in between.
- A line is taken as a `PUT` without preconditions would be. One that cannot be is told with its number and changes
  nothing; the others are imported.
- An asserted version counts only for an endpoint that has never reported: reports move versions (invariant 4).

Layer: application.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.application import drafts
from orchestrator.application.audits import Action, AuditEntry
from orchestrator.application.documents import imports as documents
from orchestrator.application.documents import texts
from orchestrator.application.newcomers import newcomer
from orchestrator.application.problems import NotFoundError, RequestError, TokenTakenError
from orchestrator.application.visits import app_version_of, first_token
from orchestrator.domain import changes
from orchestrator.domain.errors import DomainError
from orchestrator.domain.facts import Asserted
from protocol.errors import MessageError, PayloadTooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Sequence
    from datetime import datetime

    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.documents.imports import ImportBody
    from orchestrator.application.editing import Edit, EditingStorage, Wake
    from orchestrator.application.ports import Clock
    from orchestrator.application.records import Draft, EndpointDocument
    from orchestrator.application.rooms import Ledger, Rooms
    from orchestrator.domain.endpoints import Endpoint
    from protocol.topics import Instances

PAGE = 250
"""Lines in one transaction."""
ERRORS = 100
"""Errors that are told; the others are counted."""
REPORTED = "running-version-reported"
_BREATH = 50
"""Lines that are read before others have their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the request."""

    number: int
    """From 1."""
    text: bytes | None
    """None: it, or what came before it, is too long to be read."""
    limit_bytes: int = documents.LINE.payload_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LineError:
    """What is wrong with a line."""

    line: int
    code: str
    detail: str


@dataclass(slots=True, kw_only=True)
class Imported:
    """What has become of the lines."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    errors: list[LineError] = field(default_factory=list)

    def fail(self, line: int, code: str, detail: str) -> None:
        """A line is not imported."""
        self.failed += 1
        self.note(line, code, detail)

    def note(self, line: int, code: str, detail: str) -> None:
        """Something about a line has to be told."""
        if len(self.errors) < ERRORS:
            self.errors.append(LineError(line=line, code=code, detail=detail))


@dataclass(slots=True, kw_only=True)
class _Page:
    """Lines that are imported in one transaction; no two are about one endpoint, or name one token."""

    lines: list[tuple[int, ImportBody]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)

    def admits(self, body: ImportBody) -> bool:
        full = len(self.lines) >= PAGE
        return not (full or body.endpoint_id in self.names or (body.token or body.endpoint_id) in self.tokens)

    def add(self, number: int, body: ImportBody) -> None:
        self.lines.append((number, body))
        self.names.add(body.endpoint_id)
        self.tokens.add(body.token or body.endpoint_id)


@dataclass(slots=True, kw_only=True)
class _Work:
    """One page being imported."""

    edit: Edit
    entry: Entry
    now: datetime
    ledger: Ledger
    present: dict[str, EndpointDocument]
    owners: dict[str, str]
    """Token → endpointId."""
    drafts: list[Draft] = field(default_factory=list)
    documents: list[tuple[EndpointDocument, str]] = field(default_factory=list)
    """Those that are revised, each with its token."""
    freed: set[str] = field(default_factory=set)
    """Tokens that endpoints of this page give up: who takes one comes after the commit."""
    deferred: _Page = field(default_factory=_Page)
    result: Imported = field(default_factory=Imported)


class Imports:
    """Imports endpoints."""

    def __init__(
        self,
        storage: EditingStorage,
        directory: Directory,
        clock: Clock,
        wake: Wake,
        *,
        rooms: Rooms,
        instances: Instances,
    ) -> None:
        """Take what the use case needs."""
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._wake = wake
        self._rooms = rooms
        self._instances = instances

    async def run(self, application: str, lines: AsyncIterable[Line], *, by: Author) -> Imported:
        """Import endpoints, one of each line; return what has become of them.

        Raises:
            NotFoundError: there is no such application.
            StorageError: a page could not be stored; those before it are.
        """
        self._entry(application)
        total, page = Imported(), _Page()
        async for line in lines:
            body = _read(line, total)
            if body is not None:
                if not page.admits(body):
                    await self._import(application, page, total, by)
                    page = _Page()
                page.add(line.number, body)
            if line.number % _BREATH == 0:
                await asyncio.sleep(0)
        await self._import(application, page, total, by)
        total.errors.sort(key=lambda error: error.line)
        return total

    def _entry(self, application: str) -> Entry:
        entry = self._directory.by_name(application)
        if entry is None:
            raise NotFoundError("application", application)
        return entry

    async def _import(self, application: str, page: _Page, total: Imported, by: Author) -> None:
        while page.lines:
            page = await self._import_once(application, page, total, by)

    async def _import_once(self, application: str, page: _Page, total: Imported, by: Author) -> _Page:
        """Import a page; return its lines that have to wait for what the others did."""
        async with self._storage.edit() as edit:
            entry, now = self._entry(application), self._clock.now()
            key = entry.application.key
            present = {item.endpoint_id: item for item in await edit.documents_of(entry, list(page.names))}
            owners = await edit.token_owners(key, list(page.tokens))
            ledger = await self._rooms.enter(edit, [entry], now)
            work = _Work(edit=edit, entry=entry, now=now, ledger=ledger, present=present, owners=owners)
            for number, body in page.lines:
                self._take(work, number, body)
            fresh = entry.unfrozen({version for draft in work.drafts for version in drafts.offered(draft)})
            due = [changes.due_at(draft.after, entry.policy_of, now) for draft in work.drafts]
            await edit.save_documents(work.documents)
            await edit.store(work.drafts, due, now)
            await edit.mark_offered([(key, version) for version in fresh], now)
            audited = self._audited(application, work, page.lines, by)
            if work.drafts:
                await edit.audit(audited)
        entry.freeze(fresh, now)
        self._follow(work, audited)
        _add(total, work.result)
        return work.deferred

    def _follow(self, work: _Work, audited: AuditEntry) -> None:
        if not work.drafts:
            return
        self._wake.pushes()
        self._wake.audited([audited])
        for draft in work.drafts:
            self._wake.happened(draft, created=not draft.before.key)

    def _audited(
        self, application: str, work: _Work, lines: Sequence[tuple[int, ImportBody]], by: Author
    ) -> AuditEntry:
        numbers = {"created": work.result.created, "updated": work.result.updated, "failed": work.result.failed}
        return AuditEntry(
            at=work.now,
            application=application,
            author=by,
            action=Action.ENDPOINT_IMPORT,
            resource="endpoints",
            after=texts.build({"firstLine": lines[0][0], "lastLine": lines[-1][0], **numbers}),
        )

    def _take(self, work: _Work, number: int, body: ImportBody) -> None:
        present = work.present.get(body.endpoint_id)
        if work.deferred.lines or (body.token or body.endpoint_id) in work.freed:
            # All that follow wait as well: lines are taken in their order.
            work.deferred.add(number, body)
            return
        try:
            if present is None:
                self._create(work, body)
                work.result.created += 1
            elif self._revise(work, body, present):
                work.result.updated += 1
            else:
                work.result.unchanged += 1
        except RequestError as error:
            work.result.fail(number, error.code, str(error))
            return
        if present is not None and _contradicted(present.record.endpoint, body):
            told = f"it has reported {present.record.endpoint.running}; only its reports change that"
            work.result.note(number, REPORTED, told)

    def _create(self, work: _Work, body: ImportBody) -> None:
        entry, now = work.entry, work.now
        token = body.token or first_token(body.endpoint_id)
        _check_token(work, token, body.endpoint_id)
        app_version = app_version_of(entry, body.app_version, None)
        record = newcomer(entry, body.endpoint_id, token, app_version, now, attributes=body.attributes, pinned=body.pin)
        draft = drafts.begin(record, work.ledger.room(entry))
        draft.new_attributes = body.attributes
        self._settle(work, draft, body)

    def _revise(self, work: _Work, body: ImportBody, present: EndpointDocument) -> bool:
        entry, before = work.entry, present.record
        app_version = app_version_of(entry, body.app_version, before.app_version)
        token = body.token or before.token
        _check_token(work, token, body.endpoint_id)
        edited = (body.attributes, body.pin, app_version, token) != (
            present.attributes,
            before.endpoint.pinned,
            before.app_version,
            before.token,
        )
        asserted = _asserts(before.endpoint, body)
        if not edited and not asserted:
            return False
        draft = drafts.begin(before, work.ledger.room(entry))
        draft.after = replace(draft.after, pinned=body.pin)
        draft.new_attributes = body.attributes
        drafts.relocate(draft, app_version, self._instances)
        drafts.regroup(draft, entry)
        if token != before.token:
            work.freed.add(before.token)
            drafts.rename(draft, token, self._instances)
        self._settle(work, draft, body)
        revision = present.revision + edited
        work.documents.append((replace(present, attributes=body.attributes, revision=revision), token))
        return True

    def _settle(self, work: _Work, draft: Draft, body: ImportBody) -> None:
        asserted = body.asserted
        if asserted is not None and _asserts(draft.after, body):
            drafts.hear(draft, work.entry, Asserted(version=asserted, at=work.now), watermark=0, at=work.now)
        drafts.settle(draft, work.entry, work.now)
        draft.push = drafts.pushes_needed(draft, work.entry)
        work.drafts.append(draft)


def _read(line: Line, total: Imported) -> ImportBody | None:
    try:
        if line.text is None:
            raise PayloadTooLargeError(line.limit_bytes + 1, line.limit_bytes)
        return documents.read(line.text)
    except MessageError as error:
        total.fail(line.number, error.code, error.reason)
    except (RequestError, DomainError) as error:
        total.fail(line.number, error.code, str(error))
    return None


def _check_token(work: _Work, token: str, endpoint_id: str) -> None:
    owner = work.owners.get(token)
    if owner not in {None, endpoint_id}:
        raise TokenTakenError(str(owner))


def _asserts(endpoint: Endpoint, body: ImportBody) -> bool:
    """Whether the line says something of what the endpoint runs that may count."""
    return body.asserted is not None and not endpoint.reported and endpoint.running != body.asserted


def _contradicted(endpoint: Endpoint, body: ImportBody) -> bool:
    return body.asserted is not None and endpoint.reported and endpoint.running != body.asserted


def _add(total: Imported, page: Imported) -> None:
    total.created += page.created
    total.updated += page.updated
    total.unchanged += page.unchanged
    total.failed += page.failed
    total.errors += page.errors[: ERRORS - len(total.errors)]
