from __future__ import annotations

import pytest

from orchestrator.application import partitions
from orchestrator.application.partitions import MAIN, MOST


@pytest.mark.parametrize("amount", [1, 2, MOST])
def test_names_and_numbers_are_inverse(amount: int) -> None:
    names = partitions.names(amount)
    assert names[0] == MAIN
    assert [partitions.number(name) for name in names] == list(range(1, amount + 1))


def test_only_the_first_partition_is_present_under_the_installations_own_name() -> None:
    assert [partitions.presence_of("a1b2", name) for name in partitions.names(2)] == ["a1b2", "a1b2-p2"]


def test_a_new_application_goes_where_the_fewest_are_and_else_to_the_first() -> None:
    names = partitions.names(11)
    assert partitions.emptiest(names, {}) == "main"
    assert partitions.emptiest(names, {"main": 1, "p3": 1}) == "p2"
    assert partitions.emptiest(names, dict.fromkeys(names, 1) | {"p10": 0, "p9": 0}) == "p9"
