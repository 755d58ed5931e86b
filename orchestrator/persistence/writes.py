"""What has become of a batch's endpoints, as rows of every table.

Rules:
- An endpoint's history entries are chained: each names the one before, the hot row names the newest.
- A push is one row: revision and endpoint, or revision and a topic that was left. One that only sends an offer again
  leaves the endpoint's own push revision alone: it supersedes none.

Layer: persistence; no I/O.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.application import drafts as drafting
from orchestrator.application.pushes import OFFER, push_of, push_of_topic
from orchestrator.persistence import rows
from orchestrator.persistence.instants import to_ms_or_none
from orchestrator.persistence.rows import ATTEMPT_CODES, HISTORY_CODES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.pushes import Push
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.domain.endpoints import Attempt
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dialects import Row
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.instants import Milliseconds
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
    "healthy",
)
PUSH = ("revision", "endpoint_id", "topic")
SETBACK = ("endpoint_id", "version_id", "failures", "retry_ms", "exhausted", "reason")
CONSENT = ("endpoint_id", "version_id", "granted", "at_ms", "reason")
COUNTER = ("application_id", "name", "version_id", "origin_id", "label", "amount")
ADD_UP = (
    "ON CONFLICT (application_id, name, version_id, origin_id, label) "
    "DO UPDATE SET amount = counter.amount + excluded.amount"
)


@dataclass(slots=True)
class Writes:
    """The rows of one batch, table by table."""

    in_ms: Milliseconds = to_ms_or_none
    """How instants are converted; `instants.near` the batch's own moment is quickest."""
    created: list[Row] = field(default_factory=list)
    updated: list[Row] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    pushes: list[Row] = field(default_factory=list)
    fresh: list[Push] = field(default_factory=list)
    """The same as they will be read."""
    setbacks_of: list[int] = field(default_factory=list)
    """Endpoints whose setbacks are replaced by those in `setbacks`."""
    setbacks: list[Row] = field(default_factory=list)
    consents_of: list[int] = field(default_factory=list)
    """The same for consents."""
    consents: list[Row] = field(default_factory=list)

    def add(self, draft: Draft, key: int, due_at: datetime | None, dictionary: Dictionary, numbers: Numbers) -> None:
        """Add one endpoint; `key` is its own, new or old."""
        application = draft.before.application
        last = self._add_history(draft, key, dictionary, numbers)
        for attempt in draft.superseded:
            number = numbers.take("attempt", 1) + 1
            self.attempts.append(attempt_row(number, key, attempt, application, dictionary, self.in_ms))
        for topic in draft.cleared_topics:
            revision = numbers.take("revision", 1) + 1
            self.pushes.append((revision, 0, topic))
            self.fresh.append(push_of_topic(revision, topic))
        self._add_setbacks(draft, key, dictionary)
        self._add_consents(draft, key, dictionary)
        record = self._add_push(draft, key, last, numbers)
        row = rows.encode(record, to_ms_or_none(due_at), dictionary, self.in_ms)
        (self.updated if draft.before.key else self.created).append(row)

    def _add_push(self, draft: Draft, key: int, last_history: int, numbers: Numbers) -> EndpointRecord:
        """Add what is to be published of the endpoint's own, if anything; return the record to be stored."""
        revision = draft.before.push_revision
        topic: str | None = None
        pushed = revision
        if draft.push:
            pushed = revision = numbers.take("revision", 1) + 1
        elif draft.repeat:
            topic, pushed = OFFER, numbers.take("revision", 1) + 1
        record = drafting.stored(draft, key=key, push_revision=revision, last_history=last_history)
        if draft.push or draft.repeat:
            self.pushes.append((pushed, key, topic))
            self.fresh.append(push_of(pushed, topic, record))
        return record

    def _add_history(self, draft: Draft, key: int, dictionary: Dictionary, numbers: Numbers) -> int:
        application, previous = draft.before.application, draft.before.last_history
        first = numbers.take("history", len(draft.entries)) + 1
        for number, entry in enumerate(draft.entries, first):
            version_id = dictionary.number(application, entry.version)
            kind = HISTORY_CODES[entry.kind]
            self.history.append(
                (number, key, previous, self.in_ms(entry.at), kind, version_id, entry.status_code, entry.reason)
            )
            previous = number
        return previous

    def _add_setbacks(self, draft: Draft, key: int, dictionary: Dictionary) -> None:
        before, after = draft.before.endpoint.setbacks, draft.after.setbacks
        if before is after or before == after:
            return
        self.setbacks_of.append(key)
        for version, setback in after.items():
            version_id = dictionary.number(draft.before.application, version)
            retry_ms = self.in_ms(setback.retry_at)
            self.setbacks.append((key, version_id, setback.failures, retry_ms, int(setback.exhausted), setback.reason))

    def _add_consents(self, draft: Draft, key: int, dictionary: Dictionary) -> None:
        before, after = draft.before.endpoint.consents, draft.after.consents
        if before is after or before == after:
            return
        self.consents_of.append(key)
        for version, consent in after.items():
            version_id = dictionary.number(draft.before.application, version)
            self.consents.append((key, version_id, int(consent.granted), self.in_ms(consent.at), consent.reason))


def attempt_row(
    number: int,
    key: int,
    attempt: Attempt,
    application: int,
    dictionary: Dictionary,
    in_ms: Milliseconds = to_ms_or_none,
) -> Row:
    """A row of `attempt`."""
    return (
        number,
        key,
        dictionary.number(application, attempt.version),
        dictionary.number(application, attempt.origin),
        attempt.number,
        attempt.sequence,
        ATTEMPT_CODES[attempt.state],
        rows.stage_code(attempt.stage),
        in_ms(attempt.offered_at),
        in_ms(attempt.reached_at),
        in_ms(attempt.settled_at),
        attempt.reason,
        None if attempt.healthy is None else int(attempt.healthy),
    )


def versions_in(drafts: Sequence[Draft]) -> Iterator[tuple[int, Version]]:
    """Every (application, version) that the rows of these drafts name; repeated ones hardly ever."""
    # The drafts hold them all: no two have the same identity, and to ask a version for its hash takes longer.
    seen = defaultdict[int, set[int]](set)
    for draft in drafts:
        application, after, attempt = draft.before.application, draft.after, draft.after.attempt
        named = [after.running, after.pinned, after.asked, draft.held, *[entry.version for entry in draft.entries]]
        if attempt is not None:
            named += (attempt.version, attempt.origin)
        if after.setbacks or after.consents:
            named += (*after.setbacks, *after.consents)
        known = seen[application]
        for version in named:
            if version is not None and id(version) not in known:
                known.add(id(version))
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
