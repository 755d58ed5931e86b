"""Modules and functions stay small enough to be read at once."""

from __future__ import annotations

from statistics import median, quantiles

from tests.architecture.sources import PACKAGES, modules

MODULE_LINES = 300
MEDIAN_MODULE_LINES = 120
FUNCTION_LINES = 40
MOST_FUNCTIONS_LINES = 25


def test_no_module_is_over_300_lines_of_code() -> None:
    sizes = {module.path: len(module.code_lines) for module in modules(*PACKAGES)}
    assert {path: size for path, size in sizes.items() if size > MODULE_LINES} == {}


def test_the_median_module_is_at_most_120_lines_of_code() -> None:
    sizes = [len(module.code_lines) for module in modules(*PACKAGES) if module.code_lines]
    assert median(sizes) <= MEDIAN_MODULE_LINES


def test_no_function_is_over_40_lines_of_code() -> None:
    sizes = {
        f"{module.path}:{function.lineno} {function.name}": module.size_of(function)
        for module in modules(*PACKAGES, "tests")
        for function in module.functions()
    }
    assert {place: size for place, size in sizes.items() if size > FUNCTION_LINES} == {}


def test_nine_in_ten_functions_are_at_most_25_lines_of_code() -> None:
    sizes = [module.size_of(function) for module in modules(*PACKAGES) for function in module.functions()]
    assert quantiles(sizes, n=10)[-1] <= MOST_FUNCTIONS_LINES
