"""Applications: what operators do with product lines.

Rules:
- An application version belongs to one application, and stays while endpoints have it.
- Another profile, or another way of pushing, has every push written anew; another rule of consent has every endpoint
  decided anew.
- An application with endpoints is not deleted.

Layer: application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application import outlines, preconditions
from orchestrator.application.audits import Action, AuditEntry
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.documents import audits as documents
from orchestrator.application.documents import fleets
from orchestrator.application.problems import ApplicationInUseError, AppVersionInUseError, NotFoundError

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.documents.applications import ApplicationBody
    from orchestrator.application.editing import Edit, EditingStorage, Wake
    from orchestrator.application.ports import Clock
    from orchestrator.application.preconditions import Precondition
    from orchestrator.application.records import Application, Registration


class Applications:
    """All applications."""

    def __init__(
        self, storage: EditingStorage, directory: Directory, clock: Clock, wake: Wake, *, registration: Registration
    ) -> None:
        """Take what the use cases need; `registration` is that of applications that say nothing of it."""
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._wake = wake
        self._registration = registration

    def all(self) -> list[Application]:
        """Every application, by name."""
        return [entry.application for entry in self._directory.entries()]

    def get(self, name: str) -> Application:
        """One application.

        Raises:
            NotFoundError: there is none of this name.
        """
        return self._entry(name).application

    def _entry(self, name: str) -> Entry:
        entry = self._directory.by_name(name)
        if entry is None:
            raise NotFoundError("application", name)
        return entry

    async def put(
        self, name: str, body: ApplicationBody, precondition: Precondition, *, by: Author = ANONYMOUS
    ) -> tuple[Application, bool]:
        """Write an application; return it, and whether it is new.

        Raises:
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
            AppVersionTakenError: another application has one of its versions.
            AppVersionInUseError: a version that it loses is an endpoint's.
        """
        async with self._storage.edit() as edit:
            entry = self._directory.by_name(name)
            present = None if entry is None else entry.application
            precondition.check(None if present is None else preconditions.tag_of(present, present.created_at))
            now = self._clock.now()
            given = outlines.application(name, body, present, registration=self._registration, now=now)
            if given is present:
                return given, False
            stored = await write(edit, self._storage, given, present, now)
            after = await edit.entry(stored.key)
            audited = self._audit(name, by, Action.APPLICATION_PUT, present, after.application)
            await edit.audit(audited)
        self._directory.put(after)
        self._wake.work()
        self._wake.audited([audited])
        return after.application, present is None

    async def delete(self, name: str, precondition: Precondition, *, by: Author = ANONYMOUS) -> None:
        """Delete an application that has no endpoints, with its software and filters.

        Raises:
            NotFoundError: there is none of this name.
            PreconditionFailedError, PreconditionRequiredError: it is not as required.
            ApplicationInUseError: it has endpoints.
        """
        async with self._storage.edit() as edit:
            present = self.get(name)
            precondition.check(preconditions.tag_of(present, present.created_at))
            endpoints = await edit.endpoint_count(present.key)
            if endpoints:
                raise ApplicationInUseError(name, endpoints)
            await edit.delete_application(present.key)
            audited = self._audit(name, by, Action.APPLICATION_DELETE, present, None)
            await edit.audit(audited)
        self._directory.remove(present.key)
        self._wake.audited([audited])

    def _audit(
        self, name: str, by: Author, action: Action, before: Application | None, after: Application | None
    ) -> AuditEntry:
        return AuditEntry(
            at=self._clock.now(),
            application=name,
            author=by,
            action=action,
            resource=f"applications/{name}",
            before=documents.of_application(before),
            after=documents.of_application(after),
        )


async def write(
    edit: Edit, storage: EditingStorage, given: Application, present: Application | None, now: datetime
) -> Application:
    """Write an application that is new or has changed, with what follows from it; return it with its key.

    Raises:
        AppVersionTakenError: another application has one of its versions.
        AppVersionInUseError: a version that it loses is an endpoint's.
    """
    if present is None:
        return await edit.put_application(given)
    for name in present.app_versions:
        if name not in given.app_versions and await edit.app_version_used(present.key, name):
            raise AppVersionInUseError(name)
    stored = await edit.put_application(given)
    if (given.profile, given.push) != (present.profile, present.push):
        await edit.add_work(stored.key, None, now)
    elif given.consent != present.consent:
        run = fleets.running(await storage.counters(stored.key))
        await edit.add_work(stored.key, run.keys(), now)
    return stored
