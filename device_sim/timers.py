"""All timers of a fleet in one heap: when each is due, and which are.

Rules:
- A key has one timer; setting it again moves it.
- Timers that are due come in the order of their times, then in the order in which they were set.

Layer: device_sim; pure: time comes in as an argument.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Timers(Generic[Key]):
    """Timers by key; times are seconds of whatever clock the caller reads."""

    __slots__ = ("_heap", "_set", "_times")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._times: dict[Key, int] = {}
        self._set = 0

    def __len__(self) -> int:
        """Count the timers that wait."""
        return len(self._times)

    def __contains__(self, key: object) -> bool:
        """Whether a key has a timer."""
        return key in self._times

    def set(self, key: Key, at: float) -> None:
        """Let a key be due at a time, instead of any earlier wish."""
        self._set += 1
        self._times[key] = self._set
        heapq.heappush(self._heap, (at, self._set, key))

    def cancel(self, key: Key) -> None:
        """Forget a key's timer, if it has one."""
        self._times.pop(key, None)

    def next_at(self) -> float | None:
        """When the next key is due; None: none waits."""
        while self._heap and self._times.get(self._heap[0][2]) != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Key]:
        """Take the keys whose time has come."""
        found: list[Key] = []
        while self._heap and self._heap[0][0] <= now:
            _, number, key = heapq.heappop(self._heap)
            # An entry that was moved or cancelled stays in the heap until its time.
            if self._times.get(key) == number:
                del self._times[key]
                found.append(key)
        return found
