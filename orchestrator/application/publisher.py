"""From the database to the broker: answers first, then pushes, each rendered when it is sent.

Rules:
- A push is done when the broker has acknowledged it with a reason code below 0x80, or when a later push of the same
  topic stands behind it; `watermark` is the revision up to which all are done.
- A refused push is parked and retried slowly; it never stops the others.
- Everything is rendered and leaves under the gate: who passes it after a stop was committed knows that what was
  rendered before has left, and that what leaves later has seen the stop (invariant 7).
- What comes next is known beforehand, where who stored it has handed it over and nothing was committed since that may
  say otherwise, or where it was read while a full slice was on its way. Who passes the gate has that forgotten: what
  leaves later has seen what was committed before.
- What was acknowledged once, and is published again because the broker's store is not the one that we know, is retained
  messages only: an offer that is live was seen, and a device that acts on every one would install again.
- A topic that an endpoint has left, of an application version that is not ours any more, is cleared once: another
  partition may have it since, and what is there is its own.
- The sentinel is raised at most once a second, after the pushes it stands for.

Layer: application.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import structlog

from orchestrator.application import answers as answering
from orchestrator.application.aheads import Ahead
from orchestrator.application.ports import StorageError
from orchestrator.application.pushes import OFFER, ParkedPush, Push, expected, place_of, render, render_left
from protocol import topics
from protocol.links import REFUSED, LinkLost, Outbound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from orchestrator.application.answers import Answer
    from orchestrator.application.parts import Parts

log = structlog.get_logger(__name__)

SLICE = 250
"""Pushes, and answers, that leave between two looks at the other."""
WAITING_REFUSALS = 4_000
"""Waiting answers above which refusals are no longer answered, only counted."""
WAITING_ANSWERS = 20_000
"""The same for every answer. Waiting for room instead would wait for acknowledgements that come in behind the very
messages that are not taken (`broker_bridge` stops reading when its queue is full)."""
RETRY_SECONDS = 1.0
PARKED_FIRST = timedelta(minutes=1)
PARKED_MOST = timedelta(hours=1)


@dataclass(slots=True)
class _Plan:
    """One slice of pushes: what to send, and for which push each message is."""

    messages: list[Outbound] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)

    def add(self, messages: Sequence[Outbound], push: Push) -> None:
        self.messages += messages
        self.pushes += [push] * len(messages)


class Publisher:
    """Implements `editing.Gate` and half of `editing.Wake`."""

    def __init__(self, parts: Parts, *, watermark: int, parked: set[str]) -> None:
        """Take what it works with; `watermark` and `parked` topics are as stored."""
        self._link = parts.link
        self._storage = parts.storage
        self._directory = parts.directory
        self._clock = parts.clock
        self._instances = parts.instances
        self._signals = parts.signals
        self._tallies = parts.tallies
        self._steps = parts.steps
        self._known_by = {"installation": parts.installation, "generation": parts.generation}
        self._sentinel_topic = topics.sentinel_topic(parts.partition)
        self.watermark = watermark
        """The revision up to which all pushes have been acknowledged, by this run or an earlier one."""
        self.cursor = 0
        """The revision up to which the present connection has all."""
        self._connection = 0
        self._ahead = Ahead()
        self._commits = 0
        """How many transactions had committed when pushes were handed over last."""
        self._resumed = 0
        """How often the cursor was set."""
        self._answers: deque[Answer] = deque()
        self._gate = asyncio.Lock()
        self._parked = parked

    async def settled(self) -> None:
        """See `editing.Gate.settled`."""
        async with self._gate:
            self._ahead.forget()

    def wake(self) -> None:
        """There are new pushes."""
        self._signals.pushes.set()

    def answer(self, answers: Sequence[Answer]) -> None:
        """Queue answers; those that find too many waiting are dropped and counted."""
        for item in answers:
            if len(self._answers) >= (WAITING_REFUSALS if item.refusal else WAITING_ANSWERS):
                self._tallies.answers_refused["overload"] += 1
            else:
                self._answers.append(item)
        if answers:
            self.wake()

    def resume(self, connection: int, after: int) -> None:
        """Connection `connection` has every push up to revision `after`: go on from there."""
        self._connection = connection
        self.cursor = after
        self._resumed += 1
        self._ahead.reset(after)
        self.wake()

    def expect(self, pushes: Sequence[Push], changed: Iterable[int], *, since: int, commits: int) -> None:
        """Take the pushes of a transaction that has just committed, all of them; they need not be read then.

        `changed` are the keys of all endpoints that it has written, `since` and `commits` the storage's `revision` and
        `commits` as they were before it. Whoever hands in nothing is right, too.
        """
        if self._ahead.handed and (self._commits != commits or self._ahead.tells_of(changed)):
            self._ahead.forget()
        self._commits = self._storage.commits
        if pushes:
            self._ahead.hand(pushes, since=since)

    async def run(self) -> None:
        """Publish whenever there is something to publish, until cancelled."""
        while True:
            await self._signals.pushes.wait()
            self._signals.pushes.clear()
            try:
                await self.drain()
            except LinkLost as lost:
                self._drop_answers(lost)
            except StorageError as error:
                if not error.transient:
                    raise
                log.warning("publishing interrupted; going on where it was", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self.wake()

    async def drain(self) -> None:
        """Publish until there is nothing to publish.

        Raises:
            LinkLost: the connection has ended.
            StorageError: the pushes cannot be read.
        """
        while await self._slice():
            pass

    async def _slice(self) -> bool:
        """Send one slice of each; return whether there may be more."""
        async with self._gate:
            sent = await self._send_answers()
            # The pushes of those who wait for an answer come after it.
            return bool(self._answers) or await self._send_pushes() or sent

    async def _send_answers(self) -> bool:
        if not self._answers:
            return False
        taken = [self._answers.popleft() for _ in range(min(SLICE, len(self._answers)))]
        codes = await self._link.publish([answering.current(item, self._directory) for item in taken])
        self._steps("answers-published")
        self._tallies.answers += len(taken)
        for code in codes:
            if code >= REFUSED:
                self._tallies.answers_refused[f"0x{code:02x}"] += 1
        return True

    def _drop_answers(self, lost: LinkLost) -> None:
        """The connection is gone: who asked will ask again, and redelivered requests are answered again."""
        if self._answers:
            self._tallies.answers_refused[lost.code] += len(self._answers)
            self._answers.clear()

    def _current(self) -> bool:
        connection = self._link.connection
        return connection is not None and connection.number == self._connection

    async def _send_pushes(self) -> bool:
        if not self._current() or not await self._fill():
            return False
        resumed = self._resumed
        pushes = self._ahead.take(SLICE)
        try:
            await self._send(pushes)
        except BaseException:
            self._ahead.reset(self.cursor)
            raise
        self.watermark = max(self.watermark, pushes[-1].revision)
        if self._resumed == resumed:
            # Otherwise the reconciler has set it meanwhile.
            self.cursor = pushes[-1].revision
        return True

    async def _send(self, pushes: Sequence[Push]) -> None:
        plan = await self._plan(pushes)
        self._steps("pushes-rendered")
        full = len(pushes) == SLICE
        codes = await (self._publish(plan.messages) if full else self._link.publish(plan.messages))
        self._steps("pushes-acknowledged")
        self._tallies.pushes += len(codes)
        await self._note(plan, codes)

    async def _fill(self) -> bool:
        """Whether there are pushes: known already, or read now."""
        if self._ahead.handed and self._storage.commits != self._commits:
            self._ahead.forget()
        revision, known = self._storage.revision, self._ahead.upto
        if not self._ahead and revision > known:
            pushes = await self._storage.pushes(known, SLICE)
            full = len(pushes) == SLICE
            # What is above has committed just now, and its answers are not known yet.
            self._ahead.extend(pushes, since=known, upto=min(pushes[-1].revision, revision) if full else revision)
        return bool(self._ahead)

    async def _publish(self, messages: Sequence[Outbound]) -> list[int]:
        """Send one slice, and meanwhile read what comes after it."""
        codes: list[int] = []
        lost: LinkLost | None = None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_ahead(), name="publisher.ahead")
            try:
                codes = await self._link.publish(messages)
            except LinkLost as error:
                lost = error
        if lost is not None:
            raise lost
        return codes

    async def _read_ahead(self) -> None:
        with suppress(StorageError):
            # Otherwise it is read again when it is needed, and whoever needs it is told.
            await self._fill()

    async def _plan(self, pushes: Sequence[Push]) -> _Plan:
        pushes = [push for push in pushes if not self._another_s(push)]
        residents = await self._residents({push.topic for push in pushes if push.topic})
        plan = _Plan()
        repeated = {push.key: push.revision for push in pushes if push.topic == OFFER}
        for push in pushes:
            if push.superseded or (push.topic == OFFER and push.revision != repeated[push.key]):
                continue
            again = push.revision <= self.watermark
            plan.add([self._left(push.topic, residents)] if push.topic else self._rendered(push, again=again), push)
        return plan

    def _another_s(self, push: Push) -> bool:
        """Whether a topic that was left, and has been cleared, may be another partition's."""
        if self._directory.complete or not push.topic or push.revision > self.watermark:
            return False
        return place_of(push.topic, self._directory, self._instances) is None

    async def _residents(self, left: Collection[str]) -> Mapping[str, Push]:
        """The endpoints that have some topics now."""
        places = {topic: place_of(topic, self._directory, self._instances) for topic in left}
        wanted = {place for place in places.values() if place is not None}
        found = await self._storage.residents(sorted(wanted)) if wanted else {}
        return {topic: found[place] for topic, place in places.items() if place in found}

    def _left(self, topic: str, residents: Mapping[str, Push]) -> Outbound:
        resident = residents.get(topic)
        entry = None if resident is None else self._directory.by_key(resident.application)
        return render_left(topic, resident, entry, self._instances)

    def _rendered(self, push: Push, *, again: bool = False) -> list[Outbound]:
        return render(push, self._directory.by_key(push.application), self._instances, again=again)

    async def _note(self, plan: _Plan, codes: Sequence[int]) -> None:
        """Park what was refused, and unpark what was taken after all."""
        refused, taken = [], []
        for message, push, code in zip(plan.messages, plan.pushes, codes, strict=True):
            if code >= REFUSED:
                refused.append(self._park(message.topic, push.key, code, tries=1))
            elif message.topic in self._parked:
                taken.append(message.topic)
        await self._store_parked(refused, taken)

    def _park(self, topic: str, key: int, code: int, *, tries: int) -> ParkedPush:
        now = self._clock.now()
        pause = min(PARKED_FIRST * 2 ** min(tries - 1, 10), PARKED_MOST)
        log.warning("push refused by the broker; parked", topic=topic, reason_code=code, retry_seconds=pause.seconds)
        return ParkedPush(topic=topic, key=key, reason_code=code, parked_at=now, retry_at=now + pause, tries=tries)

    async def _store_parked(self, refused: Sequence[ParkedPush], taken: Sequence[str]) -> None:
        if not refused and not taken:
            return
        async with self._storage.transaction() as transaction:
            await transaction.park(refused)
            await transaction.unpark(taken)
            self._steps("parking-written")
        self._steps("parking-committed")
        self._tallies.parked += len(refused)
        self._parked.update(push.topic for push in refused)
        self._parked.difference_update(taken)

    async def retry_parked(self, limit: int = SLICE) -> None:
        """Try parked pushes again whose time has come."""
        async with self._gate:
            # Inside: what has been taken meanwhile is not parked any more.
            due = await self._storage.parked(self._clock.now(), limit)
            if not due:
                return
            present = {push.key: push for push in await self._storage.pushes_of([item.key for item in due if item.key])}
            residents = await self._residents({item.topic for item in due})
            messages = [self._retried(item, present.get(item.key), residents) for item in due]
            codes = await self._link.publish(messages)
        refused, taken = [], []
        for item, code in zip(due, codes, strict=True):
            if code >= REFUSED:
                refused.append(self._park(item.topic, item.key, code, tries=item.tries + 1))
            else:
                taken.append(item.topic)
        await self._store_parked(refused, taken)

    def _retried(self, item: ParkedPush, push: Push | None, residents: Mapping[str, Push]) -> Outbound:
        own = [] if push is None else self._rendered(push)
        return next((message for message in own if message.topic == item.topic), self._left(item.topic, residents))

    async def raise_sentinel(self) -> None:
        """Say to the broker, retained, up to which revision it has all; keep it first.

        A connection that came up meanwhile hears nothing: what its broker retains is yet to be read.
        """
        revision = self.watermark
        async with self._storage.transaction() as transaction:
            await transaction.raise_watermark(revision, self._clock.now())
            self._steps("watermark-written")
        self._steps("watermark-stored")
        if not self._current():
            return
        payload = orjson.dumps({**self._known_by, "revision": min(revision, self.cursor)})
        await self._link.publish([Outbound(topic=self._sentinel_topic, payload=payload, retain=True)])
        self._steps("sentinel-raised")

    def expected(self, push: Push) -> dict[str, bytes | None]:
        """What the broker should retain for an endpoint, by topic; None: nothing. Parked topics are known to differ."""
        everything = expected(push, self._directory.by_key(push.application), self._instances)
        return {topic: payload for topic, payload in everything.items() if topic not in self._parked}
