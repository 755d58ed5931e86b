"""An upgrade graph with its numbers: what drawings and documents are made of.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.domain.graphs import Node
    from orchestrator.domain.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One version."""

    node: Node
    endpoints: int
    """How many run it."""

    @property
    def version(self) -> Version:
        """Which one it is."""
        return self.node.version

    @property
    def marks(self) -> tuple[str, ...]:
        """What is to be known of it, in words; empty when nothing is."""
        return tuple(self._marks())

    def _marks(self) -> Iterator[str]:
        software = self.node.software
        if software is None:
            yield "not defined"
        else:
            if software.recalled:
                yield "recalled"
            if software.strategy.value != "general":
                yield software.strategy.value
        if not self.node.reachable:
            yield "unreachable"
        if self.node.dead_end:
            yield "dead end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One edge: `target` may be installed over `source`; None is an unknown version."""

    source: Version | None
    target: Version
    offered: int
    """Attempts that are open now."""
    failed: int
    """Attempts that failed, were reverted or expired, ever."""

    @property
    def traffic(self) -> str:
        """The numbers in words; empty when both are 0."""
        counted = (("offered", self.offered), ("failed", self.failed))
        return ", ".join(f"{amount} {word}" for word, amount in counted if amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The upgrade graph of one application."""

    places: tuple[Place, ...]
    """By ascending version."""
    ways: tuple[Way, ...]
    """By ascending source, unknown first, then by ascending target."""
    unknown: int
    """How many endpoints have reported nothing."""

    @property
    def endpoints(self) -> int:
        """How many there are."""
        return self.unknown + sum(place.endpoints for place in self.places)
