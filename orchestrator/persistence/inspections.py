"""What a database says of itself: sizes, room, damage, and what waits in it.

Layer: persistence; reads on the connection that is handed in.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from orchestrator.application.diagnoses import MIB, Inspection
from orchestrator.persistence import schema

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

CHECKED_AT_MOST = 512 * MIB
"""Larger files are not read through to find damage: that would take the disk away from reports."""


async def inspect(connection: AsyncConnection) -> Inspection:
    """Look at the database of a connection."""
    place = await _server(connection) if connection.dialect.name == "postgresql" else await _file(connection)
    letter, parked, push = schema.dead_letter.c, schema.parked_push.c, schema.push.c
    latest = select(letter.error).order_by(letter.id.desc()).limit(1)
    refused = select(func.count(), func.min(parked.topic))
    watermark = (await connection.execute(select(schema.installation.c.watermark))).scalar() or 0
    behind = select(func.count()).where(push.revision > watermark)
    amount, topic = (await connection.execute(refused)).one()
    return Inspection(
        size_bytes=place.size_bytes,
        wal_bytes=place.wal_bytes,
        free_bytes=place.free_bytes,
        damage=place.damage,
        waiting=(await connection.execute(behind)).scalar_one(),
        parked=amount,
        parked_topic=topic,
        dead_letters=(await connection.execute(select(func.count(letter.id)))).scalar_one(),
        last_error=(await connection.execute(latest)).scalar(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    size_bytes: int
    wal_bytes: int | None = None
    free_bytes: int | None = None
    damage: str | None = None


async def _server(connection: AsyncConnection) -> _Place:
    """A server looks after its log and its disk itself, on a machine that is not ours."""
    size = (await connection.execute(select(func.pg_database_size(func.current_database())))).scalar_one()
    return _Place(size_bytes=int(size))


async def _file(connection: AsyncConnection) -> _Place:
    path = await _path(connection)
    size = _size(path)
    return _Place(
        size_bytes=size,
        wal_bytes=_size(Path(f"{path}-wal")),
        free_bytes=shutil.disk_usage(path.parent).free,
        damage=await _damage(connection) if size <= CHECKED_AT_MOST else None,
    )


async def _path(connection: AsyncConnection) -> Path:
    named = "SELECT file FROM pragma_database_list WHERE name = 'main'"
    return Path(str((await connection.exec_driver_sql(named)).scalar_one()))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def _damage(connection: AsyncConnection) -> str | None:
    found = str((await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar())
    return None if found == "ok" else found
