"""Freezes: no new offer leaves, for one application or for all, until the freeze is lifted.

Rules:
- The freeze is one row: from its commit on every read shows unstarted offers as null and the publisher lets none go;
  the retained ones are cleared in pages, and the answer says how many they are (invariant 7).
- Started installs go on.
- An application's freeze and that of all are two: lifting one leaves the other.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.application import liftings
from orchestrator.application.audits import Action, AuditEntry
from orchestrator.application.documents import audits as documents
from orchestrator.application.documents import fleets
from orchestrator.application.problems import NotFoundError
from orchestrator.domain.freezes import Freeze

if TYPE_CHECKING:
    from orchestrator.application.authors import Author
    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.editing import Edit, EditingStorage, Gate, Wake
    from orchestrator.application.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What has become of a freeze."""

    freeze: Freeze | None
    """The one that holds now: what was asked about, or that of all applications."""
    withdrawn: int = 0
    """Unstarted offers that end by it."""


class Freezes:
    """The freezes of all applications."""

    def __init__(self, storage: EditingStorage, directory: Directory, clock: Clock, gate: Gate, wake: Wake) -> None:
        """Take what the use cases need."""
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._gate = gate
        self._wake = wake

    async def get(self, application: str | None) -> Freeze | None:
        """The freeze that holds for an application, or with None that of all.

        Raises:
            NotFoundError: there is no such application.
        """
        if application is None:
            return await self._storage.freeze(None)
        return self._entry(application).application.frozen

    async def set(self, application: str | None, by: Author) -> Frozen:
        """Freeze an application, or with None all; one that is frozen stays as it is.

        Raises:
            NotFoundError: there is no such application.
        """
        freeze = Freeze(since=self._clock.now(), by=by.name, reason=by.reason, everywhere=application is None)
        return await self._change(application, freeze, by)

    async def lift(self, application: str | None, by: Author) -> Frozen:
        """Lift the freeze of an application, or with None that of all; the other one stays.

        Raises:
            NotFoundError: there is no such application.
        """
        return await self._change(application, None, by)

    async def _change(self, application: str | None, freeze: Freeze | None, by: Author) -> Frozen:
        withdrawn = await self._store(application, freeze, by)
        if freeze is not None:
            await self._gate.settled()
        return Frozen(freeze=await self.get(application), withdrawn=withdrawn)

    async def _store(self, application: str | None, freeze: Freeze | None, by: Author) -> int:
        """Write it, if it is a change; return how many offers end by it."""
        key = None if application is None else self._entry(application).application.key
        withdrawn = 0
        async with self._storage.edit() as edit:
            before = await self._storage.freeze(key)
            if (before is None) == (freeze is None):
                return withdrawn
            await edit.set_freeze(key, freeze)
            entries = self._directory.entries() if key is None else [self._entry(application or "")]
            for entry in entries:
                withdrawn += await self._follow(edit, entry, stops=freeze is not None)
            audited = self._audited(application, before, freeze, by)
            await edit.audit(audited)
            after = [await self._changed(edit, entry) for entry in entries]
        for entry in after:
            self._directory.put(entry)
        self._wake.work()
        self._wake.pushes()
        self._wake.audited([audited])
        return withdrawn

    async def _follow(self, edit: Edit, entry: Entry, *, stops: bool) -> int:
        """Have everybody decided anew; return how many offers end by a stop."""
        numbers = await self._storage.counters(entry.application.key)
        await edit.add_work(entry.application.key, fleets.running(numbers).keys(), self._clock.now())
        return fleets.unstarted_offers(numbers, entry) if stops else 0

    async def _changed(self, edit: Edit, before: Entry) -> Entry:
        """An application as it is now; what a freeze that is lifted has hidden is shown again."""
        key = before.application.key
        after = await edit.entry(key)
        running = fleets.running(await self._storage.counters(key)).keys()
        await liftings.follow(edit, self._storage, before, after, running, self._clock.now())
        return after

    def _audited(self, application: str | None, before: Freeze | None, after: Freeze | None, by: Author) -> AuditEntry:
        return AuditEntry(
            at=self._clock.now(),
            application=application,
            author=by,
            action=Action.FREEZE_LIFT if after is None else Action.FREEZE_SET,
            resource="freeze",
            before=documents.of_freeze(before),
            after=documents.of_freeze(after),
        )

    def _entry(self, application: str) -> Entry:
        entry = self._directory.by_name(application)
        if entry is None:
            raise NotFoundError("application", application)
        return entry
