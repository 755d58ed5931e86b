"""The names of partitions, and which of them applications are in.

Rules:
- An application is in one partition from its creation to its end; an application version in that of its application.
- The first partition is `main`; a service without others has all of its applications there.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orchestrator.application.problems import RequestError
from protocol.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAIN = "main"
MOST = 64


class Locations(Protocol):
    """Where applications are; every call may raise a `StorageError`."""

    async def of(self, application: str) -> str | None:
        """The partition of an application; None: there is none of this name."""

    async def amounts(self) -> Mapping[str, int]:
        """How many applications partitions have; those that were never opened are absent, `main` aside."""


class PlacedElsewhereError(RequestError):
    """An application was created in another partition at the same moment."""

    code = "application-elsewhere"
    status_code = 409

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(f"the application {quoted(name)} was created by another request just now; try again")


def names(amount: int) -> tuple[str, ...]:
    """The names of so many partitions."""
    return (MAIN, *(f"p{number}" for number in range(2, amount + 1)))


def number(partition: str) -> int:
    """The place of a partition among all, from 1; the inverse of `names`."""
    return 1 if partition == MAIN else int(partition.removeprefix("p"))


def presence_of(installation: str, partition: str) -> str:
    """The name under which the broker keeps whether a partition of an installation is served."""
    return installation if partition == MAIN else f"{installation}-{partition}"


def emptiest(partitions: Sequence[str], applications: Mapping[str, int]) -> str:
    """Where a new application goes: the partition that has the fewest, of several the first."""
    return min(partitions, key=lambda name: (applications.get(name, 0), number(name)))
