"""The page of the log has every event that the service logs, with its level, and no other."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

from tests.architecture.pages import REFERENCE, named, rows
from tests.architecture.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = {name: name for name in ("debug", "info", "warning", "error")} | {"exception": "error"}
GATES = "rollout.…"
"""Stands for the one event whose name is made where it happens: a gate's action."""


def calls(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield name and level of every event that a module logs by its `log` or `_log`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level), args=[event, *_]) if (
                level in LEVELS
            ):
                yield str(event.value) if isinstance(event, ast.Constant) else GATES, LEVELS[level]
            case _:
                pass


@cache
def logged() -> tuple[tuple[str, str], ...]:
    paths = [path for package in ("orchestrator", "broker_bridge") for path in (ROOT / package).rglob("*.py")]
    trees = [ast.parse(path.read_text()) for path in paths if "get_logger" in path.read_text()]
    return tuple(found for tree in trees for found in calls(tree))


def test_the_page_has_every_event_with_its_level_and_no_other() -> None:
    found = logged()
    assert len(found) > 50
    assert len({event for event, _ in found}) == len(set(found)), "an event has one level"
    page = [(name, cells[1]) for cells in rows((REFERENCE / "log.md").read_text()) for name in named(cells[0])]
    assert len(page) == len(set(page)), "an event stands on the page twice"
    assert dict(page) == dict(found)


def test_one_event_is_made_where_it_happens() -> None:
    assert [event for event, _ in logged()].count(GATES) == 1
