"""Endpoints by when they were heard last.

Rules: a page is a range of the narrow hot rows; only those that were never heard are looked up beside them. No index is
kept of what every report rewrites.
Layer: persistence; reads on the connection that is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select

from orchestrator.application.retirements import Page, Silent
from orchestrator.domain.endpoints import TokenState
from orchestrator.persistence import schema
from orchestrator.persistence.instants import from_ms, to_ms
from orchestrator.persistence.rows import TOKEN_CODES
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_state, _endpoint = schema.endpoint_state.c, schema.endpoint.c
_ACTIVE, _RETIRED = TOKEN_CODES[TokenState.ACTIVE], TOKEN_CODES[TokenState.RETIRED]


async def silent(connection: AsyncConnection, after: int, endpoints: int, since: datetime) -> Page:
    """See `retirements.Register.silent`."""
    page = select(_state.id).where(_state.id > after).order_by(_state.id).limit(endpoints).subquery()
    end: int | None = (await connection.execute(select(func.max(page.c.id)))).scalar()
    if end is None:
        return Page(end=None)
    early, inside = to_ms(since), and_(_state.id > after, _state.id <= end)
    active = and_(inside, _state.token_state == _ACTIVE)
    quiet = select(_state.id, _state.seen_ms).where(active, or_(_state.seen_ms < early, _state.seen_ms.is_(None)))
    heard = {row.id: row.seen_ms for row in await connection.execute(quiet)}
    if None in heard.values():
        never = select(_endpoint.id, _endpoint.registered_ms).join_from(
            schema.endpoint_state, schema.endpoint, _endpoint.id == _state.id
        )
        chosen = never.where(active, _state.seen_ms.is_(None))
        heard |= {row.id: row.registered_ms for row in await connection.execute(chosen)}
    retired = select(func.count()).where(inside, _state.token_state == _RETIRED)
    return Page(
        end=end,
        silent=[
            Silent(key=key, application=key // KEY_SPAN, heard_at=from_ms(at))
            for key, at in heard.items()
            if at is not None and at < early
        ],
        retired=(await connection.execute(retired)).scalar_one(),
    )
