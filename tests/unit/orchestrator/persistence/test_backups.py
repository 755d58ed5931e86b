from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator.persistence import backups
from orchestrator.persistence.backups import BackupError
from orchestrator.persistence.databases import open_database
from orchestrator.persistence.refusals import DatabaseBusyError
from orchestrator.persistence.storage import open_storage
from tests.contract.storages import url_in

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 12, 24, 18, 30, tzinfo=UTC)


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """An address where a database is that nobody serves."""
    found = url_in(tmp_path)
    async with open_storage(found):
        pass
    return found


def files(folder: Path) -> dict[str, int]:
    """Names and sizes."""
    return {path.name: path.stat().st_size for path in folder.iterdir()}


async def test_a_copy_is_one_file_that_opens_by_itself(url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "copy.db"
    copy.parent.mkdir()
    async with open_storage(url) as storage:
        size = await backups.backup(url, copy)
        name = storage.name
    assert [path.name for path in copy.parent.iterdir()] == ["copy.db"]
    assert copy.stat().st_size == size
    async with open_storage(f"sqlite+aiosqlite:///{copy}") as storage:
        assert (storage.name, storage.generation) == (name, 0)


async def test_a_copy_does_not_wait_for_the_writer_and_has_what_is_committed(url: str, tmp_path: Path) -> None:
    async with open_storage(url) as storage, storage.transaction() as transaction:
        await transaction.raise_watermark(7, AT)
        await backups.backup(url, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT watermark FROM installation").fetchall() == [(0,)]


async def test_an_existing_file_is_not_overwritten(url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    with pytest.raises(BackupError, match=r"copy\.db exists; name a new file"):
        await backups.backup(url, copy)
    assert copy.read_text() == "precious"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no such file"),
        (b"no database, but as long as one" * 100, "file is not a database"),
        (b"", "it is not a database of Otao"),
    ],
)
async def test_what_is_no_copy_is_refused_and_leaves_nothing_behind(
    url: str, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    wrong = tmp_path / "wrong.db"
    if content is not None:
        wrong.write_bytes(content)
    before = files(tmp_path)
    with pytest.raises(BackupError, match=reason):
        await backups.restore(url, wrong, replace=True, at=AT)
    with pytest.raises(BackupError, match=reason):
        await backups.backup(f"sqlite+aiosqlite:///{wrong}", tmp_path / "copy.db")
    assert files(tmp_path) == before


async def test_a_database_gives_way_only_when_that_is_asked_for_and_not_while_it_is_served(
    url: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    await backups.backup(url, copy)
    with pytest.raises(BackupError, match=r"otao\.db exists; with --replace it is moved aside"):
        await backups.restore(url, copy, replace=False, at=AT)
    async with open_database(url):
        with pytest.raises(DatabaseBusyError):
            await backups.restore(url, copy, replace=True, at=AT)


async def test_a_restored_database_is_a_generation_older_and_the_other_one_is_kept(url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    await backups.backup(url, copy)
    async with open_storage(url) as storage, storage.transaction() as transaction:
        await transaction.raise_watermark(7, AT)
    restored = await backups.restore(url, copy, replace=True, at=AT)
    assert restored.aside == tmp_path / "otao.db.before-20261224T183000Z"
    for expected in (1, 2):
        async with open_storage(url) as storage:
            assert (storage.generation, await storage.watermark()) == (expected, 0)
        if expected == 1:
            restored.aside.rename(tmp_path / "kept.db")
            await backups.backup(url, tmp_path / "again.db")
            await backups.restore(url, tmp_path / "again.db", replace=True, at=AT)
    async with open_storage(f"sqlite+aiosqlite:///{tmp_path / 'kept.db'}") as storage:
        assert await storage.watermark() == 7


async def test_a_copy_is_restored_where_there_is_no_database(url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    await backups.backup(url, copy)
    (tmp_path / "elsewhere").mkdir()
    restored = await backups.restore(url_in(tmp_path / "elsewhere"), copy, replace=False, at=AT)
    assert (restored.endpoints, restored.aside) == (0, None)
