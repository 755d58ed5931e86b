from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import outcomes
from orchestrator.persistence.refusals import DatabaseBusyError, DatabaseUnreachableError

if TYPE_CHECKING:
    import pytest


def test_errors_are_found_in_groups_of_groups() -> None:
    first, second = ValueError(), KeyError()
    group = ExceptionGroup("outer", [first, ExceptionGroup("inner", [second])])
    assert list(outcomes.each(group)) == [first, second]
    assert list(outcomes.each(first)) == [first]


def test_a_server_that_does_not_answer_is_told_apart_from_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcomes.told(DatabaseUnreachableError("Connection refused")) == 4
    assert outcomes.told(DatabaseBusyError("otao")) == 1
    assert capsys.readouterr().err == (
        "otao: the database: its server cannot be reached: Connection refused (database-unreachable)\n"
        "otao: the database: otao is served by another process (database-busy)\n"
    )
