"""The reference names what there is: every error code, every setting."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from orchestrator.settings import Settings
from tests.architecture.sources import PACKAGES, ROOT, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = ROOT / "docs" / "reference"
NAMED = re.compile(r"`([a-z0-9_-]+)`")


def named(*documents: str) -> set[str]:
    return {match[1] for name in documents for match in NAMED.finditer((REFERENCE / name).read_text())}


def codes(tree: ast.Module) -> Iterator[str]:
    """Yield the value of every class attribute `code`."""
    for node in ast.walk(tree):
        for statement in node.body if isinstance(node, ast.ClassDef) else ():
            match statement:
                case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                    yield code
                case _:
                    pass


def test_every_error_code_is_in_the_reference() -> None:
    found = {code for module in modules(*PACKAGES) for code in codes(module.tree)}
    assert len(found) > 40
    assert found - named("errors.md", "mqtt-api.md") == set()


def test_every_setting_is_in_the_reference_and_no_other() -> None:
    text = (REFERENCE / "settings.md").read_text()
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", text, re.MULTILINE)
    assert {name for row in rows for name in NAMED.findall(row)} == set(Settings.model_fields)


def test_the_defaults_of_the_reference_are_those_of_the_settings() -> None:
    text = (REFERENCE / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, int | str) and not isinstance(default, bool):
            row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
            assert str(default) in row, name
