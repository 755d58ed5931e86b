"""One application on a real engine and a real database, without a broker: endpoints speak, operators act, time passes.

Rules:
- Nothing runs by itself: a tick, a page of a sweep and a publishing are done when they are asked for.
- A crash takes everything but the database, what the broker retains, and what was not acknowledged to it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from orchestrator.application import drafts
from orchestrator.application.applications import Applications
from orchestrator.application.batches import Settings
from orchestrator.application.definitions import Definitions
from orchestrator.application.directory import Directory
from orchestrator.application.endpoints import Endpoints
from orchestrator.application.engine import Engine, assemble
from orchestrator.application.freezes import Freezes
from orchestrator.application.groups import Groups
from orchestrator.application.paces import Pace
from orchestrator.application.parts import Parts
from orchestrator.application.preconditions import UNCONDITIONAL
from orchestrator.application.records import Registration
from orchestrator.domain import changes
from orchestrator.domain.filters import Filter
from orchestrator.domain.versions import Version
from protocol.links import Connection, Inbound, Received
from protocol.payloads import Limits
from protocol.topics import Instances
from tests.parts import Retainer
from tests.unit.orchestrator.application.desks import ACKNOWLEDGED, APP, CREATE, application_body, definition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import EndpointDocument
    from orchestrator.domain.facts import Fact
    from orchestrator.persistence.edits import SqlEdit
    from orchestrator.persistence.storage import SqlStorage
    from protocol.links import Outbound

# Clocks run evenly until the end of October.
START = datetime(2026, 5, 4, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TOKENS = tuple(f"e{number}" for number in range(7))
"""Of endpoints that there are, or may come to be; they are their endpointIds as well."""
APP_VERSION = f"{APP}-v1"
PAGE = 3
"""Endpoints of a page, so that a sweep of a small fleet has several."""


class Crash(BaseException):
    """The process is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message of an endpoint; its resource is the topic below the token."""

    token: str
    resource: str
    body: dict[str, Any]
    instance: str = "cmx_ota"

    def inbound(self, number: int) -> Inbound:
        topic = f"kp1/{APP_VERSION}/{self.instance}/{self.token}/{self.resource}"
        return Inbound(topic=topic, payload=json.dumps(self.body).encode(), qos=1, packet_id=number)


def report(token: str, version: str, status_code: int = 200) -> Said:
    return Said(token=token, resource="applied/json", body={"configId": version, "statusCode": status_code})


@dataclass
class Clock:
    """Time that a test moves."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def suspension(self) -> timedelta:
        return timedelta()


class Post(Retainer):
    """A broker that retains what it is told and keeps what was not acknowledged to it."""

    def __init__(self, leaving: Callable[[Sequence[Outbound]], None]) -> None:
        super().__init__()
        self.connection = Connection(
            number=1, session_present=True, receive_maximum=100, maximum_packet_bytes=None, protocol_level=5
        )
        self.kept: list[Inbound] = []
        self.delivered = False
        self.empty = asyncio.Event()
        self._leaving = leaving
        self._packets = 0

    def take(self, messages: Sequence[Said]) -> None:
        self.delivered = False
        self.empty.clear()
        for message in messages:
            self._packets += 1
            self.kept.append(message.inbound(self._packets))

    def deliver_again(self) -> None:
        """There is a new process: what it has not acknowledged comes again."""
        self.delivered = False
        self.kept = [
            Inbound(topic=item.topic, payload=item.payload, qos=1, packet_id=item.packet_id, duplicate=True)
            for item in self.kept
        ]

    async def receive(self, limit: int) -> Received:
        assert self.connection is not None
        if self.delivered:
            await asyncio.Event().wait()
        self.delivered = True
        return Received(connection=self.connection, messages=tuple(self.kept[:limit]))

    def acknowledge(self, received: Received) -> None:
        self.kept = self.kept[len(received.messages) :]
        self.empty.set()

    def offers(self) -> dict[str, str]:
        """The versions that it retains on push topics, by token."""
        kept = (
            (topic.split("/")[3], payload)
            for topic, payload in self.retained.items()
            if topic.endswith("/cmx_ota/" + topic.split("/")[3] + "/config/json/status")
        )
        return {token: json.loads(payload)["configId"] for token, payload in kept}

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        self._leaving(messages)
        return await super().publish(messages)


class World:
    """What happens to one application; `committed` is called after every commit, `leaving` before every publishing."""

    def __init__(
        self,
        storage: SqlStorage,
        *,
        committed: Callable[[World], Awaitable[None]],
        leaving: Callable[[World, Sequence[Outbound]], None],
    ) -> None:
        self.storage = storage
        self.clock = Clock()
        self.post = Post(lambda messages: leaving(self, messages))
        self.boots = 0
        self.crash_at: str | None = None
        self.reporting: dict[str, str] = {}
        """What endpoints say just now that they run, by token."""
        self._committed = committed
        self._begin = storage.transaction
        for name in ("transaction", "edit"):
            setattr(storage, name, self._transaction)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[SqlEdit]:
        async with self._begin() as edit:
            yield edit
        await self._committed(self)

    async def boot(self) -> None:
        """Start the engine from what is stored."""
        self.boots += 1
        self.crash_at = None
        storage, clock, instances = self.storage, self.clock, Instances()
        directory = Directory(await storage.entries())
        parts = Parts(
            link=self.post,
            storage=storage,
            editing=storage,
            directory=directory,
            clock=clock,
            settings=Settings(instances=instances, limits=Limits()),
            partition="main",
            installation="test",
            steps=self._step,
        )
        parts.presence.reconciled = parts.presence.marked = 1
        self.engine: Engine = await assemble(parts, batch_size=500, sample_every=timedelta(days=365))
        for turning in (self.engine.sweeper, self.engine.timers._pacer):
            turning._pages._pace = Pace(most=PAGE, size=PAGE)
        # As if the broker had lost its sentinel: everything is rendered again.
        self.engine.publisher.resume(1, 0)
        gate, bells, rooms = self.engine.publisher, self.engine.announcer, parts.rooms
        self.directory = directory
        self.rollouts = self.engine.rollouts
        self.applications = Applications(storage, directory, clock, bells, registration=Registration.OPEN)
        self.definitions = Definitions(storage, self.engine.revisions)
        self.groups = Groups(self.engine.revisions)
        self.freezes = Freezes(storage, directory, clock, gate, bells)
        self.endpoints = Endpoints(storage, directory, clock, gate, bells, rooms=rooms, instances=instances)

    def _step(self, step: str) -> None:
        if step == self.crash_at:
            raise Crash(step)

    @property
    def entry(self) -> Entry:
        """The application as the engine knows it now."""
        found = self.directory.by_name(APP)
        assert found is not None
        return found

    # Endpoints

    async def say(self, *messages: Said) -> None:
        """Let endpoints say something, in one batch, each one thing."""
        self.reporting = {
            said.token: said.body["configId"]
            for said in messages
            if said.resource == "applied/json" and 200 <= said.body["statusCode"] < 300
        }
        self.post.take(messages)
        await self.process()

    async def process(self) -> None:
        """Take in what the broker holds for the engine."""
        if not self.post.kept:
            return
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.engine.inbound.run())
            await self.post.empty.wait()
            task.cancel()

    async def hear(self, token: str, fact: Fact) -> None:
        """Let a fact happen to an endpoint, as a batch does."""
        entry, at = self.entry, self.clock.at
        async with self.storage.transaction() as transaction:
            found = await transaction.find([(entry.application.key, token)], self.directory.membership)
            for record in found:
                ledger = await self.engine.parts.rooms.enter(transaction, [entry], at)
                draft = drafts.begin(record, ledger.room(entry))
                drafts.hear(draft, entry, fact, watermark=ACKNOWLEDGED, at=at)
                draft.push = drafts.pushes_needed(draft, entry)
                await transaction.store([draft], [changes.due_at(draft.after, entry.policy_of, at)], at)

    async def endpoint(self, token: str) -> EndpointDocument | None:
        """An endpoint as stored; its endpointId is its token."""
        return await self.storage.document(self.entry, token)

    # Operators

    async def found(self, **members: object) -> None:
        """Create the application, with its filter."""
        body = application_body(registration="open", **members)
        await self.applications.put(APP, body, CREATE)
        await self.groups.put(APP, Filter(filter_id="lab", expression="attributes.site == 'lab'"), None, CREATE)

    async def configure(self, **members: object) -> None:
        """Replace the settings of the application."""
        await self.applications.put(APP, application_body(registration="open", **members), UNCONDITIONAL)

    async def define(self, version: str, body: dict[str, object]) -> None:
        """Define a software, or define it anew."""
        parsed = Version.parse(version)
        required = UNCONDITIONAL if parsed in self.entry.software else CREATE
        given = {"rolloutStrategy": "general", "specification": {"link": version.partition("+")[0]}, **body}
        await self.definitions.put(APP, parsed, definition(json.dumps(given)), required)

    # The engine

    async def page(self) -> None:
        """One page of the oldest change."""
        works = await self.storage.works()
        if works:
            await self.engine.sweeper._page(works[0])

    async def sweep(self) -> None:
        """Draw the consequences of all changes."""
        while works := await self.storage.works():
            await self.engine.sweeper.work_off(works[0])

    async def tick(self) -> None:
        """A second passes, and what is due is done; gates never find that a rollout was changed meanwhile."""
        self.clock.at += SECOND
        await self.tick_again()

    async def tick_again(self) -> None:
        """The same without the second."""
        with structlog.testing.capture_logs() as logs:
            await self.engine.timers.tick()
        assert not [line for line in logs if line["event"] == "a rollout was changed meanwhile"], logs

    async def publish(self) -> None:
        """Send everything that is to be sent."""
        while await self.engine.publisher._slice():
            pass

    async def settle(self) -> None:
        """Go on until nothing is left to be done at this instant."""
        for _ in range(20):
            await self.sweep()
            await self.tick()
            if not await self.storage.works():
                break
        else:
            raise AssertionError("it never comes to rest")
        await self.publish()
