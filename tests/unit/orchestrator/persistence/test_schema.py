from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from orchestrator.persistence import schema
from orchestrator.persistence.databases import open_database
from tests.contract.storages import url_in

if TYPE_CHECKING:
    from pathlib import Path


def differences(connection: Connection) -> list[object]:
    """What a new migration would have to do."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, schema.metadata))


def without_rowid(connection: Connection) -> set[str]:
    """The tables that are kept in the order of their primary key."""
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    return {name for name, sql in rows if "WITHOUT ROWID" in sql}


async def test_the_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)) as database, database.writer.connect() as connection:
        assert await connection.run_sync(differences) == []
        tables = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
        assert tables == {*schema.metadata.tables, "alembic_version"}
        # What is asked of SQLite alone, autogenerate does not compare.
        wanted = {
            name
            for name, table in schema.metadata.tables.items()
            if table.dialect_options["sqlite"]["with_rowid"] is False
        }
        assert await connection.run_sync(without_rowid) == wanted


async def test_the_index_of_timers_holds_only_endpoints_that_have_one(tmp_path: Path) -> None:
    async with open_database(url_in(tmp_path)) as database, database.writer.connect() as connection:
        query = "SELECT sql FROM sqlite_master WHERE name = 'ix_endpoint_state_due_ms'"
        assert str((await connection.exec_driver_sql(query)).scalar()).endswith("WHERE due_ms IS NOT NULL")


def test_tables_of_endpoints_carry_the_endpoints_key_in_their_primary_key() -> None:
    for table in (schema.setback, schema.attempt, schema.history):
        assert "endpoint_id" in {column.name for column in table.primary_key}
    for table in (schema.endpoint, schema.endpoint_state):
        assert [column.name for column in table.primary_key] == ["id"]
