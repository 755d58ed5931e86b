"""What only few endpoints have beside their hot row: setbacks and consents.

Rules:
- A flag in the hot row says that there are any: for all others nothing is read or written here.
- What an endpoint has is replaced as a whole.

Layer: persistence; works on the connection that is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Text, bindparam, delete

from orchestrator.domain.endpoints import Consent, Setback
from orchestrator.persistence import dialects, elements, schema, writes
from orchestrator.persistence.instants import from_ms, from_ms_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dialects import Prepared
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.drivers import Statement
    from orchestrator.persistence.writes import Writes

_wanted = elements.listed(bindparam("wanted", type_=Text), "wanted", int)


def _of_endpoints(table: Table) -> Prepared:
    statement = dialects.rows(list(table.columns)).where(table.c.endpoint_id.in_(_wanted.values))
    return dialects.prepared(statement)


def _stale(table: Table) -> Prepared:
    return dialects.prepared(delete(table).where(table.c.endpoint_id.in_(_wanted.values)))


_SETBACKS = _of_endpoints(schema.setback)
_CONSENTS = _of_endpoints(schema.consent)
_STALE_SETBACKS = _stale(schema.setback)
_STALE_CONSENTS = _stale(schema.consent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Particulars:
    """The setbacks and consents of some endpoints, by key; those without any are absent."""

    setbacks: dict[int, dict[Version, Setback]] = field(default_factory=dict)
    consents: dict[int, dict[Version, Consent]] = field(default_factory=dict)


async def load(
    connection: AsyncConnection, dictionary: Dictionary, *, setbacks: Sequence[int], consents: Sequence[int]
) -> Particulars:
    """Read the setbacks and the consents of the endpoints whose flags say that they have some."""
    found = Particulars()
    if setbacks:
        for row in await dialects.fetch(connection, _SETBACKS, wanted=elements.listing(setbacks)):
            key, version_id, failures, retry_ms, exhausted, reason = row
            found.setbacks.setdefault(key, {})[dictionary.versions[version_id]] = Setback(
                failures=failures, retry_at=from_ms_or_none(retry_ms), exhausted=bool(exhausted), reason=reason
            )
    if consents:
        for row in await dialects.fetch(connection, _CONSENTS, wanted=elements.listing(consents)):
            key, version_id, granted, at_ms, reason = row
            found.consents.setdefault(key, {})[dictionary.versions[version_id]] = Consent(
                granted=bool(granted), at=from_ms(at_ms), reason=reason
            )
    return found


def replacing(connection: AsyncConnection, batch: Writes) -> list[Statement]:
    """How what the endpoints of a batch have whose setbacks or consents have changed is replaced."""
    statements: list[Statement] = []
    if batch.setbacks_of:
        wanted = {"wanted": elements.listing(batch.setbacks_of)}
        statements.append(dialects.filled(connection, _STALE_SETBACKS, wanted))
        statements += dialects.insertion(connection, schema.setback, writes.SETBACK, batch.setbacks)
    if batch.consents_of:
        wanted = {"wanted": elements.listing(batch.consents_of)}
        statements.append(dialects.filled(connection, _STALE_CONSENTS, wanted))
        statements += dialects.insertion(connection, schema.consent, writes.CONSENT, batch.consents)
    return statements


async def remove(connection: AsyncConnection, key: int) -> None:
    """Drop everything of an endpoint that goes."""
    for table in (schema.setback, schema.consent):
        await connection.execute(delete(table).where(table.c.endpoint_id == key))
