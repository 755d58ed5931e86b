"""What the engine counts for its operators, since it started.

Layer: application.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tallies:
    """Plain numbers; `/metrics` shows them."""

    accepted: Counter[str] = field(default_factory=Counter)
    """Requests, by kind."""
    refused: Counter[str] = field(default_factory=Counter)
    """Messages that changed nothing, by error code."""
    batches: int = 0
    batch_retries: int = 0
    repeats: int = 0
    """Redelivered messages whose effect was stored before."""
    dead_letters: int = 0
    foreign_pushes: int = 0
    """Messages on push topics that were not ours."""
    answers: int = 0
    answers_refused: Counter[str] = field(default_factory=Counter)
    """Answers that the broker refused or that were lost with the connection, by reason."""
    pushes: int = 0
    parked: int = 0
    reconciliations: Counter[str] = field(default_factory=Counter)
    """By what the sentinel said: equal, lower, absent, unknown."""
    mismatches: int = 0
    """Topics that were read back and did not hold what they should."""
    deadlines: int = 0
    """Timers that were worked off."""
    swept_pages: int = 0
    retired: int = 0
    """Endpoints that were retired because they were not heard for long."""
    removed: Counter[str] = field(default_factory=Counter)
    """Rows that had been kept for long enough, by kind."""
    changes: Counter[str] = field(default_factory=Counter)
    """What operators did, by action."""
    commands: Counter[str] = field(default_factory=Counter)
    """Operators' commands over MQTT that were executed, by name."""
    commands_refused: Counter[str] = field(default_factory=Counter)
    """The same that were refused, by error code."""
    events: int = 0
    """Events and numbers that were published over MQTT."""
    events_refused: int = 0
    """Those of them that the broker refused."""
    events_dropped: int = 0
    """Events that were not published because there were too many."""
    failed_requests: int = 0
    """HTTP requests that ended in an error of ours."""
    refused_keys: int = 0
    """API keys that were none."""
