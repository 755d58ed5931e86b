"""The engine in virtual time: real decisions, real storage, real rendering; no broker, and no waiting.

Rules:
- Everything but the clock, the link and the loops is what a service runs. Time moves only when it is told to.
- The same calls with the same arguments have the same outcome: nothing depends on how long anything really takes.

Layer: beside the service; plain types go in and out.
"""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.batches import Settings
from orchestrator.application.declarations import Declarations
from orchestrator.application.directory import Directory
from orchestrator.application.documents import declarations as documents
from orchestrator.application.documents import progress, texts
from orchestrator.application.engine import assemble
from orchestrator.application.housekeeper import Housekeeper
from orchestrator.application.parts import Parts
from orchestrator.application.plans import Plans
from orchestrator.application.records import Registration
from orchestrator.application.rooms import Rooms
from orchestrator.domain.versions import Version
from orchestrator.downloads import Allowances, HttpDownloads
from orchestrator.persistence.storage import open_storage
from protocol.links import Connection, Inbound
from protocol.payloads import Limits
from protocol.topics import Instances

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.application.engine import Engine
    from orchestrator.application.retentions import Retention
    from orchestrator.persistence.storage import SqlStorage
    from protocol.links import Outbound, Received

BATCH = 1000
"""Messages of one transaction."""
_CONNECTION = Connection(
    number=1, session_present=True, receive_maximum=65_535, maximum_packet_bytes=None, protocol_level=5
)


class VirtualClock:
    """Implements `ports.Clock`: it stands still until it is moved."""

    def __init__(self, begins_at: datetime) -> None:
        """Start at an aware instant."""
        self.at = begins_at

    def now(self) -> datetime:
        """See `ports.Clock.now`."""
        return self.at

    def suspension(self) -> timedelta:
        """See `ports.Clock.suspension`."""
        return timedelta()


class VirtualLink:
    """Implements `links.Link`: what is published is handed to a function at once, and always acknowledged."""

    def __init__(self, deliver: Callable[[str, bytes], None]) -> None:
        """Hand topic and payload of all that is published to `deliver`."""
        self._deliver = deliver
        self.connection: Connection | None = _CONNECTION

    async def run(self) -> None:
        """See `links.Link.run`."""

    async def receive(self, limit: int) -> Received:
        """See `links.Link.receive`: never asked, messages are handed to the engine."""
        raise NotImplementedError(limit)

    def acknowledge(self, received: Received) -> None:
        """See `links.Link.acknowledge`."""

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        """See `links.Link.publish`."""
        for message in messages:
            self._deliver(message.topic, message.payload)
        return [0] * len(messages)

    async def read_retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        """See `links.Link.read_retained`."""
        del topics
        return {}


class Pages(NamedTuple):
    """The size of a database."""

    size_bytes: int
    free_bytes: int
    """Of it, in pages that are used again before it grows."""


class VirtualEngine:
    """One engine that is moved by hand."""

    def __init__(self, storage: SqlStorage, engine: Engine, clock: VirtualClock) -> None:
        """Use `open_engine`."""
        self._storage = storage
        self._engine = engine
        self.clock = clock

    async def apply(self, application: str, catalogue: Mapping[str, Any]) -> None:
        """Make an application, its filters and its software as a catalogue declares them; then let it take effect.

        Raises:
            RequestError: the catalogue is refused.
        """
        parts = self._engine.parts
        closed = HttpDownloads(Allowances.parse(()))
        plans = Plans(
            parts.editing,
            parts.directory,
            parts.clock,
            closed,
            registration=Registration.OPEN,
            instances=parts.instances,
            offer_bytes=2**20,
        )
        declarations = Declarations(
            parts.editing, self._engine.revisions, plans, parts.clock, registration=Registration.OPEN
        )
        members = {name: orjson.dumps(value).decode() for name, value in catalogue.items()}
        await declarations.apply(application, documents.read(members, parts.settings.limits), by=ANONYMOUS)
        await self.settle()

    async def say(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Let endpoints say something, each a topic and a payload, all at the present instant.

        What follows is published by the next `settle` or `elapse`.
        """
        inbound = [
            Inbound(topic=topic, payload=payload, qos=1, packet_id=number % 65_535 + 1)
            for number, (topic, payload) in enumerate(messages)
        ]
        for first in range(0, len(inbound), BATCH):
            await self._engine.inbound.process(inbound[first : first + BATCH])

    async def elapse(self) -> None:
        """Do what the present instant asks for: timers, dates, gates, queues."""
        await self._engine.timers.elapse()
        await self.settle()

    async def settle(self) -> None:
        """Work off every change, and publish what follows."""
        for work in await self._storage.works():
            await self._engine.sweeper.work_off(work)
        await self._engine.publisher.drain()

    async def keep_house(self, retention: Retention) -> Mapping[str, int]:
        """Remove what the present instant and `retention` let go; return how many rows so far, by kind."""
        parts = self._engine.parts
        keeper = Housekeeper(parts, self._storage, retention, sleep=_at_once)
        await keeper.keep_ages()
        await keeper.keep_lengths()
        await self._engine.timers.prune()
        return parts.tallies.removed

    async def pages(self) -> Pages:
        """How large the database is, a SQLite file."""
        async with self._storage.reading() as connection:
            found = [await connection.exec_driver_sql(f"PRAGMA {name}") for name in ("page_size", "page_count")]
            size, count = (int(each.scalar_one()) for each in found)
            free = int((await connection.exec_driver_sql("PRAGMA freelist_count")).scalar_one())
        return Pages(size_bytes=size * count, free_bytes=size * free)

    async def next_at(self) -> datetime | None:
        """The next instant, after the present one, that asks for something; None: none does."""
        due = await self._storage.next_due()
        entries = self._engine.parts.directory.entries()
        dates = [entry.catalogue.next_date_after(self.clock.at) for entry in entries]
        moments = [moment for moment in (due, *dates) if moment is not None and moment > self.clock.at]
        return min(moments, default=None)

    async def paced(self) -> bool:
        """Whether endpoints wait for room."""
        return bool(await self._storage.queues())

    def phase(self, application: str, version: str) -> tuple[str, int]:
        """The phase of a rollout, and its stage from 0."""
        entry = self._engine.parts.directory.by_name(application)
        if entry is None:
            raise LookupError(application)
        rollout = entry.software[Version.parse(version)].software.rollout
        return str(rollout.phase.value), rollout.stage

    async def approve(self, application: str, version: str) -> None:
        """Leave the present stage of a rollout, as an operator would.

        Raises:
            RequestError: there is no such software, or it is recalled.
            IllegalRolloutMove: the rollout is paused, or aborted.
        """
        await self._engine.rollouts.approve(application, Version.parse(version), by=ANONYMOUS)
        await self.settle()

    async def progress(self, application: str, version: str) -> dict[str, Any]:
        """The progress of a rollout, as REST tells it."""
        view = await self._engine.rollouts.get(application, Version.parse(version))
        document: dict[str, Any] = orjson.loads(texts.build(progress.build(view, self.clock.at)))
        return document


@asynccontextmanager
async def open_engine(
    begins_at: datetime,
    deliver: Callable[[str, bytes], None],
    *,
    step: timedelta = timedelta(seconds=1),
    database: str | None = None,
) -> AsyncIterator[VirtualEngine]:
    """Open an engine with an empty database; what it publishes goes to `deliver`, as topic and payload.

    While endpoints wait for room under a rate, time should go in steps of `step`, and not in larger ones. `database` is
    the address of an empty one; None: a SQLite file that goes with the engine.
    """
    with tempfile.TemporaryDirectory(prefix="otao-", dir=_memory()) as place:
        async with open_storage(database or f"sqlite+aiosqlite:///{place}/otao.db") as storage:
            clock = VirtualClock(begins_at)
            parts = Parts(
                link=VirtualLink(deliver),
                storage=storage,
                editing=storage,
                directory=Directory(await storage.entries()),
                clock=clock,
                settings=Settings(instances=Instances(), limits=Limits()),
                partition="main",
                installation=storage.name,
                generation=storage.generation,
                elapsed=_stopped,
                rooms=Rooms(step.total_seconds()),
            )
            parts.presence.marked = parts.presence.reconciled = _CONNECTION.number
            engine = await assemble(parts, batch_size=BATCH, sample_every=timedelta(days=365))
            engine.publisher.resume(_CONNECTION.number, 0)
            yield VirtualEngine(storage, engine, clock)


def _memory() -> str | None:
    """A folder in memory, where there is such; else the usual one."""
    shared = Path("/dev/shm")  # noqa: S108 - what is put there goes with the engine
    return str(shared) if shared.is_dir() else None


async def _at_once(_seconds: float) -> None:
    """Nobody rests in virtual time."""


def _stopped() -> float:
    """Nothing takes any time."""
    return 0.0
