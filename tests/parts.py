"""Parts of an engine for tests that have no broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.batches import Settings
from orchestrator.application.parts import Parts
from protocol.links import LinkLost
from protocol.payloads import Limits
from protocol.topics import Instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.directory import Directory
    from orchestrator.application.ports import Clock
    from orchestrator.persistence.storage import SqlStorage
    from protocol.links import Connection, Outbound, Received


class NoLink:
    """A link that never comes up."""

    connection: Connection | None = None

    async def run(self) -> None:
        """Nothing to run."""

    async def receive(self, limit: int) -> Received:
        raise LinkLost(f"no broker for {limit} messages")

    def acknowledge(self, received: Received) -> None:
        """Nothing to acknowledge."""

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        raise LinkLost(f"no broker for {len(messages)} messages")

    async def read_retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        raise LinkLost(f"no broker for {len(topics)} topics")


def without_broker(storage: SqlStorage, directory: Directory, clock: Clock) -> Parts:
    """Everything but a link that works."""
    return Parts(
        link=NoLink(),
        storage=storage,
        editing=storage,
        directory=directory,
        clock=clock,
        settings=Settings(instances=Instances(), limits=Limits()),
        partition="main",
        installation="test",
    )
