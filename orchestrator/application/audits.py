"""The audit: every change by an operator, with who made it and why, and the resource before and after.

Rules:
- An entry is written in the transaction of the change; what changes nothing has none (invariant 11).
- What endpoints report is no operator's change: it is in their history, not here.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.application.authors import Author
    from orchestrator.application.editing import EditingStorage


class Action(Enum):
    """What an operator did."""

    APPLICATION_PUT = "application.put"
    APPLICATION_DELETE = "application.delete"
    SOFTWARE_PUT = "software.put"
    SOFTWARE_PATCH = "software.patch"
    SOFTWARE_DELETE = "software.delete"
    SOFTWARE_RECALL = "software.recall"
    FILTER_PUT = "filter.put"
    FILTER_DELETE = "filter.delete"
    ENDPOINT_PUT = "endpoint.put"
    ENDPOINT_PATCH = "endpoint.patch"
    ENDPOINT_DELETE = "endpoint.delete"
    ENDPOINT_RETRY = "endpoint.retry"
    ENDPOINT_TOKEN = "endpoint.token"  # noqa: S105 - the name of an action
    ENDPOINT_CONSENT = "endpoint.consent"
    ENDPOINT_IMPORT = "endpoint.import"
    FREEZE_SET = "freeze.set"
    FREEZE_LIFT = "freeze.lift"
    ROLLOUT_PAUSE = "rollout.pause"
    ROLLOUT_RESUME = "rollout.resume"
    ROLLOUT_ABORT = "rollout.abort"
    ROLLOUT_APPROVE = "rollout.approve"
    # What the gates do:
    ROLLOUT_ADVANCE = "rollout.advance"
    ROLLOUT_PASS = "rollout.pass"  # noqa: S105 - the name of an action
    ROLLOUT_FINISH = "rollout.finish"
    ROLLOUT_REOPEN = "rollout.reopen"
    ROLLOUT_REVERT = "rollout.revert"
    ROLLOUT_WIDEN = "rollout.widen"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change."""

    at: datetime
    application: str | None
    """Its name; None: the change was about all."""
    author: Author
    action: Action
    resource: str
    """Its path below the application, such as `software/1.1.0`."""
    before: str | None = None
    """JSON text; None: there was nothing."""
    after: str | None = None
    """JSON text; None: there is nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAudit:
    """An entry as stored."""

    number: int
    """Grows with time; what a cursor names."""
    entry: AuditEntry


class Audits:
    """The audit log, as operators read it."""

    def __init__(self, storage: EditingStorage) -> None:
        """Take what the view reads."""
        self._storage = storage

    async def list(self, application: str | None, before: int | None, limit: int) -> Sequence[StoredAudit]:
        """Entries of one application, or of all, newest first, older than entry `before`, at most `limit`.

        An application that was deleted keeps its entries under its name.
        """
        return await self._storage.audits(application, before, limit)


def endpoint_path(endpoint_id: str) -> str:
    """The resource of an endpoint."""
    return f"endpoints/{endpoint_id}"
