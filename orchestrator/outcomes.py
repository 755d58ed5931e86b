"""How a process that works on the database ends: its exit code, and a sentence for whoever started it.

Layer: service.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orchestrator.persistence.refusals import DatabaseUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE, FAILED, UNREACHABLE = 0, 1, 4


def line(error: BaseException) -> str:
    """An error as commands print it: its sentence, and in brackets its code, where it has one."""
    code: str | None = getattr(error, "code", None)
    return str(error) if code is None else f"{error} ({code})"


def told(error: BaseException) -> int:
    """Say on standard error what was wrong; return the exit code."""
    sys.stderr.write(f"otao: {line(error)}\n")
    return UNREACHABLE if isinstance(error, DatabaseUnreachableError) else FAILED


def each(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, and in groups of it; of any other error, itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from each(inner)
    else:
        yield error
