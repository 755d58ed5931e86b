"""Audit entries and freezes as rows, and back.

Layer: persistence; no I/O beyond the connection that is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import insert, select, update

from orchestrator.application.audits import Action, AuditEntry, StoredAudit
from orchestrator.application.authors import Author, Via
from orchestrator.domain.freezes import Freeze
from orchestrator.persistence import elements, schema
from orchestrator.persistence.instants import from_ms, to_ms

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_table = schema.audit


def to_row(entry: AuditEntry) -> dict[str, Any]:
    """The columns of an entry, its number aside."""
    return {
        "at_ms": to_ms(entry.at),
        "application": entry.application,
        "actor": entry.author.name,
        "via": entry.author.via.value,
        "action": entry.action.value,
        "resource": entry.resource,
        "reason": entry.author.reason,
        "before": entry.before,
        "after": entry.after,
    }


def from_row(row: Row[Any]) -> StoredAudit:
    """The inverse."""
    entry = AuditEntry(
        at=from_ms(row.at_ms),
        application=row.application,
        author=Author(name=row.actor, via=Via(row.via), reason=row.reason),
        action=Action(row.action),
        resource=row.resource,
        before=row.before,
        after=row.after,
    )
    return StoredAudit(number=row.id, entry=entry)


async def add(connection: AsyncConnection, entry: AuditEntry) -> None:
    """Write an entry."""
    await connection.execute(insert(_table).values(to_row(entry)))


async def listed(
    connection: AsyncConnection, application: str | None, before: int | None, limit: int
) -> list[StoredAudit]:
    """Entries, newest first."""
    chosen = select(_table).order_by(_table.c.id.desc()).limit(limit)
    if application is not None:
        chosen = chosen.where(elements.same(_table.c.application, application))
    if before is not None:
        chosen = chosen.where(_table.c.id < before)
    return [from_row(row) for row in await connection.execute(chosen)]


async def set_freeze(connection: AsyncConnection, application: int | None, freeze: Freeze | None) -> None:
    """Write the freeze of an application, or that of all."""
    table = schema.installation if application is None else schema.application
    changed = update(table).values(freeze=_text(freeze))
    await connection.execute(changed if application is None else changed.where(table.c.id == application))


async def load_freeze(connection: AsyncConnection, application: int | None) -> Freeze | None:
    """Read it; the other freezes are not looked at."""
    table = schema.installation if application is None else schema.application
    chosen = select(table.c.freeze)
    if application is not None:
        chosen = chosen.where(table.c.id == application)
    text: str | None = (await connection.execute(chosen)).scalar()
    return freeze_of(text, everywhere=application is None)


def freeze_of(text: str | None, *, everywhere: bool) -> Freeze | None:
    """The freeze that a column holds."""
    if text is None:
        return None
    kept = orjson.loads(text)
    return Freeze(since=from_ms(kept["ms"]), by=kept["by"], reason=kept["reason"], everywhere=everywhere)


def _text(freeze: Freeze | None) -> str | None:
    if freeze is None:
        return None
    return orjson.dumps({"ms": to_ms(freeze.since), "by": freeze.by, "reason": freeze.reason}).decode()
