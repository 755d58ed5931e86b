from __future__ import annotations

from orchestrator.application.counters import CounterKey
from orchestrator.persistence import schema
from orchestrator.persistence.remnants import KINDS, attempt_sum, removed_until


def test_sums_are_kept_by_all_that_attempts_are_counted_by() -> None:
    assert {"application_id", "version_id", "origin_id", *KINDS} == {column.name for column in attempt_sum.primary_key}
    assert {"application", "version", "origin"} < set(CounterKey._fields)


def test_the_table_is_one_of_the_database() -> None:
    assert schema.metadata.tables["attempt_sum"] is attempt_sum


def test_how_far_rows_are_removed_is_kept_by_kind() -> None:
    assert [column.name for column in removed_until.primary_key] == ["kind"]
