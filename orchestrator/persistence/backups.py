"""A copy of the database while it is served, and the way back from it.

Rules:
- A copy is whole or it is not there: it is written beside its name, read through, made durable, and then named.
- Nothing is overwritten: an existing copy is refused; a database that gives way to a restored one is moved aside.
- What is restored knows less than the broker was told since: see `restorations`.

Layer: persistence; SQLite. PostgreSQL brings its own tools.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from orchestrator.application.ports import StorageError
from orchestrator.persistence import restorations
from orchestrator.persistence.databases import (
    address_of_file,
    file_of,
    locked,
    open_database,
)

if TYPE_CHECKING:
    from datetime import datetime

SIDES = ("-wal", "-shm")
"""Files that SQLite keeps beside a database."""


class BackupError(StorageError):
    """A copy cannot be made, or cannot be restored."""

    code = "backup-refused"

    def __init__(self, reason: str) -> None:
        """Say why, and what to do."""
        super().__init__(reason, transient=False)
        self.args = (reason,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore has done."""

    endpoints: int
    """Whose topics will be rendered."""
    aside: Path | None
    """Where the database that was there is now."""


async def backup(url: str, target: Path) -> int:
    """Copy the database to a new file, while it is served; return its size in bytes.

    Raises:
        BackupError: there is such a file already, there is no database, it is damaged, or the disk is full.
    """
    return await asyncio.to_thread(_write, file_of(url), target)


async def restore(url: str, source: Path, *, replace: bool, at: datetime) -> Restored:
    """Put a copy in the place of the database, which nobody may serve meanwhile.

    Raises:
        BackupError: the file is no whole copy; or there is a database, and `replace` is not set.
        DatabaseBusyError: the database is served.
        DatabaseUnusableError: the copy was written by a newer version.
    """
    target = file_of(url)
    fresh = target.with_name(f"{target.name}.restoring")
    with locked(str(target)):
        await asyncio.to_thread(_prepare, source, fresh, target, replace=replace)
        endpoints = await _rejuvenate(fresh)
        aside = await asyncio.to_thread(_put, fresh, target, at)
    return Restored(endpoints=endpoints, aside=aside)


def _prepare(source: Path, fresh: Path, target: Path, *, replace: bool) -> None:
    if target.exists() and not replace:
        raise BackupError(f"{target} exists; with --replace it is moved aside")
    _remove(fresh)
    _write(source, fresh)


def _write(source: Path, target: Path) -> int:
    """Copy one consistent state; the writer of `source` is not held up."""
    if not source.is_file():
        raise BackupError(f"{source}: there is no such file")
    if target.exists():
        raise BackupError(f"{target} exists; name a new file")
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    try:
        wrong = _copy(source, partial)
        if wrong is None:
            _sync(partial)
            partial.rename(target)
            _sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        wrong = str(error)
    finally:
        _remove(partial)
    if wrong is not None:
        raise BackupError(f"{source} could not be copied: {wrong}")
    return target.stat().st_size


def _copy(source: Path, target: Path) -> str | None:
    """Copy, and read through what came of it; return what is wrong with it."""
    with (
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as origin,
        closing(sqlite3.connect(target)) as copy,
    ):
        origin.backup(copy)
        # One file, without others beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
        (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        ours = copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'installation'").fetchone()
    if found != "ok":
        return str(found)
    return None if ours else "it is not a database of Otao"


async def _rejuvenate(path: Path) -> int:
    """Bring a copy to the present schema, and have it tell the broker everything; return how many endpoints it has."""
    async with open_database(address_of_file(path)) as database, database.writer.begin() as connection:
        return await restorations.renew(connection)


def _put(fresh: Path, target: Path, at: datetime) -> Path | None:
    aside = None
    if target.exists():
        aside = target.with_name(f"{target.name}.before-{at:%Y%m%dT%H%M%SZ}")
        # Its log first: a restored database must not find another one's beside it.
        for side in SIDES:
            if Path(f"{target}{side}").exists():
                Path(f"{target}{side}").rename(f"{aside}{side}")
        os.link(target, aside)
    fresh.rename(target)
    Path(f"{fresh}.lock").unlink(missing_ok=True)
    _sync(target.parent)
    return aside


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    for each in (path, *(Path(f"{path}{side}") for side in SIDES)):
        each.unlink(missing_ok=True)
