"""What is done to a database without its service, or beside it: migrate, copy, restore.

Layer: service.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator import outcomes
from orchestrator.application import partitions
from orchestrator.application.ports import StorageError
from orchestrator.outcomes import DONE
from orchestrator.persistence import backups
from orchestrator.persistence.storage import open_storage

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.settings import Settings


async def migrate(settings: Settings) -> int:
    """Bring the database to the newest schema; return the exit code."""
    try:
        for partition in partitions.names(settings.partitions):
            async with open_storage(settings.database_url.get_secret_value(), partition=partition):
                pass
    except StorageError as error:
        return outcomes.told(error)
    return DONE


async def backup(settings: Settings, target: Path) -> int:
    """Copy the database to a new file while it is served; return the exit code."""
    try:
        size = await backups.backup(settings.database_url.get_secret_value(), target)
    except StorageError as error:
        return outcomes.told(error)
    sys.stdout.write(f"{target}: {size:,} bytes\n")
    return DONE


async def restore(settings: Settings, source: Path, *, replace: bool) -> int:
    """Put a copy in the place of the database; return the exit code."""
    url = settings.database_url.get_secret_value()
    try:
        done = await backups.restore(url, source, replace=replace, at=datetime.now(UTC))
    except StorageError as error:
        return outcomes.told(error)
    aside = "" if done.aside is None else f"; what was there is now {done.aside}"
    sys.stdout.write(f"restored {done.endpoints:,} endpoints from {source}{aside}\n")
    return DONE
