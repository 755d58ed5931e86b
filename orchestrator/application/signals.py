"""Who has something to do: set by whoever made the work, cleared by whoever does it.

Layer: application.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Signals:
    """One event per loop that sleeps."""

    pushes: asyncio.Event = field(default_factory=asyncio.Event)
    """There are new pushes, or answers, to publish."""
    work: asyncio.Event = field(default_factory=asyncio.Event)
    """There are new work items."""
    dates: asyncio.Event = field(default_factory=asyncio.Event)
    """A timer or a date may have come nearer."""
