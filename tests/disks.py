"""A disk that a test makes slow, or has fail: what a process syncs goes through a library that is preloaded into it.

Rules:
- Only syncs are concerned, which is where a commit meets the disk. The process has to be started with `environment`.
- The file that switches is replaced, never half written.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("disk.c")


class Disk:
    """The disk of the processes that are started with its environment; at first it is as it is.

    Args:
        folder: where the library and the switch are put; whoever runs the processes must be able to read it.
    """

    def __init__(self, folder: Path) -> None:
        self._library, self._switch = folder / "disk.so", folder / "disk"
        command = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, "-o", str(self._library), str(_SOURCE), "-ldl"], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with."""
        return {"LD_PRELOAD": str(self._library), "DISK_SWITCH": str(self._switch)}

    def slow(self, milliseconds: int) -> None:
        """Have each sync take so much longer."""
        self._set(milliseconds, 0)

    def fail(self, error: int) -> None:
        """Have each sync fail with this errno."""
        self._set(0, error)

    def mend(self) -> None:
        """Be as it is."""
        self._switch.unlink(missing_ok=True)

    def _set(self, milliseconds: int, error: int) -> None:
        fresh = self._switch.with_suffix(".new")
        fresh.write_text(f"{milliseconds} {error}")
        fresh.rename(self._switch)
