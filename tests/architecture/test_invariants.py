"""Every invariant of the design has a test that names it.

A test names invariant 3 when its own name holds `invariant_3_`, as in `test_invariant_3_effects_are_stored_with_state`.
"""

from __future__ import annotations

import re

import pytest

from tests.architecture.sources import modules

INVARIANTS = range(1, 12)
NAMED = re.compile(r"^test_(?:.*_)?invariant_(\d+)_\w+$")


def named_invariants() -> dict[int, list[str]]:
    named: dict[int, list[str]] = {}
    for module in modules("tests"):
        for function in module.functions():
            if match := NAMED.match(function.name):
                named.setdefault(int(match[1]), []).append(f"{module.path}::{function.name}")
    return named


@pytest.mark.parametrize("number", INVARIANTS)
def test_the_invariant_has_a_test_that_names_it(number: int) -> None:
    assert named_invariants().get(number), f"no test is named test_…invariant_{number}_…"


def test_no_test_names_an_invariant_that_does_not_exist() -> None:
    assert set(named_invariants()) <= set(INVARIANTS)
