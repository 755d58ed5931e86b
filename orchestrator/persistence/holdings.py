"""Who holds what: the tables that all partitions have in common, which lie with those of `main`.

Rules:
- `lease`: the replica that serves each partition; `replica`: those that are there; `place`: whose each name is.
- Other partitions' schemas have these tables as well, and nothing is in them.

Layer: persistence.
"""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table

from orchestrator.persistence import schema
from orchestrator.persistence.schema import Key, Text

lease = Table(
    "lease",
    schema.metadata,
    Column("partition", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("replica", "address")),
    Column("epoch", Integer, nullable=False),
    Column("until_ms", Key, nullable=False),
    Column("session", Integer),
)

place = Table(
    "place",
    schema.metadata,
    *(Column(name, Text, primary_key=True) for name in ("kind", "name")),
    *(Column(name, Text, nullable=False) for name in ("partition", "application")),
)

replica = Table(
    "replica",
    schema.metadata,
    Column("name", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("until_ms", Key, nullable=False),
    Column("session", Integer, nullable=False),
)
