"""What a database does that was restored: it knows less than the broker was told since.

Rules:
- It counts itself a generation older, so that the broker's sentinel is another's, and gives every endpoint whose offers
  are retained a new push: also one that had none yet, because it may have been given one since.
- On PostgreSQL whoever opens a partition compares where its tables are with where they were: the server, the database
  and the table. A restart and a standby that takes over change none of them; `pg_restore` makes new tables.
- Endpoints are gone through in pages, each a statement, so that none takes as long as a statement may.

Spec: PostgreSQL 15, §9.27.11 (`pg_control_system`), §27.2.5 (a standby has its primary's system identifier).
Layer: persistence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import func, insert, literal, select, text, update

from orchestrator.persistence import schema
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

log = structlog.get_logger(__name__)

PAGE = 100_000
"""Endpoints of one statement."""
_SITE = text(
    "SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),"
    " (SELECT oid FROM pg_database WHERE datname = current_database()), CAST(CAST('installation' AS regclass) AS oid))"
)


async def notice(connection: AsyncConnection) -> bool:
    """Renew a partition on PostgreSQL if its tables are not where they were; return whether that was so.

    Where they are now is kept. Where they were is not known when a version before this kept none.
    """
    installation = schema.installation
    here = (await connection.execute(_SITE)).scalar_one()
    was = (await connection.execute(select(installation.c.site))).scalar_one()
    if was == here:
        return False
    await connection.execute(update(installation).values(site=here))
    if was is None:
        return False
    endpoints = await renew(connection)
    log.warning("database.restored", endpoints=endpoints, was=was, now=here)
    return True


async def renew(connection: AsyncConnection) -> int:
    """Count a generation more, and have the broker told everything; return how many endpoints there are."""
    installation, application, state = schema.installation, schema.application, schema.endpoint_state
    await connection.execute(update(installation).values(generation=installation.c.generation + 1))
    last = max(
        (await connection.execute(select(func.max(schema.push.c.revision)))).scalar() or 0,
        (await connection.execute(select(func.max(installation.c.watermark)))).scalar() or 0,
    )
    retaining = select(application.c.id).where(application.c.push == "retained").order_by(application.c.id)
    for key in (await connection.execute(retaining)).scalars().all():
        last = await _render_all(connection, key * KEY_SPAN, last)
    return int((await connection.execute(select(func.count()).select_from(state))).scalar_one())


async def _render_all(connection: AsyncConnection, first: int, last: int) -> int:
    """Give the endpoints of an application new pushes after the revision `last`; return the last one then."""
    keys = schema.endpoint_state.c.id
    highest = select(func.max(keys)).where(keys.between(first, first + KEY_SPAN - 1))
    end = (await connection.execute(highest)).scalar()
    for begin in range(first, first if end is None else end + 1, PAGE):
        last += await _render(connection, begin, last)
    return last


async def _render(connection: AsyncConnection, begin: int, last: int) -> int:
    """The same for those with keys of one page; return of how many."""
    state, push = schema.endpoint_state, schema.push
    inside = state.c.id.between(begin, begin + PAGE - 1)
    revision = (literal(last) + func.row_number().over(order_by=state.c.id)).label("revision")
    numbered = select(state.c.id, revision).where(inside).subquery()
    await connection.execute(update(state).values(push_revision=numbered.c.revision).where(state.c.id == numbered.c.id))
    renewed = select(state.c.push_revision, state.c.id).where(inside)
    await connection.execute(insert(push).from_select(["revision", "endpoint_id"], renewed))
    return int((await connection.execute(select(func.count()).where(inside))).scalar_one())
