"""Room for offers: how many may be made in one transaction, under the limits of rollouts and applications.

Rules:
- Slots are counted by the storage, inside the transaction; rates are kept here, and begin anew with each start.
- A rescue from a recalled version is paced by the limits of what is recalled, every other offer by its own rollout's;
  both by the application's.
- What a transaction has taken of a rate is gone even when it is rolled back: too few offers, never too many.

Layer: application.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.domain import changes, pacing
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.pacing import Bucket, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.ports import Transaction
    from orchestrator.domain.changes import Room
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.policies import Limits
    from orchestrator.domain.versions import Version

NUMBERS = ("attempts", "slots")
"""What of the stored numbers limits look at."""
PLENTY = 2**31
"""Room without limits."""


class Rooms:
    """The rates of all applications, and whose room is looked at together."""

    def __init__(self, seconds: float = 1.0) -> None:
        """Start with rates that were not used lately; whoever waits for room asks so many seconds apart."""
        self._seconds = seconds
        self._buckets: dict[tuple[int, Version | None], Bucket] = {}

    async def enter(self, transaction: Transaction, entries: Iterable[Entry | None], now: datetime) -> Ledger:
        """Look at the room that some applications have, inside a transaction."""
        paced = {entry.application.key: entry for entry in entries if entry is not None and entry.catalogue.paced}
        numbers = await transaction.numbers(paced.keys(), NUMBERS) if paced else Counter()
        return Ledger(self._buckets, numbers, now, self._seconds)


class Ledger:
    """What is left of the room in one transaction."""

    def __init__(
        self,
        buckets: dict[tuple[int, Version | None], Bucket],
        numbers: Counter[CounterKey],
        now: datetime,
        seconds: float,
    ) -> None:
        """Take the rates, and the numbers as the transaction found them."""
        self._seconds = seconds
        self._buckets = buckets
        self._numbers = numbers
        self._now = now
        self._taken: Counter[tuple[int, Version | None]] = Counter()
        self._known: dict[tuple[int, Version | None], Progress] = {}

    def room(self, entry: Entry | None) -> Room:
        """Whom to ask before an endpoint of an application is offered something."""
        if entry is None or not entry.catalogue.paced:
            return changes.unlimited

        def ask(endpoint: Endpoint, version: Version) -> bool:
            return self.take(entry, endpoint.running, version, 1) == 1

        return ask

    def take(self, entry: Entry, running: Version | None, version: Version, wanted: int) -> int:
        """Take room for up to `wanted` offers of a version to endpoints that run `running`; return for how many."""
        if not entry.catalogue.paced:
            return wanted
        granted = min(wanted, self.free(entry, running, version))
        application, payer = entry.application.key, _payer(entry, running, version)
        for place in (payer, None):
            self._taken[application, place] += granted
            bucket = self._buckets.get((application, place))
            if bucket is not None:
                bucket.take(granted)
        return granted

    def may_offer(self, entry: Entry, version: Version) -> bool:
        """Whether there may be room for any offer of a version; a rescue's room depends on what is recalled."""
        rescues = any(item.recalled for item in entry.catalogue.software)
        return rescues or self.free(entry, None, version) > 0

    def free(self, entry: Entry, running: Version | None, version: Version) -> int:
        """For how many offers of a version to endpoints that run `running` there is room."""
        payer = _payer(entry, running, version)
        own = self._left(entry, payer, entry.catalogue.policy_of(payer).limits)
        return min(own, self._left(entry, None, entry.catalogue.limits))

    def _left(self, entry: Entry, payer: Version | None, limits: Limits) -> int:
        if not limits.paced:
            return PLENTY
        place = (entry.application.key, payer)
        progress = self._known.get(place)
        if progress is None:
            progress = self._known[place] = self._progress(entry, payer)
        slots = pacing.slots(limits, progress)
        rate = pacing.rate(limits, progress)
        left = PLENTY if slots is None else max(0, slots - self._taken[place])
        if rate is None:
            self._buckets.pop(place, None)
            return left
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = pacing.full(rate, self._now, self._seconds)
        return min(left, bucket.available(rate, self._now))

    def _progress(self, entry: Entry, payer: Version | None) -> Progress:
        slots = notified = succeeded = 0
        for key, amount in self._numbers.items():
            if key.application != entry.application.key or key.version is None:
                continue
            if payer is not None and _payer(entry, key.origin, key.version) != payer:
                continue
            if key.name == "slots":
                slots += amount
            elif key.name == "attempts":
                notified += amount
                succeeded += amount if key.label == AttemptState.CONFIRMED.value else 0
        return Progress(in_progress=slots, notified=notified, succeeded=succeeded)


def _payer(entry: Entry, running: Version | None, version: Version) -> Version:
    """By whose limits an offer is paced."""
    item = entry.catalogue.get(running)
    return version if running is None or item is None or not item.recalled else running
