"""The stored numbers, as values.

Layer: persistence; reads on the connection that is handed in.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select

from orchestrator.application.counters import CounterKey
from orchestrator.persistence import schema

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.persistence.dictionaries import Dictionary


async def read(connection: AsyncConnection, chosen: ColumnElement[bool], dictionary: Dictionary) -> Counter[CounterKey]:
    """The numbers that a condition chooses, zeros left out."""
    table, version = schema.counter, dictionary.version
    total: Counter[CounterKey] = Counter()
    for row in await connection.execute(select(table).where(chosen, table.c.amount != 0)):
        # Versions that differ in build metadata only are one version here, and two in the table.
        key = CounterKey(row.application_id, row.name, version(row.version_id), version(row.origin_id), row.label)
        total[key] += row.amount
    return total
