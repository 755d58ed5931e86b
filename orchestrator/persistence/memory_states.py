"""What the storage in plain dictionaries holds.

Layer: persistence.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.application.pushes import push_of, push_of_topic

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.classes import Work
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.pushes import ParkedPush, Push
    from orchestrator.application.records import EndpointRecord
    from orchestrator.domain.attempts import Attempt
    from orchestrator.domain.endpoints import HistoryEntry
    from orchestrator.domain.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One endpoint as it is kept."""

    record: EndpointRecord
    endpoint_id: str
    attributes: str = "{}"
    due_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that is stored; its values are never changed in place, so that a copy is shallow."""

    endpoints: dict[int, Kept] = field(default_factory=dict)
    history: dict[int, tuple[int, HistoryEntry]] = field(default_factory=dict)
    """Number → number of the entry before, and the entry."""
    attempts: dict[int, tuple[Attempt, ...]] = field(default_factory=dict)
    """Superseded ones by endpoint, oldest first."""
    pushes: dict[int, tuple[int, str | None]] = field(default_factory=dict)
    """Revision → endpoint, or 0 and the topic that was left."""
    counters: Counter[CounterKey] = field(default_factory=Counter)
    offered: dict[tuple[int, Version], datetime] = field(default_factory=dict)
    parked: dict[str, ParkedPush] = field(default_factory=dict)
    works: dict[int, Work] = field(default_factory=dict)
    """Changes and queues."""
    again: set[int] = field(default_factory=set)
    """Queues that begin again at their end."""
    deliveries: dict[int, int] = field(default_factory=dict)
    dead_letters: dict[int, tuple[str, bytes, str, datetime]] = field(default_factory=dict)
    outages: dict[datetime, datetime] = field(default_factory=dict)
    serial: int = 0
    revision: int = 0
    watermark: int = 0
    alive_at: datetime | None = None
    dates_at: datetime | None = None

    def copy(self) -> State:
        """Another state with the same content."""
        return replace(
            self,
            endpoints=self.endpoints.copy(),
            history=self.history.copy(),
            attempts=self.attempts.copy(),
            pushes=self.pushes.copy(),
            counters=self.counters.copy(),
            offered=self.offered.copy(),
            parked=self.parked.copy(),
            works=self.works.copy(),
            again=self.again.copy(),
            deliveries=self.deliveries.copy(),
            dead_letters=self.dead_letters.copy(),
            outages=self.outages.copy(),
        )

    def push(self, revision: int) -> Push:
        """One of `pushes`."""
        key, topic = self.pushes[revision]
        if topic and not key:
            return push_of_topic(revision, topic)
        return push_of(revision, topic, self.endpoints[key].record)
