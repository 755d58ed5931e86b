"""What is left of removed rows.

Rules:
- `attempt_sum`: what attempts had counted for; with the rows that are left it makes the counters (invariant 8).
- `removed_until`: the highest identifier that was removed, by kind; none up to it is given out again.

Layer: persistence.
"""

from __future__ import annotations

from sqlalchemy import Column, PrimaryKeyConstraint, SmallInteger, Table

from orchestrator.persistence import schema
from orchestrator.persistence.schema import Key, Text

KEYS = ("application_id", "version_id", "origin_id")
KINDS = ("state", "stage", "reached", "unhealthy")
"""All that an attempt is counted by."""

attempt_sum = Table(
    "attempt_sum",
    schema.metadata,
    *(Column(name, Key, nullable=False) for name in KEYS),
    *(Column(name, SmallInteger, nullable=False) for name in KINDS),
    Column("amount", Key, nullable=False),
    PrimaryKeyConstraint(*KEYS, *KINDS),
    sqlite_with_rowid=False,
)

removed_until = Table(
    "removed_until",
    schema.metadata,
    Column("kind", Text, primary_key=True),
    Column("number", Key, nullable=False),
)
