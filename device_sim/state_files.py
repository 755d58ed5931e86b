"""What a device remembers over a restart: what runs, what it has started to install, and what it could not.

Rules:
- A file is replaced as a whole and reaches the disk first: after a power cut it holds the old state or the new one.
- A file that is no state is an error, never an empty state: the device would report a version that it may not run.

Layer: device_sim.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from device_sim.errors import SimulatorError
from protocol.fields import SEMVER

if TYPE_CHECKING:
    from pathlib import Path


class StateFileError(SimulatorError):
    """The state file cannot be used."""

    code = "state-file-unusable"

    def __init__(self, path: Path, reason: str) -> None:
        """Name the file."""
        super().__init__(f"the state file {path} cannot be used: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An install that failed, until Otao has confirmed that it knows."""

    version: str
    status_code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is in the file."""

    running: str
    started: str | None = None
    """The version whose install has begun and not ended."""
    starts: int = 0
    """How often it has begun since the last one that ended."""
    failure: Failure | None = None


def read(path: Path) -> Remembered | None:
    """Read the file; None when there is none.

    Raises:
        StateFileError: it cannot be read, or is no state.
    """
    try:
        return _remembered(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateFileError(path, str(error)) from error
    except (ValueError, TypeError, KeyError) as error:
        raise StateFileError(path, f"it is no state of a device ({error})") from error


def write(path: Path, remembered: Remembered) -> None:
    """Replace the file; the inverse of `read`.

    Raises:
        StateFileError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:
            json.dump(asdict(remembered), file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StateFileError(path, str(error)) from error


def _remembered(members: dict[str, object]) -> Remembered:
    failure = members["failure"]
    starts = members["starts"]
    if not isinstance(starts, int) or not (failure is None or isinstance(failure, dict)):
        raise TypeError("starts and failure")
    return Remembered(
        running=_version(members["running"]),
        started=None if members["started"] is None else _version(members["started"]),
        starts=starts,
        failure=None if failure is None else _failure(failure),
    )


def _failure(members: dict[str, object]) -> Failure:
    status_code, reason = members["status_code"], members["reason"]
    if not isinstance(status_code, int) or not isinstance(reason, str):
        raise TypeError("status_code and reason")
    return Failure(version=_version(members["version"]), status_code=status_code, reason=reason)


def _version(value: object) -> str:
    if not isinstance(value, str) or not SEMVER.fullmatch(value):
        raise ValueError(f"{value!a} is no version")
    return value
