"""Shares become whole devices, the same ones each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim import mixes
from device_sim.errors import PlanError
from device_sim.plans import FleetPlan


@pytest.mark.parametrize(
    ("text", "total", "counts"),
    [
        ("", 10, {}),
        ("1.0.0", 3, {"1.0.0": 3}),
        ("1.0.0=60%,1.1.0=40%", 200, {"1.0.0": 120, "1.1.0": 80}),
        ("a=50%,b=50%", 3, {"a": 2, "b": 1}),
        ("a=33.3%,b=33.3%,c=33.4%", 100, {"a": 33, "b": 33, "c": 34}),
        ("a=2,b=50%", 10, {"a": 2, "b": 5}),
        ("a=1%", 3, {"a": 0}),
        (" a = 1 , b = 2 ", 3, {"a": 1, "b": 2}),
    ],
)
def test_shares_become_devices(text: str, total: int, counts: dict[str, int]) -> None:
    assert mixes.parse(text).counts(total) == counts


@given(st.lists(st.integers(1, 10), min_size=1, max_size=6), st.integers(1, 500))
def test_shares_of_all_leave_nobody_out(weights: list[int], total: int) -> None:
    whole = sum(weights)
    shares = [f"v{number}={weight * 100 / whole:.6f}%" for number, weight in enumerate(weights[:-1])]
    used = sum(round(weight * 100 / whole, 6) for weight in weights[:-1])
    mix = mixes.parse(",".join([*shares, f"last={100 - used:.6f}%"]))
    assert sum(mix.counts(total).values()) == total
    assert mixes.parse(str(mix)) == mix


@pytest.mark.parametrize("text", ["a=", "=5%", "a=x", "a=-1", "a=1.5", "a=60%,b=50%", "a=1,a=2", "a=1,,b=2", "a=5%%"])
def test_what_is_no_mix_is_refused(text: str) -> None:
    with pytest.raises(PlanError):
        mixes.parse(text)


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(PlanError, match="more than the 10 devices"):
        mixes.parse("a=6,b=50%").counts(10)


def test_the_deal_follows_from_the_seed() -> None:
    mix = mixes.parse("a=2,b=30%")
    plan = FleetPlan(app_version="v", devices=20, versions=mixes.parse("1.0.0"))
    deals = [mix.deal(20, plan.chance(number)) for number in (1, 1, 2)]
    assert deals[0] == deals[1] != deals[2]
    assert sorted(str(name) for name in deals[0]) == ["None"] * 12 + ["a"] * 2 + ["b"] * 6
