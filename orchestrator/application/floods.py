"""Which endpoints send more than they may: a token bucket for each of those that were heard last.

Rules:
- A bucket holds a minute's worth, and fills evenly: who was quiet may send that much at once.
- What comes beyond is owed, a minute's worth at most.
- An endpoint is said to flood until its bucket is half full again: one at the limit is not named anew all the time.
- Memory is bounded: so many of the endpoints heard last have a bucket; whoever has none begins with a full one.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    Place: TypeAlias = tuple[int, str]
    """Application and token."""

PER_MINUTE = 6_000
"""Messages of one endpoint, if nobody says otherwise."""
REMEMBERED = 10_000
"""Endpoints that have a bucket; about 300 bytes each."""
_SECONDS = 60.0


@dataclass(slots=True)
class _Bucket:
    level: float
    """Messages that may still come; below zero: that came and should not have."""
    at: float
    since: datetime | None = None
    """When it became empty; None: it is half full again, or never was."""
    refused: int = 0
    """Messages since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """An endpoint that sends more than it may."""

    since: datetime
    refused: int
    """Messages that were not taken."""
    per_minute: int

    def __str__(self) -> str:
        """Say it, for `explain`."""
        return (
            f"it floods since {self.since:%H:%M:%S} UTC, with more than {self.per_minute} messages a minute:"
            f" {self.refused} of them were refused, only its newest ones are taken"
        )


class Floods:
    """The buckets of one partition; `per_minute` is what each endpoint may send for good."""

    def __init__(self, per_minute: int = PER_MINUTE, *, remembered: int = REMEMBERED) -> None:
        """Start with nobody known."""
        self.per_minute = per_minute
        self._remembered = remembered
        self._buckets: dict[Place, _Bucket] = {}
        self._begun: list[Place] = []

    def over(self, amounts: Mapping[Place, int], now: datetime) -> set[Place]:
        """Note how many messages of each endpoint have come; return the endpoints that send more than they may."""
        found = set()
        for place, amount in amounts.items():
            bucket = self._buckets.pop(place, None) or _Bucket(self.per_minute, now.timestamp())
            self._buckets[place] = bucket
            self._fill(bucket, now)
            bucket.level = max(bucket.level - amount, -float(self.per_minute))
            if bucket.level < 0:
                found.add(place)
                if bucket.since is None:
                    bucket.since = now
                    self._begun.append(place)
        while len(self._buckets) > self._remembered:
            # The one that was not heard for longest: a dictionary keeps the order in which it was filled.
            del self._buckets[next(iter(self._buckets))]
        return found

    def begun(self) -> list[Place]:
        """The endpoints that have begun to flood since this was asked last."""
        begun, self._begun = self._begun, []
        return begun

    def refuse(self, place: Place) -> None:
        """Note that a message of an endpoint was not taken."""
        bucket = self._buckets.get(place)
        if bucket is not None and bucket.since is not None:
            bucket.refused += 1

    def of(self, place: Place, now: datetime) -> Flood | None:
        """What an endpoint does that sends more than it may; None: it does not."""
        bucket = self._buckets.get(place)
        if bucket is None:
            return None
        self._fill(bucket, now)
        if bucket.since is None:
            return None
        return Flood(since=bucket.since, refused=bucket.refused, per_minute=self.per_minute)

    def count(self, now: datetime) -> int:
        """How many endpoints send more than they may."""
        return sum(self.of(place, now) is not None for place in self._buckets)

    def _fill(self, bucket: _Bucket, now: datetime) -> None:
        at = now.timestamp()
        gained = max(at - bucket.at, 0.0) * self.per_minute / _SECONDS
        bucket.level, bucket.at = min(bucket.level + gained, float(self.per_minute)), at
        if bucket.level >= self.per_minute / 2:
            bucket.since, bucket.refused = None, 0
