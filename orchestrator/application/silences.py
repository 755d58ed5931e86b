"""How many endpoints of each application have been silent for long, as they were counted last.

Rules: it is counted by a round of all endpoints, and never when it is asked for.
Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Silences:
    """Those of one partition."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._counted: Mapping[int, int] | None = None

    @property
    def total(self) -> int:
        """In all applications; 0 before they were counted."""
        return sum((self._counted or {}).values())

    def of(self, application: int) -> int | None:
        """In one application; None: not counted, yet or at all."""
        return None if self._counted is None else self._counted.get(application, 0)

    def count(self, applications: Iterable[int], unseen: Mapping[int, int]) -> set[int]:
        """Keep what a round over some applications has found; return those whose number is another now."""
        found = {application: unseen.get(application, 0) for application in applications}
        changed = {application for application, number in found.items() if self.of(application) != number}
        self._counted = found
        return changed
