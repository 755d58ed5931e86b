"""What has become of a batch's endpoints, as rows of every table.

Rules:
- An endpoint's history entries are chained: each names the one before, the hot row names the newest.
- A push is one row: revision and endpoint, or revision and a topic that was left.

Layer: persistence; no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.application import drafts as drafting
from orchestrator.persistence import rows
from orchestrator.persistence.instants import to_ms, to_ms_or_none
from orchestrator.persistence.rows import ATTEMPT_CODES, HISTORY_CODES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.records import Draft
    from orchestrator.domain.endpoints import Attempt
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dialects import Row
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.numbers import Numbers

HISTORY = ("id", "endpoint_id", "previous_id", "at_ms", "kind", "version_id", "status_code", "reason")
ATTEMPT = (
    "id",
    "endpoint_id",
    "version_id",
    "origin_id",
    "number",
    "sequence",
    "state",
    "stage",
    "offered_ms",
    "reached_ms",
    "settled_ms",
    "reason",
)
PUSH = ("revision", "endpoint_id", "topic")
SETBACK = ("endpoint_id", "version_id", "failures", "retry_ms", "exhausted", "reason")
COUNTER = ("application_id", "name", "version_id", "origin_id", "label", "amount")
ADD_UP = (
    "ON CONFLICT (application_id, name, version_id, origin_id, label) "
    "DO UPDATE SET amount = counter.amount + excluded.amount"
)


@dataclass(slots=True)
class Writes:
    """The rows of one batch, table by table."""

    created: list[Row] = field(default_factory=list)
    updated: list[Row] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    pushes: list[Row] = field(default_factory=list)
    setbacks_of: list[int] = field(default_factory=list)
    """Endpoints whose setbacks are replaced by those in `setbacks`."""
    setbacks: list[Row] = field(default_factory=list)

    def add(self, draft: Draft, key: int, due_at: datetime | None, dictionary: Dictionary, numbers: Numbers) -> None:
        """Add one endpoint; `key` is its own, new or old."""
        application = draft.before.application
        last = self._add_history(draft, key, dictionary, numbers)
        for attempt in draft.superseded:
            number = numbers.take("attempt", 1) + 1
            self.attempts.append(attempt_row(number, key, attempt, application, dictionary))
        for topic in draft.cleared_topics:
            self.pushes.append((numbers.take("revision", 1) + 1, 0, topic))
        revision = draft.before.push_revision
        if draft.push:
            revision = numbers.take("revision", 1) + 1
            self.pushes.append((revision, key, None))
        self._add_setbacks(draft, key, dictionary)
        record = drafting.stored(draft, key=key, push_revision=revision, last_history=last)
        row = rows.encode(record, to_ms_or_none(due_at), dictionary)
        (self.updated if draft.before.key else self.created).append(row)

    def _add_history(self, draft: Draft, key: int, dictionary: Dictionary, numbers: Numbers) -> int:
        previous = draft.before.last_history
        for entry in draft.entries:
            number = numbers.take("history", 1) + 1
            version_id = dictionary.number(draft.before.application, entry.version)
            kind = HISTORY_CODES[entry.kind]
            self.history.append(
                (number, key, previous, to_ms(entry.at), kind, version_id, entry.status_code, entry.reason)
            )
            previous = number
        return previous

    def _add_setbacks(self, draft: Draft, key: int, dictionary: Dictionary) -> None:
        if draft.before.endpoint.setbacks == draft.after.setbacks:
            return
        self.setbacks_of.append(key)
        for version, setback in draft.after.setbacks.items():
            version_id = dictionary.number(draft.before.application, version)
            retry_ms = to_ms_or_none(setback.retry_at)
            self.setbacks.append((key, version_id, setback.failures, retry_ms, int(setback.exhausted), setback.reason))


def attempt_row(number: int, key: int, attempt: Attempt, application: int, dictionary: Dictionary) -> Row:
    """A row of `attempt`."""
    return (
        number,
        key,
        dictionary.number(application, attempt.version),
        dictionary.number(application, attempt.origin),
        attempt.number,
        attempt.sequence,
        ATTEMPT_CODES[attempt.state],
        0,
        to_ms(attempt.offered_at),
        to_ms_or_none(attempt.reached_at),
        to_ms_or_none(attempt.settled_at),
        attempt.reason,
    )


def versions_in(drafts: Sequence[Draft]) -> Iterator[tuple[int, Version]]:
    """Every (application, version) that the rows of these drafts name; repeated ones included."""
    for draft in drafts:
        application, after = draft.before.application, draft.after
        named = [after.running, after.pinned, *after.setbacks, *(entry.version for entry in draft.entries)]
        if after.attempt is not None:
            named += [after.attempt.version, after.attempt.origin]
        for version in named:
            if version is not None:
                yield application, version


def counter_rows(deltas: Counter[CounterKey], dictionary: Dictionary) -> list[Row]:
    """The rows that add differences to the stored numbers."""
    return [
        (
            key.application,
            key.name,
            dictionary.number(key.application, key.version),
            dictionary.number(key.application, key.origin),
            key.label,
            amount,
        )
        for key, amount in deltas.items()
    ]
