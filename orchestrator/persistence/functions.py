"""Functions that databases are given: what filters ask of texts that endpoints report.

Rules:
- Any value comes in; what names no version or no instant gives null, never an error.
- Version keys sort as texts, code point by code point, as their versions do; equal versions have equal keys.

Spec: SemVer 2.0.0 §11.
Layer: persistence; pure. Today these are Python functions of each SQLite connection; other databases can have the same
ones by migration.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.domain import conversions

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.domain.ranges import Identifier
    from orchestrator.domain.versions import Version

_REMEMBERED = 65_536
_NUMERIC, _ALPHANUMERIC = 0, 1


def sort_key(version: Version) -> str:
    """A text that sorts as the version does."""
    *numbers, prerelease = version.key
    return "".join([*map(_number, numbers), *map(_identifier, prerelease)])


def _number(value: int) -> str:
    digits = str(value)
    return f"{len(digits):03d}{digits}"


def _identifier(identifier: Identifier) -> str:
    kind, value, text = identifier
    if kind == _NUMERIC:
        return f"{kind}{_number(value)}"
    # A blank ends the identifier: it sorts below every character that one may go on with.
    return f"{kind}{text} " if kind == _ALPHANUMERIC else str(kind)


@lru_cache(maxsize=_REMEMBERED)
def semver_key(value: object) -> str | None:
    """The sort key of the version that a text names; None when it names none."""
    version = conversions.version(value) if isinstance(value, str) else None
    return None if version is None else sort_key(version)


@lru_cache(maxsize=_REMEMBERED)
def instant_us(value: object) -> int | None:
    """The microseconds since the epoch of the instant that a text names; None when it names none."""
    at = conversions.instant(value) if isinstance(value, str) else None
    return None if at is None else conversions.microseconds(at)


FUNCTIONS: dict[str, Callable[[object], str | int | None]] = {
    "otao_semver_key": semver_key,
    "otao_instant_us": instant_us,
}
"""By the name that SQL knows them by; each takes one value and is deterministic."""
