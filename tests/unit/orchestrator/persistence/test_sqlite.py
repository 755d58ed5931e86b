from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from orchestrator.application.ports import ValueRefusedError
from orchestrator.persistence import schema, sqlite
from orchestrator.persistence.sqlite import Sqlite


@pytest.mark.parametrize("width", [1, 8, 26, 60])
def test_a_statement_takes_no_more_values_than_sqlite_does(width: int) -> None:
    parts = sqlite._parts([(None,) * width] * 6000, width)
    assert sum(len(part) for part, _ in parts) == 6000
    assert all(len(part) <= size and size * width <= sqlite.VARIABLES for part, size in parts)


def test_all_rows_of_an_answer_are_one_text() -> None:
    columns = schema.delivery.c
    gathered = Sqlite().gathered(select(columns.packet_id, columns.digest).where(columns.digest > 1))
    text = str(gathered.compile(dialect=Sqlite().dialect))
    assert text.startswith("SELECT json_group_array(json_array(delivery.packet_id, delivery.digest))")
    assert "WHERE delivery.digest > ?" in text
    assert Sqlite().rows([("[[1,2],[3,4]]",)]) == [[1, 2], [3, 4]]


def test_a_null_that_is_bound_is_null_and_found_at_once() -> None:
    assert (type(None), sqlite3.PrepareProtocol) in sqlite3.adapters
    connection = sqlite3.connect(":memory:")
    assert connection.execute("SELECT typeof(?), typeof(?)", (None, 0)).fetchall() == [("null", "integer")]
    connection.close()


def test_its_own_error_is_found_in_whatever_holds_it() -> None:
    own = sqlite3.OperationalError("database is locked")
    for held in (own, OperationalError("", {}, own)):
        assert Sqlite().own(held) is own
    assert Sqlite().own(ZeroDivisionError()) is None


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (sqlite3.OperationalError("database is locked"), True),
        (sqlite3.OperationalError("database or disk is full"), True),
        (sqlite3.IntegrityError("UNIQUE constraint failed"), False),
        (sqlite3.InterfaceError("bad parameter"), False),
    ],
)
def test_errors_say_whether_trying_again_helps(error: sqlite3.Error, *, transient: bool) -> None:
    assert Sqlite().told(error).transient is transient


@pytest.mark.parametrize(
    ("error", "of_a_value"),
    [
        (sqlite3.IntegrityError("UNIQUE constraint failed"), True),
        (sqlite3.DataError("string or blob too big"), True),
        (sqlite3.ProgrammingError("Error binding parameter 1"), True),
        (sqlite3.OperationalError("database is locked"), False),
        (sqlite3.DatabaseError("database disk image is malformed"), False),
        (sqlite3.InternalError(""), False),
    ],
)
def test_only_what_a_value_has_caused_is_laid_on_it(error: sqlite3.Error, *, of_a_value: bool) -> None:
    assert isinstance(Sqlite().told(error), ValueRefusedError) is of_a_value
