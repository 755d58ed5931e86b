"""Which state of a resource a change requires: optimistic concurrency between operators.

Rules:
- What exists is changed only with a matching tag, or `*`; what is created needs none.
- A tag stands for what operators edit, never for what endpoints report; it does not come back after a deletion.

Spec: RFC 9110 §13.1; RFC 6585 §3.
Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.application.problems import PreconditionFailedError, PreconditionRequiredError

if TYPE_CHECKING:
    from orchestrator.application.records import Application, EndpointDocument, FilterRecord, SoftwareRecord

ANY = "*"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Precondition:
    """What a request requires of the resource."""

    tags: frozenset[str] | None = None
    """One of these, or any if `*` is among them; None: nothing was required."""
    absent: bool = False
    """It must not exist."""
    forced: bool = False
    """Nothing is required, and nobody is told to."""

    def check(self, tag: str | None) -> None:
        """Pass when a resource with this tag may be written; None: it does not exist.

        Raises:
            PreconditionFailedError: it is not as required.
            PreconditionRequiredError: it exists, and nothing was required.
        """
        if self.forced:
            return
        if tag is None:
            if self.tags is not None:
                raise PreconditionFailedError("it does not exist")
            return
        if self.absent:
            raise PreconditionFailedError("it exists already")
        if self.tags is None:
            raise PreconditionRequiredError
        if not self.tags & {ANY, tag}:
            raise PreconditionFailedError(f"it has changed: its ETag is now {tag}")


UNCONDITIONAL = Precondition(tags=frozenset({ANY}))
"""For calls that are safe to make whatever the state is; the resource must exist."""


WHATEVER = Precondition(forced=True)
"""For callers that have no way to say what they have seen: the resource is written, whether it exists or not."""


def tag_of(item: Application | SoftwareRecord | FilterRecord | EndpointDocument, since: datetime | None) -> str:
    """The tag of a stored item, `since` being when it was created."""
    made = 0 if since is None else (since - _EPOCH) // timedelta(milliseconds=1)
    return f"{item.revision:x}-{made:x}"


def first_revision(now: datetime) -> int:
    """Where the revisions of an item start that does not keep when it was created."""
    return (now - _EPOCH) // timedelta(milliseconds=1)
