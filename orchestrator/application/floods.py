"""Which endpoints send more than they may: a token bucket for each of those that were heard last.

Rules:
- A bucket holds a minute's worth, and fills evenly: who was quiet may send that much at once.
- What comes beyond is owed, a minute's worth at most.
- An endpoint is said to flood until its bucket is half full again: one at the limit is not named anew all the time.
- Memory is bounded: so many of the endpoints heard last have a bucket; whoever has none begins with a full one.
- A bucket is one number, the moment at which it will be full: every message of every endpoint moves one.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    Place: TypeAlias = tuple[int, str]
    """Application and token."""

PER_MINUTE = 6_000
"""Messages of one endpoint, if nobody says otherwise."""
REMEMBERED = 10_000
"""Endpoints that have a bucket; about 200 bytes each."""
_FULL = 60.0
"""Seconds in which an empty bucket fills."""
_MOST_OWED = 2 * _FULL
"""Seconds from a minute's worth of debts to a full bucket."""
_HALF = _FULL / 2


@dataclass(slots=True)
class _Flooding:
    since: datetime
    """When its bucket became empty."""
    refused: int = 0
    """Messages since then that were not taken."""


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
        self._full_at: dict[Place, float] = {}
        self._flooding: dict[Place, _Flooding] = {}
        """Those of them that are said to flood."""
        self._begun: list[Place] = []

    def over(self, amounts: Mapping[Place, int], now: datetime) -> set[Place]:
        """Note how many messages of each endpoint have come; return the endpoints that send more than they may."""
        at, seconds = now.timestamp(), _FULL / self.per_minute
        found, full_at = set(), self._full_at
        for place, amount in amounts.items():
            # Taken out and put back: a dictionary keeps the order in which it was filled, here that of hearing.
            missing = max(full_at.pop(place, at) - at, 0.0)
            if place in self._flooding and missing <= _HALF:
                del self._flooding[place]
            missing += amount * seconds
            if missing > _FULL:
                found.add(place)
                missing = min(missing, _MOST_OWED)
                if place not in self._flooding:
                    self._flooding[place] = _Flooding(now)
                    self._begun.append(place)
            full_at[place] = at + missing
        # All at once: each look for the first one passes by all that were taken out before it.
        for oldest in list(islice(full_at, max(0, len(full_at) - self._remembered))):
            del full_at[oldest]
            self._flooding.pop(oldest, None)
        return found

    def begun(self) -> list[Place]:
        """The endpoints that have begun to flood since this was asked last."""
        begun, self._begun = self._begun, []
        return begun

    def refuse(self, place: Place) -> None:
        """Note that a message of an endpoint was not taken."""
        flooding = self._flooding.get(place)
        if flooding is not None:
            flooding.refused += 1

    def of(self, place: Place, now: datetime) -> Flood | None:
        """What an endpoint does that sends more than it may; None: it does not."""
        flooding = self._flooding.get(place)
        if flooding is None or self._full_at[place] - now.timestamp() <= _HALF:
            return None
        return Flood(since=flooding.since, refused=flooding.refused, per_minute=self.per_minute)

    def count(self, now: datetime) -> int:
        """How many endpoints send more than they may."""
        return sum(self.of(place, now) is not None for place in self._flooding)
