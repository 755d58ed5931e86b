"""Every invariant of `docs/explanation/invariants.md` has a test that names it, and the page names one.

A test names invariant 3 when its own name holds `invariant_3_`, as in `test_invariant_3_effects_are_stored_with_state`.
"""

from __future__ import annotations

import re

import pytest

from tests.architecture.sources import ROOT, modules

PAGE = (ROOT / "docs" / "explanation" / "invariants.md").read_text()
INVARIANTS = {
    int(number): text
    for number, text in re.findall(r"^## (\d+)\. .*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
NAMED = re.compile(r"^test_(?:.*_)?invariant_(\d+)_\w+$")


def named_invariants() -> dict[int, set[str]]:
    """The files whose tests name an invariant, by its number."""
    named: dict[int, set[str]] = {}
    for module in modules("tests"):
        for function in module.functions():
            if match := NAMED.match(function.name):
                named.setdefault(int(match[1]), set()).add(str(module.path))
    return named


def test_the_page_has_eleven_invariants_in_order() -> None:
    assert list(INVARIANTS) == list(range(1, 12))


@pytest.mark.parametrize("number", INVARIANTS)
def test_the_page_names_files_with_tests_that_name_the_invariant(number: int) -> None:
    proofs = set(re.findall(r"\]\(\.\./\.\./(tests/\S+\.py)\)", INVARIANTS[number]))
    assert proofs
    assert proofs <= named_invariants().get(number, set())


def test_no_test_names_an_invariant_that_does_not_exist() -> None:
    assert set(named_invariants()) <= set(INVARIANTS)
