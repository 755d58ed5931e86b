"""From the broker to the database: messages in batches, acknowledged after their commit.

Rules:
- A batch is what arrived while the last one was being committed; there is no timer.
- Acknowledge after commit, in order of receipt (invariant 2); a database error is tried again without acknowledging,
  and named as the `hindrance` until something has committed.
- A message that alone makes a batch fail is found by bisection, stored among the dead letters, and acknowledged.
- What is wrong with the database is never laid on a message: it is tried again, or ends the service by its name.
- When the broker has no session of ours, nothing will be redelivered, and what was remembered of it is dropped.
- Until the connection's marker has come, what comes is what had waited for us: see `backlogs` for its answers.

Layer: application.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from orchestrator.application import batches
from orchestrator.application.backlogs import Backlog
from orchestrator.application.batches import Application, Batch
from orchestrator.application.leases import LeaseLostError
from orchestrator.application.ports import StorageError, ValueRefusedError
from protocol import topics
from protocol.links import LinkLost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator.application.batches import Parsed
    from orchestrator.application.parts import Parts
    from orchestrator.application.ports import Transaction
    from orchestrator.application.publisher import Publisher
    from protocol.links import Connection, Inbound

log = structlog.get_logger(__name__)

_RETRY_SECONDS = (0.05, 0.2, 1.0, 2.0, 5.0)
_PACKET_IDS = 65_535


class InboundPipeline:
    """Takes messages off the link, batch by batch."""

    def __init__(self, parts: Parts, publisher: Publisher, *, batch_size: int, delivered: dict[int, int]) -> None:
        """Take what it works with; `delivered` is what the storage remembers of redeliverable messages."""
        self._link = parts.link
        self._storage = parts.storage
        self._directory = parts.directory
        self._publisher = publisher
        self._presence = parts.presence
        self._clock = parts.clock
        self._rooms = parts.rooms
        self._floods = parts.floods
        self._settings = parts.settings
        self._batch_size = batch_size
        self._marker_topic = topics.marker_topic(parts.partition)
        self._feed = parts.feed
        self._tallies = parts.tallies
        self._steps = parts.steps
        self._delivered = delivered
        self._connection = 0
        self._backlog = Backlog(parts.storage, parts.directory)
        self.hindrance: str | None = None
        """Why what has come is not stored at present, in the words of the database; None: it is."""

    async def run(self) -> None:
        """Process messages until cancelled."""
        while True:
            received = await self._link.receive(self._batch_size)
            if received.connection.number != self._connection:
                await self._greet(received.connection)
            await self.process(received.messages)
            self._link.acknowledge(received)
            if any(message.topic != self._marker_topic for message in received.messages):
                self._steps("batch-acknowledged")
            await self._note_markers(received.messages)

    async def _greet(self, connection: Connection) -> None:
        self._connection = connection.number
        self._count_dropped(LinkLost.code)
        if not connection.session_present and self._delivered:
            await self._store(self._forget)
            self._steps("deliveries-forgotten")
            self._delivered.clear()
        await self._presence.greet(connection)

    async def _forget(self, transaction: Transaction) -> None:
        await transaction.forget_deliveries()
        self._steps("forgetting-written")

    async def _note_markers(self, messages: Sequence[Inbound]) -> None:
        for message in messages:
            if message.topic == self._marker_topic and message.payload == self._presence.marker(self._connection):
                await self._catch_up()
                await self._presence.mark(self._connection)

    async def _catch_up(self) -> None:
        """Everything that had waited is committed; answers come before the pushes, which follow the marker."""
        try:
            self._publisher.answer(await self._backlog.release())
        except StorageError as error:
            if not error.transient:
                raise
            self._count_dropped(error.code)

    def _count_dropped(self, reason: str) -> None:
        dropped = self._backlog.drop()
        if dropped:
            self._tallies.answers_refused[reason] += dropped

    async def process(self, messages: Sequence[Inbound]) -> None:
        """Let messages have their effect, all of them in one transaction, unless one makes that fail."""
        batch = Batch()
        mine = [message for message in messages if message.topic != self._marker_topic]
        if mine:
            self._steps("batch-received")
        parsed = batches.parse(
            mine,
            self._directory,
            self._settings,
            self._delivered,
            batch,
            floods=self._floods,
            at=self._clock.now(),
        )
        self._name_floods()
        if parsed:
            await self._persist(parsed, batch)
        else:
            self._conclude(batch)

    def _name_floods(self) -> None:
        for key, token in self._floods.begun():
            entry = self._directory.by_key(key)
            name = None if entry is None else entry.application.name
            log.warning("an endpoint floods; only its newest messages are taken", application=name, token=token)

    async def _persist(self, parsed: Sequence[Parsed], batch: Batch) -> None:
        """Commit, retry what may pass, and bisect what does not."""
        attempt = 0
        while True:
            draft = Batch(answers=list(batch.answers), refused=batch.refused.copy(), dropped=batch.dropped)
            try:
                await self._commit(parsed, draft)
            except LeaseLostError:
                # Another replica will have these messages, which are not acknowledged.
                raise
            except ValueRefusedError as error:
                return await self._bisect(parsed, batch, error)
            except StorageError as error:
                if not error.transient:
                    raise
                self._tallies.batch_retries += 1
                log.warning("batch not committed; trying again", messages=len(parsed), reason=str(error))
                self.hindrance = _first_line(error)
                await _pause(attempt)
                attempt += 1
            except Exception as error:  # noqa: BLE001 - one of the three places: whatever a message causes
                return await self._bisect(parsed, batch, error)
            else:
                return self._conclude(draft)

    async def _commit(self, parsed: Sequence[Parsed], batch: Batch) -> None:
        at = self._clock.now()
        async with self._storage.transaction() as transaction:
            watermark = self._publisher.watermark
            application = Application(
                transaction, self._directory, self._settings, batch, rooms=self._rooms, watermark=watermark
            )
            since, commits = self._storage.revision, self._storage.commits
            await application.run(parsed, at, self._steps)
        self.hindrance = None
        changed = [draft.before.key for draft in batch.happened]
        self._publisher.expect(batch.pushes, changed, since=since, commits=commits)
        self._steps("batch-committed")
        self._delivered.update(batch.deliveries)
        for key, versions in batch.offered.items():
            entry = self._directory.by_key(key)
            if entry is not None:
                entry.freeze(versions, at)
        self._feed.note(batch.happened, self._directory)

    def _conclude(self, batch: Batch) -> None:
        self._tallies.batches += 1
        batch.tell(self._tallies)
        answers = batch.answers
        if self._presence.marked < self._connection:
            answers, overflow = self._backlog.hold(answers)
            self._tallies.answers_refused.update({"overload": overflow} if overflow else {})
        self._publisher.answer(answers)
        if batch.pushes:
            self._publisher.wake()

    async def _bisect(self, parsed: Sequence[Parsed], batch: Batch, error: Exception) -> None:
        if len(parsed) == 1:
            await self._bury(parsed[0], error, batch.dropped)
            return self._conclude(batch)
        middle = len(parsed) // 2
        await self._persist(parsed[:middle], batch)
        return await self._persist(parsed[middle:], Batch())

    async def _bury(self, item: Parsed, error: Exception, dropped: Sequence[tuple[int, int]]) -> None:
        inbound, deliveries = item.inbound, list(dropped)
        if inbound.qos:
            deliveries.append((inbound.packet_id, item.digest))
        log.error("message cannot be processed; kept among the dead letters", topic=inbound.topic, exc_info=error)
        self._tallies.dead_letters += 1

        async def bury(transaction: Transaction) -> None:
            await transaction.bury(
                inbound.topic, inbound.payload, f"{type(error).__name__}: {error}", self._clock.now()
            )
            await transaction.remember(deliveries)
            self._steps("burial-written")

        await self._store(bury)
        self._steps("burial-committed")
        self._delivered.update(deliveries)

    async def _store(self, action: Callable[[Transaction], Awaitable[None]]) -> None:
        """Do something in a transaction of its own, again until what may pass has passed."""
        attempt = 0
        while True:
            try:
                async with self._storage.transaction() as transaction:
                    await action(transaction)
            except StorageError as error:
                if not error.transient:
                    raise
                log.warning("not stored; trying again", reason=str(error))
                self.hindrance = _first_line(error)
            else:
                self.hindrance = None
                return
            await _pause(attempt)
            attempt += 1


def _first_line(error: StorageError) -> str:
    """What is wrong, without the details that a server adds: whoever asks for readiness needs no key."""
    return str(error).partition("\n")[0]


async def _pause(attempt: int) -> None:
    await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
