"""Where an endpoint stands in the order in which rollouts reach a fleet.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from hashlib import sha256

COHORTS = 1_000_000


def cohort(application: str, endpoint_id: str) -> int:
    """A stable number in `range(COHORTS)`, evenly spread."""
    digest = sha256(f"{application}\0{endpoint_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % COHORTS
