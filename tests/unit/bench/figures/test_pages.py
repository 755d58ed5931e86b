from __future__ import annotations

import pytest

from bench.figures import pages

MARK = pages.mark("figures", "script/bench some")
PAGE = f"# Page\n\n{MARK}\n\nold\n\n{MARK}\n\nBy hand.\n"


def test_what_is_between_the_marks_is_replaced_and_the_rest_is_as_it_was() -> None:
    assert pages.replaced(PAGE, MARK, "new \\1\n") == f"# Page\n\n{MARK}\n\nnew \\1\n\n{MARK}\n\nBy hand.\n"


def test_writing_the_same_again_changes_nothing() -> None:
    once = pages.replaced(PAGE, MARK, "new\n")
    assert pages.replaced(once, MARK, "new\n") == once


@pytest.mark.parametrize("page", [PAGE.replace(MARK, ""), PAGE.replace(MARK, "", 1), PAGE + PAGE])
def test_a_page_without_the_marks_or_with_more_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match=r"pairs of <!-- figures: written by script/bench some -->, not one"):
        pages.replaced(page, MARK, "new")


def test_marks_of_other_parts_are_left_alone() -> None:
    other = pages.mark("figures", "script/bench other")
    page = f"{other}\n\na\n\n{other}\n{PAGE}"
    assert pages.replaced(page, MARK, "new\n").startswith(f"{other}\n\na\n\n{other}\n")


def test_a_table_has_a_line_below_its_headings() -> None:
    assert pages.table(["", "a"], [["b", "c"]]) == "|  | a |\n| --- | --- |\n| b | c |\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.091, "0.09"), (0, "0.00"), (1.84, "1.8"), (35.04, "35.0"), (228, "228"), (35_612, "35,600")],
)
def test_a_figure_has_the_digits_that_mean_something(value: float, shown: str) -> None:
    assert pages.number(value) == shown


def test_several_figures_are_a_median_with_bounds_and_equal_ones_are_one() -> None:
    assert pages.spread([3.0, 1.0, 2.0], " ms") == "2.0 ms (1.0-3.0)"
    assert pages.spread([4.0], " s") == "4.0 s"
    assert pages.spread([0.29, 0.316], digits=2) == "0.30 (0.29-0.32)"
