"""What holds of numbers and plans on SQLite holds on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.storages import open_postgresql
from tests.properties.test_counters import hold_over_stories
from tests.properties.test_plans import agree_over_cases

if TYPE_CHECKING:
    from pathlib import Path


def test_invariant_8_counters_equal_rows_in_postgresql(tmp_path: Path) -> None:
    hold_over_stories(open_postgresql(tmp_path), 15)


def test_a_plan_and_the_fleet_that_obeys_agree_in_postgresql(tmp_path: Path) -> None:
    agree_over_cases(open_postgresql(tmp_path), 5)
