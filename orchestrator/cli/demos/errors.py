"""What can keep the demonstration from being shown.

Ending
└── FailedError              exit code 1
    ├── ChildFailedError     the broker or the service
    └── RefusedCallError     a call of REST

Layer: cli.
"""

from __future__ import annotations

from orchestrator.cli.endings import FailedError


class ChildFailedError(FailedError):
    """The broker or the service did not start, or ended."""

    def __init__(self, name: str, what: str, log: str) -> None:
        """Name the child, say what it did, and quote the end of its log."""
        quoted = "".join(f"\n  {line}" for line in log.splitlines())
        super().__init__(f"{name} {what}" + (f"; the end of its log:{quoted}" if quoted else ""))
        self.name = name


class RefusedCallError(FailedError):
    """The service answered a call of the demonstration with a problem, or not at all."""

    def __init__(self, call: str, answer: str) -> None:
        """Name the call and what came back."""
        super().__init__(f"{call}: {answer}")
        self.call = call
