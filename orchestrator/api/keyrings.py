"""The API keys as they are now: the file, looked at again when it has changed.

Rules:
- A key that was made or revoked counts within a second, without a restart.
- It fails closed: a file that is broken, and one that was there and is gone, lets nobody in until it is mended.
- Once keys are required they stay so as long as the service runs: a file whose last key was revoked lets nobody in.

Layer: api.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from orchestrator import keys
from orchestrator.keys import ApiKey, KeysError

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What is known of the keys at one moment."""

    required: bool
    """Whether requests need a key at all."""
    keys: tuple[ApiKey, ...]
    broken: bool = False
    """Whether the file cannot be used, so that nobody gets in."""


class Keyring:
    """The keys of one file."""

    def __init__(self, path: Path, monotonic: Callable[[], float], *, required: bool = False) -> None:
        """Take the file's name; `required` asks for keys even while there are none."""
        self._path = path
        self._monotonic = monotonic
        self._required = required
        self._looked_at: float | None = None
        self._seen: tuple[int, ...] | None = None
        self._credentials = Credentials(required=required, keys=())

    def credentials(self) -> Credentials:
        """The keys as the file has them, at most a second ago."""
        now = self._monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return self._credentials

    def _look(self) -> None:
        try:
            status = self._path.stat()
            seen: tuple[int, ...] = (status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode)
        except FileNotFoundError:
            seen = ()
        except OSError:
            seen = (-1,)
        if seen == self._seen:
            return
        self._seen = seen
        self._required = self._required or bool(seen)
        try:
            found = tuple(keys.read(self._path))
        except KeysError as error:
            self._credentials = Credentials(required=True, keys=(), broken=True)
            log.warning("api-keys-unusable", reason=str(error))
            return
        self._credentials = Credentials(required=self._required, keys=found)
        log.info("api-keys-read", keys=len(found), required=self._required)
