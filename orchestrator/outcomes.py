"""How a process that works on the database ends: its exit code, and a sentence for whoever started it.

Layer: service.
"""

from __future__ import annotations

import sys

from orchestrator.persistence.refusals import DatabaseUnreachableError

DONE, FAILED, UNREACHABLE = 0, 1, 4


def told(error: Exception) -> int:
    """Say on standard error what was wrong; return the exit code."""
    sys.stderr.write(f"otao: {error}\n")
    return UNREACHABLE if isinstance(error, DatabaseUnreachableError) else FAILED
