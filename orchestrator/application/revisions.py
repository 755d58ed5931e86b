"""One change of an application's software or filters, and what follows from it.

Rules:
- A change that may stop something is committed first, whatever the broker does, and reads show it from then on; the
  call returns when what was leaving meanwhile has been answered (invariant 7).
- Whom it concerns is worked out from the numbers, never by looking at the fleet, and stored with it as a work item.
- Software that needs consent and says something else of itself has those asked anew that are asked for it; offers,
  which do not hold that, are left alone: a device that acts on every one it sees would install again.
- What a stop has hidden, and did not withdraw before it was lifted, is shown again (`liftings`).
- The directory is replaced right after the commit, before anybody else can begin a transaction.

Layer: application.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.application import liftings
from orchestrator.application.audits import AuditEntry
from orchestrator.application.classes import Renewal
from orchestrator.application.documents import fleets
from orchestrator.application.parts import no_steps
from orchestrator.application.problems import NotFoundError
from orchestrator.domain import graphs, rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from orchestrator.application.audits import Action
    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.editing import Edit, EditingStorage, Gate, Wake
    from orchestrator.application.ports import Clock, Steps
    from orchestrator.application.records import Application
    from orchestrator.domain.versions import Version


@dataclass(slots=True, kw_only=True)
class Revision:
    """A change that is being made."""

    edit: Edit
    before: Entry
    """As the transaction found it."""
    now: datetime
    author: Author
    filters: set[str] = field(default_factory=set)
    """Filters whose meaning it changes."""
    audited: list[AuditEntry] = field(default_factory=list)
    """What it has changed so far."""
    founded: bool = False
    """Whether the application is new."""

    @property
    def key(self) -> int:
        """Of the application."""
        return self.before.application.key

    async def audit(self, action: Action, resource: str, before: str | None, after: str | None) -> None:
        """Keep that a resource was `before` (JSON text; None: absent) and is `after`."""
        entry = AuditEntry(
            at=self.now,
            application=self.before.application.name,
            author=self.author,
            action=action,
            resource=resource,
            before=before,
            after=after,
        )
        await self.edit.audit(entry)
        self.audited.append(entry)


class Revisions:
    """Opens applications for changes of their definitions."""

    def __init__(
        self,
        storage: EditingStorage,
        directory: Directory,
        clock: Clock,
        gate: Gate,
        wake: Wake,
        steps: Steps = no_steps,
    ) -> None:
        """Take what a change needs."""
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._gate = gate
        self._wake = wake
        self._steps = steps

    def is_known(self, name: str) -> bool:
        """Whether there is an application of this name now."""
        return self._directory.by_name(name) is not None

    def entry(self, name: str) -> Entry:
        """An application as it is now.

        Raises:
            NotFoundError: there is none of this name.
        """
        entry = self._directory.by_name(name)
        if entry is None:
            raise NotFoundError("application", name)
        return entry

    @asynccontextmanager
    async def open(
        self, name: str, *, stops: bool, by: Author, found: Callable[[], Application] | None = None
    ) -> AsyncIterator[Revision]:
        """Begin a change; what the block has done is committed at its end, with what follows from it.

        `stops` says that an offer may end by it, `by` who answers for it; `found` makes the application that is
        created if there is none.

        Raises:
            NotFoundError: there is no such application, and none is to be created.
            StorageError: the change is not stored.
        """
        async with self._storage.edit() as edit:
            founding = found if self._directory.by_name(name) is None else None
            present = self.entry(name).application if founding is None else await edit.put_application(founding())
            before = await edit.entry(present.key)
            revision = Revision(
                edit=edit, before=before, now=self._clock.now(), author=by, founded=founding is not None
            )
            yield revision
            after = await edit.entry(revision.key)
            # Committed numbers: nobody else writes while this transaction is open.
            running = fleets.running(await self._storage.counters(revision.key)).keys()
            concerned = _concerned(revision, after, running)
            if concerned:
                await edit.add_work(revision.key, concerned, revision.now)
            shown = await liftings.follow(edit, self._storage, revision.before, after, running, revision.now)
            retold = _retold(revision.before, after, running) - shown
            if retold:
                await edit.renew(revision.key, Renewal.ASKS, retold, revision.now)
            self._steps("revision-written")
        self._steps("revision-committed")
        self._directory.put(after)
        self._wake.work()
        self._wake.pushes()
        self._wake.audited(revision.audited)
        if stops:
            await self._gate.settled()


def _concerned(revision: Revision, after: Entry, running: AbstractSet[Version | None]) -> set[Version | None]:
    """Whose decision may change, of what endpoints run."""
    before = revision.before
    versions = [version for version in running if version is not None]
    found = graphs.concerned(before.catalogue, after.catalogue, versions)
    meant = {item.version for item in after.catalogue.software if not item.filter_ids.isdisjoint(revision.filters)}
    found |= graphs.concerned_by(after.catalogue, meant, versions)
    return found & running


def _retold(before: Entry, after: Entry, running: AbstractSet[Version | None]) -> set[Version | None]:
    """Who may be asked for consent to software that says something else of itself now, of what endpoints run."""
    changed = [
        version
        for version, record in after.software.items()
        if version in before.software and before.software[version].metadata != record.metadata
    ]
    asking = rules.numbers(changed, after.catalogue) & after.catalogue.consenting
    return {version for version in running if after.catalogue.successors(version) & asking}
