"""What users install is the four packages and nothing else, and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.architecture.sources import PACKAGES, ROOT, committed, project

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA_FILES = {
    *(f"orchestrator/dashboard/static/{name}" for name in ("icon.svg", "page.css", "page.js")),
    *(
        f"orchestrator/dashboard/templates/{name}.html"
        for name in (
            "applications",
            "attention",
            "base",
            "endpoint",
            "endpoints",
            "fleet",
            "login",
            "nothing",
            "parts",
            "problem",
        )
    ),
    "orchestrator/persistence/migrations/script.py.mako",
}
"""Every file in the wheel that is not Python. A build that loses one, or takes a stray one along, fails here."""

DISTRIBUTION = f"otao-{project()['version']}.dist-info"


def run(command: Sequence[str], *, cwd: Path, python_path: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(python_path)} if python_path else None
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)], cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--no-index", "--no-deps", "--target", str(target), str(wheel)], cwd=target)
    return target


def names(wheel: Path) -> list[PurePosixPath]:
    with zipfile.ZipFile(wheel) as archive:
        return [PurePosixPath(name) for name in archive.namelist()]


def test_the_wheel_holds_exactly_the_four_packages(wheel: Path) -> None:
    assert {path.parts[0] for path in names(wheel)} == {*PACKAGES, DISTRIBUTION}


def test_the_wheel_holds_every_python_file_of_the_packages(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in committed()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES
    }
    assert {str(path) for path in names(wheel) if path.suffix == ".py"} == expected


def test_the_wheel_holds_the_listed_data_files(wheel: Path) -> None:
    data = {str(path) for path in names(wheel) if path.parts[0] in PACKAGES and path.suffix != ".py"}
    assert data == DATA_FILES


def test_the_wheel_carries_the_licence(wheel: Path) -> None:
    assert PurePosixPath(DISTRIBUTION, "licenses", "LICENSE") in names(wheel)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_installed_package_is_imported_away_from_the_checkout(package: str, installed: Path, tmp_path: Path) -> None:
    code = f"import {package}; print({package}.__file__)"
    file = run([sys.executable, "-c", code], cwd=tmp_path, python_path=installed).strip()
    assert Path(file).is_relative_to(installed)


def test_the_installed_command_tells_its_version(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(installed / "bin" / "otao"), "--version"]
    assert str(project()["version"]) in run(command, cwd=tmp_path, python_path=installed)
