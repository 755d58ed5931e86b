"""Pushes that the publisher has before it needs them: read beside a slice, or handed over by who has stored them.

Rules:
- Nothing is left out: pushes are taken in only where they go on from what is here already.
- What was handed over tells what the database would: it is forgotten as soon as something else has become of one of
  its endpoints, or may have. What was read is one slice at most, and goes out as it was read.
- No more is kept than soon is sent.

Layer: application; pure.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.application.pushes import Push

MOST = 2_500
"""Pushes beyond which none are handed over; they are read from the storage then."""


class Ahead:
    """What comes next, in order of revision."""

    def __init__(self) -> None:
        """Know nothing."""
        self.upto = 0
        """The revision up to which every push was taken from here, or is here."""
        self._taken = 0
        """The same of those that were taken."""
        self._pushes: deque[Push] = deque()
        self._handed: set[int] = set()
        """Endpoints of which a push is here that was handed over; 0 for topics that were left."""

    def __bool__(self) -> bool:
        """Whether there is something to take."""
        return bool(self._pushes)

    @property
    def handed(self) -> bool:
        """Whether something is here that was handed over."""
        return bool(self._handed)

    def reset(self, revision: int) -> None:
        """Go on after a revision, knowing nothing."""
        self._taken = revision
        self.forget()

    def forget(self) -> None:
        """Go on after what was taken last, knowing nothing."""
        self.upto = self._taken
        self._pushes.clear()
        self._handed.clear()

    def tells_of(self, keys: Iterable[int]) -> bool:
        """Whether something is here that was handed over of one of these endpoints."""
        return not self._handed.isdisjoint(keys)

    def extend(self, pushes: Sequence[Push], *, since: int, upto: int) -> None:
        """Take in all pushes after revision `since` up to `upto`; none where others may come before."""
        if since <= self.upto:
            self._pushes += [push for push in pushes if self.upto < push.revision <= upto]
            self.upto = max(self.upto, upto)

    def hand(self, pushes: Sequence[Push], *, since: int) -> None:
        """Take in what a transaction has stored, all that comes after revision `since`; too many are not."""
        if since > self.upto or len(self._pushes) + len(pushes) > MOST:
            return
        self.extend(pushes, since=since, upto=pushes[-1].revision)
        self._handed.update(push.key for push in pushes)

    def take(self, amount: int) -> list[Push]:
        """The next ones, at most so many."""
        taken = [self._pushes.popleft() for _ in range(min(amount, len(self._pushes)))]
        if taken:
            self._taken = taken[-1].revision
        if not self._pushes:
            self._handed.clear()
        return taken
