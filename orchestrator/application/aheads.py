"""Pushes that the publisher has before it needs them: read beside a slice, or handed over by who has stored them.

Rules:
- Nothing is left out: pushes are taken in only where they go on from what is here already.
- Of an endpoint only its newest push is sent, as if all had been read at that moment.
- No more is kept than soon is sent: who waits here is older than the database.

Layer: application; pure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.application.pushes import OFFER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.pushes import Push

MOST = 2_500
"""Pushes beyond which none are handed over; they are read from the storage then."""


class Ahead:
    """What comes next, in order of revision."""

    def __init__(self) -> None:
        """Know nothing."""
        self.upto = 0
        """The revision up to which every push was taken from here, or is here."""
        self._pushes: deque[Push] = deque()
        self._newest: dict[int, int] = {}
        """Endpoints that have a push of their own here: its revision."""

    def __bool__(self) -> bool:
        """Whether there is something to take."""
        return bool(self._pushes)

    def reset(self, revision: int) -> None:
        """Go on after a revision, knowing nothing."""
        self.upto = revision
        self._pushes.clear()
        self._newest.clear()

    def extend(self, pushes: Sequence[Push], *, since: int, upto: int) -> None:
        """Take in all pushes after revision `since` up to `upto`; none where others may come before, or too many."""
        if since <= self.upto and len(self._pushes) + len(pushes) <= MOST:
            self._pushes += [push for push in pushes if push.revision > self.upto]
            self.upto = max(self.upto, upto)
        if self._pushes:
            # Also of those that were not taken in: they are stored, and come later.
            self._newest.update((push.key, push.revision) for push in pushes if push.topic is None)

    def take(self, amount: int) -> list[Push]:
        """The next ones, at most so many; of whom a later one says everything is told as superseded."""
        taken = [self._as_of_now(self._pushes.popleft()) for _ in range(min(amount, len(self._pushes)))]
        if not self._pushes:
            self._newest.clear()
        return taken

    def _as_of_now(self, push: Push) -> Push:
        newest = self._newest.get(push.key, 0) if push.topic in {None, OFFER} else 0
        return replace(push, latest=newest) if newest > push.revision else push
