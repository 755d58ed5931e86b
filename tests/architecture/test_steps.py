"""Every step that the service names is one at which a test of the system kills it, and every commit has its steps.

A step is named by `steps("…")` or `self._steps("…")`. Tests kill at what stands in a constant whose name ends in
`STEPS`, where `:2` asks for the second time, or at what they give as `KILL_AT` themselves.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.architecture.sources import modules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.architecture.sources import Definition, Module

NAMED_BY = {"steps", "_steps"}
STEP = re.compile(r"([a-z]+(?:-[a-z]+)+)(?::\d+)?")
WITHOUT = {
    "orchestrator/application/backlogs.py::release": "it reads",
    "orchestrator/application/inbound.py::_store": "what it is given to do has steps, before and after",
    "orchestrator/application/reconciler.py::_note_subscribed": "without it the next connection subscribes once more",
    "orchestrator/persistence/storage.py::remove": "the housekeeper names the step after it",
    "orchestrator/persistence/storage.py::remove_entries": "the same",
    "orchestrator/persistence/storage.py::remove_zeros": "the same",
}
"""Functions with a transaction that need no steps of their own, and why."""


def _is_step(node: ast.AST) -> bool:
    """Whether it is what steps are named by, called or handed on."""
    return (isinstance(node, ast.Attribute) and node.attr in NAMED_BY) or (
        isinstance(node, ast.Name) and node.id in NAMED_BY
    )


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_step(node.func):
            yield node


def named_in(tree: ast.AST) -> set[str]:
    """The steps that source names; what it computes is an error."""
    found = set()
    for call in _calls(tree):
        (name,) = call.args
        assert isinstance(name, ast.Constant), f"line {call.lineno}: a step has no name of its own"
        found.add(str(name.value))
    return found


def killed_in(tree: ast.Module) -> set[str]:
    """The steps at which a module of tests kills the service."""
    texts: list[ast.AST] = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and _kills(node)]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            texts += [node.value] if name.endswith("STEPS") and name in used else []
    constants = (node.value for text in texts for node in ast.walk(text) if isinstance(node, ast.Constant))
    matches = (STEP.fullmatch(value) for value in constants if isinstance(value, str))
    return {match[1] for match in matches if match}


def _kills(keyword: ast.keyword) -> bool:
    return keyword.arg == "KILL_AT" and isinstance(keyword.value, ast.Constant)


def uncovered_in(module: Module) -> list[str]:
    """Functions with a commit that has no step right before it, or none right after it."""
    found = []
    for function in module.functions():
        for block in _commits(function):
            before = any(_is_step(node) for statement in block.body for node in ast.walk(statement))
            after = any(call.lineno > (block.end_lineno or 0) for call in _calls(function))
            if not (before and after):
                found.append(f"{module.path}::{function.name}")
    return found


def _commits(function: Definition) -> Iterator[ast.AsyncWith]:
    for node in ast.walk(function):
        if isinstance(node, ast.AsyncWith) and _begins(node.items[0].context_expr):
            yield node


def _begins(opened: ast.expr) -> bool:
    """Whether it begins a transaction; where operators' begin and end, `SqlStorage.edit` names the steps."""
    return isinstance(opened, ast.Call) and isinstance(opened.func, ast.Attribute) and opened.func.attr == "transaction"


def test_the_steps_that_source_names_are_those_at_which_tests_kill() -> None:
    named = {step for module in modules("orchestrator") for step in named_in(module.tree)}
    killed = {step for module in modules("tests/system") for step in killed_in(module.tree)}
    assert named - killed == set(), "no test kills the service there"
    assert killed - named == set(), "the service never comes there"


def test_every_commit_has_a_step_before_and_after_it() -> None:
    found = [name for module in modules("orchestrator") for name in uncovered_in(module)]
    assert sorted(set(found)) == sorted(WITHOUT)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ('A_STEPS = ["batch-read", "batch-read:2"]\ntest(A_STEPS)', {"batch-read"}),
        ('A_STEPS = [("batch-read", "batch-stored", "3.1.1")]\ntest(A_STEPS)', {"batch-read", "batch-stored"}),
        ('A_STEPS = ["batch-read"]', set()),
        ('OTHER = ["batch-read"]\ntest(OTHER)', set()),
        ('start(KILL_AT="batch-read:3")', {"batch-read"}),
        ('start(STOP_AT="batch-read")', set()),
    ],
)
def test_what_tests_kill_at_is_found(text: str, steps: set[str]) -> None:
    assert killed_in(ast.parse(text)) == steps
