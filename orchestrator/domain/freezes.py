"""A freeze: no endpoint gets a new offer until it is lifted.

Rules:
- It is one value of the catalogue: what no endpoint has started is no offer any more, what one has started goes on.
- Pins and rescues from recalled software wait as well: a freeze is for when nobody knows yet what is wrong.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """That an application, or every one, is frozen."""

    since: datetime
    by: str
    """Who did it."""
    reason: str | None = None
    everywhere: bool = False
    """Whether it holds for all applications."""
