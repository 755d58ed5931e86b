"""Sets of numbers as integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import bitsets


@given(numbers=st.sets(st.integers(0, 300)))
def test_members_come_back_in_order(numbers: set[int]) -> None:
    bits = sum(1 << number for number in numbers)
    assert list(bitsets.members(bits)) == sorted(numbers)
    assert bitsets.highest(bits) == max(numbers, default=None)


@given(low=st.integers(0, 70), high=st.integers(0, 70))
def test_a_span_holds_what_a_range_holds(low: int, high: int) -> None:
    assert list(bitsets.members(bitsets.span(low, high))) == list(range(low, high))
