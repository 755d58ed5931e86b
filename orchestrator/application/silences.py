"""How many endpoints of each application have been silent for long, as they were counted last.

Rules: it is counted by a round of all endpoints, and never when it is asked for.
Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    def count(self, counted: Mapping[int, int]) -> set[int]:
        """Keep what a round has found, by application; return the applications whose number is another now."""
        known = {*(self._counted or {}), *counted}
        changed = {application for application in known if self.of(application) != counted.get(application, 0)}
        self._counted = dict(counted)
        return changed
