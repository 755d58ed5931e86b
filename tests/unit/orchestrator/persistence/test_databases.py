from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

from orchestrator.persistence.databases import check_address, open_database
from orchestrator.persistence.refusals import DatabaseBusyError, DatabaseDamagedError, DatabaseUnusableError
from tests.contract.storages import url_in

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_second_open_of_the_same_file_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)):
        with pytest.raises(DatabaseBusyError, match="served by another process") as caught:
            async with open_database(url_in(tmp_path)):
                pass
        assert not caught.value.transient
    async with open_database(url_in(tmp_path)):
        pass


async def test_a_database_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / "otao.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnusableError, match=r"newer version \(schema 9999\)"):
        async with open_database(url_in(tmp_path)):
            pass
    with closing(sqlite3.connect(tmp_path / "otao.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "not of the form"),
        ("sqlite+aiosqlite://", "not supported"),
        ("postgresql://localhost/otao", "postgresql is not supported"),
        ("postgresql+asyncpg://localhost", "not supported so"),
    ],
)
async def test_an_address_that_is_not_served_is_refused(url: str, reason: str) -> None:
    with pytest.raises(DatabaseUnusableError, match=reason):
        async with open_database(url):
            pass


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusableError, match=r"missing/otao\.db: No such file"):
        async with open_database(url_in(tmp_path / "missing")):
            pass


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "otao.db").write_text("something else, and long enough to be no header of a database" * 20)
    with pytest.raises(DatabaseDamagedError, match=r"otao\.db is damaged \(file is not a database\): go back"):
        async with open_database(url_in(tmp_path)):
            pass


async def test_an_error_in_the_work_is_not_taken_for_one_of_opening(tmp_path: Path) -> None:
    with pytest.raises(OperationalError):
        async with open_database(url_in(tmp_path)) as database, database.readers.connect() as connection:
            await connection.exec_driver_sql("SELECT * FROM absent")


async def test_commits_are_durable_and_readers_wait_for_nobody(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)) as database, database.writer.connect() as connection:
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "wal_autocheckpoint": 100_000}
        for name, value in wanted.items():
            assert (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() == value
        async with database.readers.connect() as reader:
            assert (await reader.exec_driver_sql("SELECT count(*) FROM endpoint")).scalar() == 0


async def test_a_second_open_by_another_name_of_the_same_file_is_refused(tmp_path: Path) -> None:
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/otao.db"):
        (tmp_path / "link.db").symlink_to(tmp_path / "otao.db")
        with pytest.raises(DatabaseBusyError):
            async with open_database(f"sqlite+aiosqlite:///{tmp_path}/link.db"):
                pytest.fail("it was opened twice")


@pytest.mark.parametrize(
    "url", ["sqlite+aiosqlite:////var/lib/otao/otao.db", "postgresql+asyncpg://otao:pw@db.example/otao?ssl=require"]
)
def test_addresses_of_both_kinds_are_taken(url: str) -> None:
    check_address(url)
