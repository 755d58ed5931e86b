"""The import contracts of pyproject.toml hold, and what is imported from others is declared there."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import PACKAGES, ROOT, modules, project

LOADED_BY_NAME = {"aiosqlite", "tzdata"}
"""Runtime dependencies that no module imports: SQLAlchemy finds its driver by the database's address, and zoneinfo the
zone files where the machine has none."""


def imported_packages() -> set[str]:
    """Name the top-level packages of others that ours import, within functions too."""
    names: set[str] = set()
    for module in modules(*PACKAGES):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(PACKAGES) - sys.stdlib_module_names


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    lint = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True, timeout=60)
    assert lint.returncode == 0, lint.stdout
    assert "0 broken" in lint.stdout


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    # Whoever imports what a dependency happens to bring along breaks when that one stops doing so.
    providers = packages_distributions()
    imported = {
        canonicalize_name(distribution)
        for name in imported_packages()
        for distribution in providers.get(name, [f"{name}, which is not installed"])
    }
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    declared = {canonicalize_name(Requirement(text).name) for text in dependencies}
    assert imported - declared == set()
    assert declared - imported - LOADED_BY_NAME == set()
