"""Whatever is public says what it does, and every module to which layer it belongs."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.architecture.sources import PACKAGES, Documented, Module, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYER = re.compile(r"^Layer: \S", re.MULTILINE)


def public(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Documented]]:
    """Yield what other modules may use: functions, classes and their methods, but nothing that a function holds."""
    for child in node.body:
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or child.name.startswith("_"):
            continue
        # An overload's docstring is that of the function it describes.
        if any(ast.unparse(decorator).endswith(("overload", ".setter")) for decorator in child.decorator_list):
            continue
        yield prefix + child.name, child
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{prefix}{child.name}.")


def undocumented(module: Module) -> list[str]:
    return [f"{module.path}: {name}" for name, node in public(module.tree) if not ast.get_docstring(node)]


def test_every_public_function_class_and_method_has_a_docstring() -> None:
    assert [name for module in modules(*PACKAGES) for name in undocumented(module)] == []


def test_every_module_names_its_layer() -> None:
    sources = modules(*PACKAGES)
    assert [module.path for module in sources if not LAYER.search(ast.get_docstring(module.tree) or "")] == []


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("def f(): ...", ["f"]),
        ("def _f(): ...", []),
        ("class A:\n  'doc'\n  async def g(self): ...", ["A.g"]),
        ("def f():\n  'doc'\n  def inner(): ...", []),
        ("@typing.overload\ndef f(): ...", []),
        ("class _A:\n  def g(self): ...", []),
    ],
)
def test_the_search_finds_what_lacks_a_docstring(source: str, missing: list[str]) -> None:
    module = Module(path="m", tree=ast.parse(source), code_lines=frozenset())
    assert undocumented(module) == [f"m: {name}" for name in missing]
