"""Why a database is not opened, or not read any more.

Layer: persistence.
"""

from __future__ import annotations

from orchestrator.application.ports import StorageError


class DatabaseBusyError(StorageError):
    """Another process serves this database, or has taken it over."""

    code = "database-busy"

    def __init__(self, name: str, *, transient: bool = False) -> None:
        """Name it. `transient`: it may be a session of our own that has not ended yet."""
        super().__init__(f"{name} is served by another process", transient=transient)


class DatabaseUnusableError(StorageError):
    """The database cannot be opened: wrong address, no permission, or written by a newer version."""

    code = "database-unusable"

    def __init__(self, reason: str) -> None:
        """Say why."""
        super().__init__(reason, transient=False)


class DatabaseNewerError(DatabaseUnusableError):
    """It was written by a newer version."""

    def __init__(self, schema: str) -> None:
        """Name its schema."""
        super().__init__(f"it was written by a newer version (schema {schema})")


class DatabaseUnreachableError(StorageError):
    """The database's server does not answer."""

    code = "database-unreachable"

    def __init__(self, reason: str) -> None:
        """Say why."""
        super().__init__(f"its server cannot be reached: {reason}", transient=True)


class DatabaseDamagedError(StorageError):
    """The file is no database any more."""

    code = "database-damaged"

    def __init__(self, name: str, reason: str) -> None:
        """Say what was found, and the way back."""
        super().__init__(
            f"{name} is damaged ({reason}): go back to a copy with `otao restore FILE --replace`", transient=False
        )
