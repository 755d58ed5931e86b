"""Software definitions: what operators do with them.

Rules:
- A version is defined once per application; two that differ in build metadata only conflict.
- A specification that was offered to anyone does not change any more; everything else does, and takes effect at once.
- A recall is final.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from orchestrator.application import outlines, preconditions
from orchestrator.application.audits import Action
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.documents import audits as documents
from orchestrator.application.documents import fleets
from orchestrator.application.problems import NotFoundError, SoftwareRecalledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Entry
    from orchestrator.application.documents.software import Definition
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.preconditions import Precondition
    from orchestrator.application.records import SoftwareRecord
    from orchestrator.application.revisions import Revision, Revisions
    from orchestrator.domain.versions import Version

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defined:
    """What has become of a definition."""

    record: SoftwareRecord
    created: bool
    withdrawn: int
    """How many endpoints lose an open offer of it, now that it is stopped."""


@dataclass(frozen=True, slots=True)
class Written:
    """What is written, and by which action."""

    version: Version
    action: Action


class Definitions:
    """The software of all applications."""

    def __init__(self, storage: EditingStorage, revisions: Revisions) -> None:
        """Take what the use cases need."""
        self._storage = storage
        self._revisions = revisions

    def all(self, application: str) -> list[SoftwareRecord]:
        """The application's software, the highest version first.

        Raises:
            NotFoundError: there is no such application.
        """
        entry = self._revisions.entry(application)
        return [entry.software[item.version] for item in reversed(entry.catalogue.software)]

    def get(self, application: str, version: Version) -> SoftwareRecord:
        """One software.

        Raises:
            NotFoundError: there is no such application, or it has no software of exactly this version.
        """
        return _existing(self._revisions.entry(application), version)

    async def put(
        self,
        application: str,
        version: Version,
        definition: Definition,
        precondition: Precondition,
        *,
        by: Author = ANONYMOUS,
    ) -> Defined:
        """Define a software, or define it anew.

        Raises:
            NotFoundError: there is no such application.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
            VersionConflict: a version is defined that differs in build metadata only.
            FilterUnknownError: it names a filter that does not exist.
            SpecificationFrozenError: it was offered with another specification.
        """
        known = version in self._revisions.entry(application).software
        # What is not there yet may be by the time the transaction begins; these two then let it be changed.
        stops = known or precondition.forced or precondition.tags is not None
        async with self._revisions.open(application, stops=stops, by=by) as revision:
            revision.before.catalogue.check_conflict(version)
            present = revision.before.software.get(version)
            precondition.check(None if present is None else preconditions.tag_of(present, present.created_at))
            return await self._write(revision, definition, present, Written(version, Action.SOFTWARE_PUT))

    async def patch(
        self,
        application: str,
        version: Version,
        revised: Callable[[SoftwareRecord], Definition],
        precondition: Precondition,
        *,
        by: Author = ANONYMOUS,
    ) -> Defined:
        """Change a software to what `revised` makes of it.

        Raises:
            NotFoundError: there is no such software.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
            FilterUnknownError: it names a filter that does not exist.
            SpecificationFrozenError: it was offered with another specification.
        """
        async with self._revisions.open(application, stops=True, by=by) as revision:
            present = _existing(revision.before, version)
            precondition.check(preconditions.tag_of(present, present.created_at))
            return await self._write(revision, revised(present), present, Written(version, Action.SOFTWARE_PATCH))

    async def _write(
        self, revision: Revision, definition: Definition, present: SoftwareRecord | None, written: Written
    ) -> Defined:
        version = written.version
        outlines.check_filters(definition, revision.before.filters)
        frozen = {} if present is not None else await revision.edit.frozen_specifications(revision.key)
        record = outlines.software(version, definition, present, frozen=frozen.get(version.text), now=revision.now)
        if record is not present:
            await revision.edit.put_software(revision.key, record)
            before, after = documents.of_software(present), documents.of_software(record)
            await revision.audit(written.action, _path(version), before, after)
        return await self._defined(revision, record)

    async def recall(self, application: str, version: Version, *, by: Author = ANONYMOUS) -> Defined:
        """Have a software run no more, for good; again, it changes nothing.

        Raises:
            NotFoundError: there is no such software.
        """
        async with self._revisions.open(application, stops=True, by=by) as revision:
            present = _existing(revision.before, version)
            record = present
            if not present.software.recalled:
                recalled = replace(present.software, recalled_at=revision.now)
                record = replace(present, software=recalled, revision=present.revision + 1, updated_at=revision.now)
                await revision.edit.put_software(revision.key, record)
                before, after = documents.of_software(present), documents.of_software(record)
                await revision.audit(Action.SOFTWARE_RECALL, _path(version), before, after)
                log.info("software-recalled", application=application, version=version.text, reason=by.reason)
            return await self._defined(revision, record)

    async def delete(
        self, application: str, version: Version, precondition: Precondition, *, by: Author = ANONYMOUS
    ) -> int:
        """Delete a software; return how many open offers of it end.

        Raises:
            NotFoundError: there is no such software.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
            SoftwareRecalledError: it was recalled; endpoints that run it must still be moved off.
        """
        async with self._revisions.open(application, stops=True, by=by) as revision:
            present = _existing(revision.before, version)
            precondition.check(preconditions.tag_of(present, present.created_at))
            if present.software.recalled:
                raise SoftwareRecalledError(version)
            await revision.edit.delete_software(revision.key, present.software.version)
            await revision.audit(Action.SOFTWARE_DELETE, _path(version), documents.of_software(present), None)
            return fleets.ending(await self._storage.counters(revision.key), revision.before, version, None)

    async def _defined(self, revision: Revision, record: SoftwareRecord) -> Defined:
        withdrawn = 0
        version = record.software.version
        known = revision.before.software.get(version)
        if known is not None and not record.software.servable:
            numbers = await self._storage.counters(revision.key)
            withdrawn = fleets.ending(numbers, revision.before, version, record.software)
        return Defined(record=record, created=known is None, withdrawn=withdrawn)


def _path(version: Version) -> str:
    return f"software/{version.text}"


def _existing(entry: Entry, version: Version) -> SoftwareRecord:
    record = entry.software.get(version)
    if record is None or not record.software.version.identical(version):
        raise NotFoundError("software", version.text)
    return record
