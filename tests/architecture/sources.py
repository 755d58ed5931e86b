"""What the architecture tests look at: this repository's files, and its modules as syntax trees.

Layer: tests.
"""

from __future__ import annotations

import ast
import subprocess
import tokenize
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol", "broker_bridge", "orchestrator", "device_sim")

LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}

Definition = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One Python file."""

    path: str
    """Relative to the repository, with slashes."""
    tree: ast.Module
    code_lines: frozenset[int]
    """Numbers of the lines that hold code: not blank, no comment, no docstring."""

    def functions(self) -> Iterator[Definition]:
        """Yield every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, Definition):
                yield node

    def size_of(self, function: Definition) -> int:
        """Count the lines of code of a function, from its `def` on: decorators do not count."""
        return sum(function.lineno <= line <= (function.end_lineno or 0) for line in self.code_lines)


@cache
def project() -> dict[str, object]:
    """Read the table `project` of pyproject.toml, with the dependency groups beside it as `groups`."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {**settings["project"], "groups": settings["dependency-groups"]}


@cache
def committed() -> tuple[Path, ...]:
    """List the files that are committed, or would be by `git add .`, in order of name."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    # A file that is deleted and still in the index is listed, too.
    return tuple(path for name in sorted(set(listing.split("\0"))) if name and (path := ROOT / name).is_file())


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Parse every Python file below these folders, in order of name."""
    return tuple(_read(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def _read(path: Path) -> Module:
    tree = ast.parse(path.read_bytes(), filename=str(path))
    lines: set[int] = set()
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type not in LAYOUT:
                lines.update(range(token.start[0], token.end[0] + 1))
    return Module(
        path=path.relative_to(ROOT).as_posix(),
        tree=tree,
        code_lines=frozenset(lines - set(_docstring_lines(tree))),
    )


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        # An attribute's docstring is a bare string, as well.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)
