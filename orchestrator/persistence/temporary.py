"""Tables that every connection has of its own, and that hold nothing beyond a transaction.

Layer: persistence.
"""

from __future__ import annotations

from sqlalchemy import Column, MetaData, SmallInteger, Table

from orchestrator.persistence.schema import Key, Text

metadata = MetaData()
moved = Table(
    "moved",
    metadata,
    Column("n", Key, primary_key=True, autoincrement=False),
    Column("id", Key, nullable=False),
    Column("hop", Key, nullable=False),
    Column("outcome", Key, nullable=False),
    Column("why", Text),
    Column("given_stage", SmallInteger, nullable=False),
    Column("ask", Key, nullable=False),
    Column("due", Key),
    Column("pushed", SmallInteger, nullable=False),
    prefixes=["TEMPORARY"],
)
"""The endpoints that a page of a sweep moves."""
