"""How a decision can come out.

Layer: orchestrator.domain; pure.
"""

from enum import Enum


class Outcome(Enum):
    """How a decision came out; the values are what users see."""

    OFFER = "offer"
    """A hop towards the goal is open."""
    WAITING = "waiting"
    """There is a goal, and no hop is open."""
    REFUSED = "refused"
    """There is a goal, and consent to every hop towards it was refused."""
    EXHAUSTED = "exhausted"
    """There would be a goal but for exhaustion."""
    BLOCKED = "blocked"
    """A higher version is connected by edges, or the pin or a rescue asks for a move, but nothing eligible leads on."""
    UNKNOWN_VERSION = "unknown-version"
    """Nothing was reported, and no software is for that."""
    SUSPENDED = "suspended"
    """The token is suspended, revoked or retired."""
    UP_TO_DATE = "up-to-date"
