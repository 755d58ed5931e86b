"""Who has signed out, on SQLite; several partitions are in `tests/integration/test_partitions.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.persistence import departures
from orchestrator.persistence.databases import open_database
from tests.contract.storages import url_in

if TYPE_CHECKING:
    from pathlib import Path


async def test_who_signed_out_is_kept_once_and_until_the_session_would_have_ended(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)) as database, database.writer.begin() as connection:
        assert await departures.kept(connection, "") == {}
        await departures.keep(connection, "", "a", until_ms=10, now_ms=1)
        await departures.keep(connection, "", "a", until_ms=11, now_ms=2)
        await departures.keep(connection, "", "b", until_ms=20, now_ms=9)
        assert await departures.kept(connection, "") == {"a": 10, "b": 20}
        await departures.keep(connection, "", "c", until_ms=30, now_ms=10)
        assert await departures.kept(connection, "") == {"b": 20, "c": 30}
