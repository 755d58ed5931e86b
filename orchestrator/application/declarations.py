"""Catalogues as a whole: an application, its filters and its software, declared at once.

Rules:
- All of it is written in one transaction, or nothing is; what it does not name is left alone.
- It is idempotent: what is as declared keeps its revision and its tag, and is in no audit.
- A rehearsal draws up the same change, stores nothing, and says what it would do to the fleet.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.application import applications, outlines
from orchestrator.application.audits import Action
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.documents import audits, fleets
from orchestrator.application.parts import no_steps
from orchestrator.application.problems import AppVersionInUseError
from orchestrator.application.records import AppVersionTakenError

if TYPE_CHECKING:
    from orchestrator.application.authors import Author
    from orchestrator.application.documents.declarations import Declaration
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.outlines import Change, Outline
    from orchestrator.application.plans import Plans
    from orchestrator.application.ports import Clock, Steps
    from orchestrator.application.records import Application, Registration
    from orchestrator.application.revisions import Revision, Revisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What has become of a declaration."""

    changes: list[tuple[str, Change]]
    """By the path of the resource."""
    withdrawn: int = 0
    """How many endpoints lose an open offer, because its software is stopped now."""
    plan: Document | None = None
    """Only of a rehearsal."""


class Declarations:
    """Declarations for all applications."""

    def __init__(
        self,
        storage: EditingStorage,
        revisions: Revisions,
        plans: Plans,
        clock: Clock,
        *,
        registration: Registration,
        steps: Steps = no_steps,
    ) -> None:
        """Take what the use cases need; `registration` is that of applications that say nothing of it."""
        self._storage = storage
        self._revisions = revisions
        self._plans = plans
        self._clock = clock
        self._registration = registration
        self._steps = steps

    async def rehearse(self, application: str, declaration: Declaration, *, check_links: bool = False) -> Declared:
        """What `apply` would change, and the plan of it; nothing is stored.

        Raises:
            RequestError: `apply` would raise it.
        """
        outline = await self._plans.outline(application, declaration)
        return Declared(changes=outline.changes, plan=await self._plans.of(outline, check_links=check_links))

    async def apply(self, application: str, declaration: Declaration, *, by: Author = ANONYMOUS) -> Declared:
        """Make everything as it is declared; an application that is not there is created.

        Raises:
            MemberError: the application is new, and its application versions are not said.
            PlacedError: a part cannot be; its path and the cause are named, and nothing has changed.
        """

        def found() -> Application:
            body = declaration.application(None)
            now = self._clock.now()
            return outlines.application(application, body, None, registration=self._registration, now=now)

        stops = self._revisions.is_known(application)
        try:
            async with self._revisions.open(application, stops=stops, by=by, found=found) as revision:
                outline = outlines.draw(
                    declaration,
                    application,
                    revision.before,
                    frozen=await revision.edit.frozen_specifications(revision.key),
                    registration=self._registration,
                    now=revision.now,
                    founded=revision.founded,
                )
                await self._write(revision, outline)
                withdrawn = await self._withdrawn(outline)
                self._steps("catalogue-written")
        except (AppVersionTakenError, AppVersionInUseError) as error:
            raise outlines.refused_app_versions(error) from error
        self._steps("catalogue-committed")
        return Declared(changes=outline.changes, withdrawn=withdrawn)

    async def _write(self, revision: Revision, outline: Outline) -> None:
        await self._write_application(revision, outline)
        self._steps("catalogue-application-written")
        for group in outline.changed_filters:
            filter_id = group.filter.filter_id
            present = outline.known_filters.get(filter_id)
            await revision.edit.put_filter(revision.key, group)
            revision.filters.add(filter_id)
            before, after = audits.of_filter(present), audits.of_filter(group)
            await revision.audit(Action.FILTER_PUT, f"filters/{filter_id}", before, after)
        self._steps("catalogue-filters-written")
        for record in outline.changed_software:
            version = record.software.version
            earlier = outline.known_software.get(version)
            await revision.edit.put_software(revision.key, record)
            before, after = audits.of_software(earlier), audits.of_software(record)
            await revision.audit(Action.SOFTWARE_PUT, f"software/{version}", before, after)

    async def _write_application(self, revision: Revision, outline: Outline) -> None:
        present, given = revision.before.application, outline.application
        if given is None or (given is present and not revision.founded):
            return
        if not revision.founded:
            await applications.write(revision.edit, self._storage, given, present, revision.now)
        before = None if revision.founded else audits.of_application(present)
        resource = f"applications/{given.name}"
        await revision.audit(Action.APPLICATION_PUT, resource, before, audits.of_application(given))

    async def _withdrawn(self, outline: Outline) -> int:
        stopped = [
            record.software
            for record in outline.changed_software
            if record.software.version in outline.known_software and not record.software.servable
        ]
        before = outline.before
        if not stopped or before is None:
            return 0
        numbers = await self._storage.counters(before.application.key)
        return sum(fleets.ending(numbers, before, item.version, item) for item in stopped)
