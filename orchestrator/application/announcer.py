"""Tells the loops, and who watches, that something was committed.

Layer: application; implements `editing.Wake`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.audits import AuditEntry
    from orchestrator.application.parts import Parts
    from orchestrator.application.records import Draft


class Announcer:
    """The bells of one engine."""

    def __init__(self, parts: Parts) -> None:
        """Take what is told."""
        self._parts = parts

    def pushes(self) -> None:
        """See `editing.Wake.pushes`."""
        self._parts.signals.pushes.set()

    def work(self) -> None:
        """See `editing.Wake.work`."""
        self._parts.signals.work.set()
        self._parts.signals.dates.set()

    def audited(self, entries: Sequence[AuditEntry]) -> None:
        """See `editing.Wake.audited`: counted here, by action, and told to who watches."""
        self._parts.tallies.changes.update(entry.action.value for entry in entries)
        for entry in entries:
            self._parts.feed.change(entry, self._parts.directory)

    def happened(self, draft: Draft, *, created: bool) -> None:
        """See `editing.Wake.happened`."""
        self._parts.feed.note([draft], self._parts.directory, created=created)
