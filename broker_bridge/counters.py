"""What the link has done since it was made, as plain numbers for the metrics.

Rules:
- They only grow, and survive reconnects.

Layer: adapter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Counters:
    """Totals of one link; read them at any time."""

    connects: int = 0
    losses: int = 0
    """Connections that had been up and ended without our will."""
    refused_connects: int = 0
    refused_subscriptions: int = 0
    """Where subscriptions vary; else one ends the connection."""
    inbound: int = 0
    """Messages handed to the queue; our own echoes are not among them."""
    echoes: int = 0
    """Our own publishes that came back and were dropped (MQTT 3.1.1 has no no-local)."""
    unasked: int = 0
    """Messages that match none of our subscriptions, dropped (MQTT 3.1.1: amqtt sends those of other clients)."""
    malformed: int = 0
    """Messages whose topic is not UTF-8: acknowledged and dropped."""
    acknowledged: int = 0
    outbound: int = 0
    """Publishes that ended with a reason code, refusals included."""
    paused_reads: int = 0
    """How often the link stopped reading because the queue was full."""
    refused_publishes: Counter[int] = field(default_factory=Counter)
    """Refused publishes by MQTT 5 reason code."""
