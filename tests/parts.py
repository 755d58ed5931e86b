"""Parts of an engine for tests that have no broker."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.application.batches import Settings
from orchestrator.application.parts import Parts
from orchestrator.application.ports import StorageError
from protocol.links import Connection, LinkLost
from protocol.payloads import Limits
from protocol.topics import Instances

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.application.directory import Directory
    from orchestrator.application.ports import Clock
    from orchestrator.persistence.storage import SqlStorage
    from protocol.links import Link, Outbound, Received


def no_time() -> float:
    """Seconds that have really passed, where nothing takes any: what costs much is not put off then."""
    return 0.0


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


class Retainer(NoLink):
    """A link to a broker that does nothing but retain; what it is told is kept in `sent`."""

    def __init__(self) -> None:
        self.connection = Connection(
            number=1, session_present=False, receive_maximum=100, maximum_packet_bytes=None, protocol_level=5
        )
        self.retained: dict[str, bytes] = {}
        self.sent: list[Outbound] = []
        self.refused: set[str] = set()
        self.before_publish: Callable[[], None] = lambda: None

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        self.before_publish()
        self.sent += messages
        for message in messages:
            if message.retain and message.topic not in self.refused:
                self.retained.pop(message.topic, None)
                if message.payload:
                    self.retained[message.topic] = message.payload
        return [0x87 if message.topic in self.refused else 0 for message in messages]

    async def read_retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        return {topic: self.retained[topic] for topic in topics if topic in self.retained}


@dataclass
class Known:
    """Where applications are."""

    places: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    misses: int = 0
    """How many questions are not answered, from the first on."""

    async def of(self, application: str) -> str | None:
        self.asked.append(application)
        if len(self.asked) <= self.misses:
            raise StorageError("gone", transient=True)
        return self.places.get(application)

    async def amounts(self) -> dict[str, int]:
        return dict(Counter(self.places.values()))


def without_broker(storage: SqlStorage, directory: Directory, clock: Clock) -> Parts:
    """Everything but a link that works."""
    return with_link(NoLink(), storage, directory, clock)


def with_link(link: Link, storage: SqlStorage, directory: Directory, clock: Clock) -> Parts:
    """Everything, with this link."""
    return Parts(
        link=link,
        storage=storage,
        editing=storage,
        directory=directory,
        clock=clock,
        settings=Settings(instances=Instances(), limits=Limits()),
        partition="main",
        installation="test",
    )
