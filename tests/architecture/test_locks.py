"""The locks pin everything that pyproject.toml asks for, with hashes, and what runs is what is tested."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import ROOT, project

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==(?P<version>[^\s;]+)(?P<marker> ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?P<more> \\)?$")
LOCKS = ("run", "dev")


@dataclass(slots=True, kw_only=True)
class Pin:
    version: str
    hashes: int = 0


def read(lock: str) -> dict[str, Pin]:
    """Parse a lock; a line that is neither a pin, a hash nor a comment is an error."""
    pins: dict[str, Pin] = {}
    name = ""
    for line in (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines():
        if match := PIN.match(line):
            name = canonicalize_name(match["name"])
            assert name not in pins, line
            pins[name] = Pin(version=match["version"])
        elif HASH.match(line):
            pins[name].hashes += 1
        else:
            assert line.startswith("    #"), line
    return pins


def asked(lock: str) -> list[Requirement]:
    settings = project()
    dependencies, groups = settings["dependencies"], settings["groups"]
    assert isinstance(dependencies, list)
    assert isinstance(groups, dict)
    return [Requirement(text) for text in dependencies + (groups["dev"] if lock == "dev" else [])]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    pins = read(lock)
    assert pins
    assert [name for name, pin in pins.items() if not pin.hashes] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_pinned_within_its_bounds(lock: str) -> None:
    pins = read(lock)
    for requirement in asked(lock):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin, f"{requirement.name} is not in {lock}.lock: run script/lock"
        assert requirement.specifier.contains(pin.version), f"{requirement} is not {pin.version}: run script/lock"


def test_what_runs_is_what_is_tested() -> None:
    tested = read("dev")
    assert {name: pin.version for name, pin in read("run").items()} == {
        name: tested[name].version if name in tested else None for name in read("run")
    }


def test_the_node_clients_are_pinned_with_hashes_and_without_addresses() -> None:
    lock = json.loads((ROOT / "tests/clients/package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name
