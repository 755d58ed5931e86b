"""What is sent to PostgreSQL and what its errors mean; on a server: tests/integration/test_postgresql.py."""

from __future__ import annotations

import socket

import asyncpg
import pytest
from asyncpg.exceptions._base import DataError as UnfitError
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from orchestrator.application.ports import ValueRefusedError
from orchestrator.persistence import postgresql, schema
from orchestrator.persistence.postgresql import Postgresql

CONSENT = ("endpoint_id", "version_id", "granted", "at_ms", "reason")


def test_a_batch_is_one_array_for_each_column() -> None:
    assert postgresql._insert_text(schema.consent, CONSENT, "ON CONFLICT DO NOTHING") == (
        "INSERT INTO consent (endpoint_id,version_id,granted,at_ms,reason) "
        "SELECT v.endpoint_id,v.version_id,v.granted,v.at_ms,v.reason "
        "FROM unnest($1::BIGINT[],$2::BIGINT[],$3::BOOLEAN[],$4::BIGINT[],$5::TEXT[]) "
        "AS v(endpoint_id,version_id,granted,at_ms,reason) ON CONFLICT DO NOTHING"
    )
    rows = [(1, 2, 1, 3, "why"), (4, 5, 0, 6, None)]
    assert postgresql._turned(schema.consent, CONSENT, rows) == (
        [1, 4],
        [2, 5],
        [True, False],
        [3, 6],
        ["why", None],
    )


def test_rows_are_rewritten_by_their_first_column() -> None:
    assert postgresql._update_text(schema.endpoint, ("id", "attributes")) == (
        "UPDATE endpoint SET attributes=v.attributes FROM unnest($1::BIGINT[],$2::TEXT[]) AS v(id,attributes) "
        "WHERE endpoint.id = v.id"
    )


def test_its_own_error_is_found_in_whatever_holds_it() -> None:
    own = asyncpg.DeadlockDetectedError("deadlock detected")
    adapted = RuntimeError("SQLAlchemy's")
    adapted.__cause__ = own
    assert Postgresql().own(own) is own
    assert Postgresql().own(DBAPIError("", {}, adapted)) is own
    lost = asyncpg.InterfaceError("connection is closed")
    assert Postgresql().own(InterfaceError("", {}, lost)) is lost
    assert Postgresql().own(ZeroDivisionError()) is None


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (asyncpg.SerializationError(""), True),
        (asyncpg.DeadlockDetectedError(""), True),
        (asyncpg.ConnectionDoesNotExistError(""), True),
        (asyncpg.TooManyConnectionsError(""), True),
        (asyncpg.DiskFullError(""), True),
        (asyncpg.AdminShutdownError(""), True),
        (asyncpg.CrashShutdownError(""), True),
        (asyncpg.CannotConnectNowError(""), True),
        (asyncpg.LockNotAvailableError(""), True),
        (asyncpg.ReadOnlySQLTransactionError(""), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (PoolTimeoutError(), True),
        (socket.gaierror("Name or service not known"), True),
        (asyncpg.InvalidPasswordError(""), False),
        (asyncpg.InvalidCatalogNameError(""), False),
        (asyncpg.InsufficientPrivilegeError(""), False),
        (asyncpg.UniqueViolationError(""), False),
        (asyncpg.UndefinedTableError(""), False),
        (asyncpg.DataCorruptedError(""), False),
        (asyncpg.CharacterNotInRepertoireError(""), False),
        (UnfitError("$1: an integer is required"), False),
    ],
)
def test_errors_say_whether_trying_again_helps(error: Exception, *, transient: bool) -> None:
    assert Postgresql().own(error) is error
    assert Postgresql().told(error).transient is transient


@pytest.mark.parametrize(
    ("error", "of_a_value"),
    [
        (asyncpg.CharacterNotInRepertoireError(""), True),
        (asyncpg.UniqueViolationError(""), True),
        (asyncpg.ProgramLimitExceededError(""), True),
        (UnfitError("$1: an integer is required"), True),
        (asyncpg.DataCorruptedError(""), False),
        (asyncpg.IndexCorruptedError(""), False),
        (asyncpg.InsufficientPrivilegeError(""), False),
        (asyncpg.UndefinedTableError(""), False),
        (asyncpg.InternalServerError(""), False),
        (asyncpg.InterfaceError("connection is closed"), False),
    ],
)
def test_only_what_a_value_has_caused_is_laid_on_it(error: Exception, *, of_a_value: bool) -> None:
    assert isinstance(Postgresql().told(error), ValueRefusedError) is of_a_value
