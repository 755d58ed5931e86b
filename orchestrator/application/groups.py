"""Filters: what operators do with the named groups of an application's endpoints.

Rules:
- A filter that software names, in its list or in a stage, is not deleted.
- Another expression is another group: whom the listing software concerns is decided anew.

Layer: application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application import outlines, preconditions
from orchestrator.application.audits import Action
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.documents import audits as documents
from orchestrator.application.problems import FilterInUseError, NotFoundError

if TYPE_CHECKING:
    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Entry
    from orchestrator.application.preconditions import Precondition
    from orchestrator.application.records import FilterRecord
    from orchestrator.application.revisions import Revisions
    from orchestrator.domain.filters import Filter


class Groups:
    """The filters of all applications."""

    def __init__(self, revisions: Revisions) -> None:
        """Take what the use cases need."""
        self._revisions = revisions

    def all(self, application: str) -> list[FilterRecord]:
        """The application's filters, in order of their identifiers.

        Raises:
            NotFoundError: there is no such application.
        """
        filters = self._revisions.entry(application).filters
        return [filters[filter_id] for filter_id in sorted(filters)]

    def get(self, application: str, filter_id: str) -> FilterRecord:
        """One filter.

        Raises:
            NotFoundError: there is no such application, or it has no such filter.
        """
        return _existing(self._revisions.entry(application), filter_id)

    async def put(
        self,
        application: str,
        given: Filter,
        description: str | None,
        precondition: Precondition,
        *,
        by: Author = ANONYMOUS,
    ) -> tuple[FilterRecord, bool]:
        """Write a filter whose expression is in the language; return it, and whether it is new.

        Raises:
            NotFoundError: there is no such application.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
        """
        known = given.filter_id in self._revisions.entry(application).filters
        # What is not there yet may be by the time the transaction begins, and a required tag then lets it be changed.
        stops = known or precondition.tags is not None
        async with self._revisions.open(application, stops=stops, by=by) as revision:
            present = revision.before.filters.get(given.filter_id)
            precondition.check(None if present is None else preconditions.tag_of(present, None))
            record = outlines.group(given, description, present, now=revision.now)
            if record is present:
                return record, False
            await revision.edit.put_filter(revision.key, record)
            revision.filters.add(given.filter_id)
            before, after = documents.of_filter(present), documents.of_filter(record)
            await revision.audit(Action.FILTER_PUT, _path(given.filter_id), before, after)
            return record, present is None

    async def delete(
        self, application: str, filter_id: str, precondition: Precondition, *, by: Author = ANONYMOUS
    ) -> None:
        """Delete a filter that no software names.

        Raises:
            NotFoundError: there is no such filter.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
            FilterInUseError: software names it, in its list or in a stage.
        """
        async with self._revisions.open(application, stops=False, by=by) as revision:
            present = _existing(revision.before, filter_id)
            precondition.check(preconditions.tag_of(present, None))
            listing = [item.version for item in revision.before.catalogue.software if filter_id in item.filter_ids]
            if listing:
                raise FilterInUseError(filter_id, listing)
            await revision.edit.delete_filter(revision.key, filter_id)
            await revision.audit(Action.FILTER_DELETE, _path(filter_id), documents.of_filter(present), None)


def _path(filter_id: str) -> str:
    return f"filters/{filter_id}"


def _existing(entry: Entry, filter_id: str) -> FilterRecord:
    record = entry.filters.get(filter_id)
    if record is None:
        raise NotFoundError("filter", filter_id)
    return record
