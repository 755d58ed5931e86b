"""Where figures come from: the day, the machine, what else it did, and what the figures themselves do not say."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The origin of one run's figures."""

    day: str
    """As ISO 8601 has it."""
    cores: int
    versions: dict[str, str]
    """Of each program, by its name."""
    load: tuple[float, float] | None
    """Processes that ran or wanted to, in the minute before the run and in its last one; None: nobody looked."""
    notes: tuple[str, ...] = ()
    """Whole sentences."""

    def markdown(self) -> str:
        """Return the origin in a few sentences, without a line break."""
        machine = ", ".join([f"{self.cores} cores", *(f"{name} {version}" for name, version in self.versions.items())])
        load = "" if self.load is None else f"; load {self.load[0]:.1f} before and {self.load[1]:.1f} after"
        return " ".join([f"{self.day}: {machine}{load}.", *self.notes])


def load() -> float:
    """Return how many processes ran or wanted to in the last minute."""
    return os.getloadavg()[0]


def here(before: float, notes: Sequence[str], programs: Mapping[str, Sequence[str]]) -> Origin:
    """Return the origin of what has just been measured on this machine.

    Args:
        before: the load when it began.
        notes: what else is to be said.
        programs: for each program a command that says its version.
    """
    asked = {name: _version(command) for name, command in programs.items()}
    return Origin(
        day=datetime.now(UTC).date().isoformat(),
        cores=os.cpu_count() or 1,
        versions={"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version, **asked},
        load=(round(before, 2), round(load(), 2)),
        notes=tuple(notes),
    )


def _version(command: Sequence[str]) -> str:
    # Mosquitto says its version with its help only, and then ends with 3.
    said = subprocess.run(command, capture_output=True, check=False, text=True).stdout
    found = VERSION.search(said)
    assert found, command
    return found[0]
