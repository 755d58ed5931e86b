"""Endpoints summed up by class: those of one class are decided once, and written by one statement per table.

Rules:
- A class's decision is that of an endpoint of the class, taken by the same functions (a property test holds them).
- Where room is short, the first endpoints of a class get the offer, in order of key, and the rest do without.

Layer: application; pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.application import counters
from orchestrator.domain import changes
from orchestrator.domain.attempts import Attempt, AttemptState, move
from orchestrator.domain.endpoints import Endpoint, HistoryKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.records import EndpointRecord
    from orchestrator.application.rooms import Ledger
    from orchestrator.domain.changes import Change
    from orchestrator.domain.versions import Version


class Renewal(Enum):
    """Why endpoints are told again what they are told already; nobody else is concerned."""

    ASKS = "ask"
    """What software says of itself has changed: who is asked for consent is asked with that."""
    SHOWN = "show"
    """A stop was lifted before all of its offers and asks were withdrawn: the topics of the others may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One change whose consequences are being drawn, or a queue of endpoints that wait for room."""

    number: int
    application: int
    running: frozenset[Version | None] | None
    """Only endpoints that run one of these are concerned; None: all, and their pushes are written anew."""
    cursor: int
    """Key of the last endpoint looked at."""
    version: Version | None = None
    """Of a queue: what is offered as room comes; None: it is a change."""
    renews: Renewal | None = None
    """Only endpoints that this is about are concerned, and are told anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointClass:
    """Endpoints that differ in nothing that the decision, the offer or the numbers look at."""

    running: Version | None
    attempt: Version | None
    origin: Version | None
    state: AttemptState
    """Meaningless without an attempt."""
    filters: frozenset[str]
    stage: int | None = None
    reached: bool = False
    healthy: bool | None = None
    lapsed: bool = False
    asked: Version | None = None
    held: int = 0
    """Which of the catalogue's restrictions hold them, as a set of their positions."""
    zone: str | None = None
    key: int = field(default=0, compare=False)
    """Of one of them: which restrictions hold it is what all have in common."""
    cohort: int = field(default=0, compare=False)
    """Of the same one."""
    numbers: tuple[int | str | None, ...] = ()
    """What the storage knows the class by; it may tell apart what is the same here, as versions by their build."""

    def endpoint(self, at: datetime) -> Endpoint:
        """One of them, as far as the class says."""
        attempt = None
        if self.attempt is not None:
            attempt = Attempt(
                version=self.attempt,
                number=1,
                sequence=1,
                origin=self.origin,
                state=self.state,
                offered_at=at,
                reached_at=at if self.reached else None,
                stage=self.stage,
                healthy=self.healthy,
                lapsed=self.lapsed,
            )
        return Endpoint(
            running=self.running,
            registered_at=at,
            filters=self.filters,
            attempt=attempt,
            sequence=1,
            asked=self.asked,
            cohort=self.cohort,
            zone=self.zone,
            key=self.key,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassVerdict:
    """What happens to the endpoints of a class: an offer is withdrawn, or made, or both; or consent is asked for."""

    of: EndpointClass
    before: Endpoint
    """One of them."""
    after: Endpoint
    """What becomes of those for which there is room."""
    rest: Endpoint
    """What becomes of the others."""
    reason: str | None
    """Why an open offer is withdrawn."""
    most: int
    """For how many there is room."""
    due_at: datetime | None
    """The timer of those that are offered something."""

    @property
    def hop(self) -> Version | None:
        """What those for which there is room are offered."""
        attempt = self.after.attempt
        made = attempt is not None and attempt is not self.before.attempt and attempt.state is AttemptState.OFFERED
        return attempt.version if made and attempt is not None else None

    @property
    def stage(self) -> int | None:
        """Of the new offer."""
        return None if self.hop is None or self.after.attempt is None else self.after.attempt.stage

    @property
    def withdraws(self) -> bool:
        """Whether the endpoints of the class lose an open offer."""
        return self.before.offer is not None

    @property
    def asks(self) -> Version | None:
        """What consent is asked for."""
        return self.after.asked

    @property
    def moves(self) -> bool:
        """Whether there is anything to write: not where there is no room for anybody, and nothing else happens."""
        return self.most > 0 or self.rest is not self.before

    def offered(self, size: int) -> int:
        """How many of `size` endpoints of the class are offered something."""
        return 0 if self.hop is None else min(size, self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The next endpoints of a work item."""

    end: int | None
    """Key of the last endpoint looked at; None: there are no more."""
    classes: dict[EndpointClass, int] = field(default_factory=dict)
    """How many endpoints each class has; by the key of its first one."""
    particular: Sequence[EndpointRecord] = ()
    """Endpoints that have to be looked at one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The next endpoints of a change, as they are seen beside the writer."""

    end: int | None
    """As in a `Page`."""
    classes: Sequence[EndpointClass] = ()
    particular: Sequence[int] = ()
    """Keys of the endpoints that have to be looked at one by one."""


def stays(of: EndpointClass, entry: Entry, at: datetime) -> bool:
    """Whether replanning changes nothing for the endpoints of this class, however much room there is."""
    before = of.endpoint(at)
    return changes.replan(before, entry.decide(before, at), entry.catalogue, at).endpoint is before


def verdict(of: EndpointClass, size: int, entry: Entry, ledger: Ledger, at: datetime) -> ClassVerdict | None:
    """What replanning does to the endpoints of this class, `size` of them; None: nothing."""
    before = of.endpoint(at)
    decision = entry.decide(before, at)
    change = changes.replan(before, decision, entry.catalogue, at)
    if change.endpoint is before:
        return None
    rest, most = change, size
    if change.endpoint.sequence != before.sequence and decision.hop is not None:
        most = ledger.take(entry, of.running, decision.hop, size)
        if most < size:
            rest = changes.replan(before, decision, entry.catalogue, at, _full)
    return ClassVerdict(
        of=of,
        before=before,
        after=change.endpoint,
        rest=rest.endpoint,
        reason=_reason(change, of),
        most=most,
        due_at=changes.due_at(change.endpoint, entry.policy_of, at),
    )


def _full(_endpoint: Endpoint, _version: Version) -> bool:
    return False


def _reason(change: Change, of: EndpointClass) -> str | None:
    withdrawn = (entry for entry in change.entries if entry.kind is HistoryKind.WITHDRAWN)
    return next((entry.reason for entry in withdrawn if entry.version == of.attempt), None)


def differences(
    application: int, verdicts: Sequence[ClassVerdict], sizes: dict[EndpointClass, int]
) -> Counter[CounterKey]:
    """What the verdicts do to the stored numbers."""
    total: Counter[CounterKey] = Counter()
    for item in verdicts:
        size = sizes[item.of]
        offered = item.offered(size) if item.hop is not None else size
        counters.step(total, application, item.before, item.after, _left_behind(item), offered)
        counters.step(total, application, item.before, item.rest, None, size - offered)
    return Counter({key: amount for key, amount in total.items() if amount})


def _left_behind(item: ClassVerdict) -> Attempt | None:
    """The attempt that a new offer replaces."""
    attempt = item.before.attempt
    if attempt is None or item.hop is None:
        return None
    if item.withdraws:
        return move(attempt, AttemptState.WITHDRAWN, attempt.offered_at, reason=item.reason)
    return attempt
