"""Who changes something, by which way, and why: what the audit keeps of every change.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Via(Enum):
    """The way by which a change came."""

    REST = "rest"
    MQTT = "mqtt"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who answers for a change."""

    name: str
    """Of the API key; `anonymous` where there are no keys, `mqtt` on the control topic."""
    via: Via
    reason: str | None = None
    """Why, in the author's words."""

    def because(self, reason: str | None) -> Author:
        """The author with the reason that a body gives, if it gives one."""
        return self if reason is None else replace(self, reason=reason)


ANONYMOUS = Author(name="anonymous", via=Via.REST)
OPERATOR_OVER_MQTT = Author(name="mqtt", via=Via.MQTT)
OTAO = Author(name="otao", via=Via.ENGINE)
"""The gates of rollouts."""
