"""From the operators' control topic to the use cases, and back.

Rules:
- A command is executed, then answered, then acknowledged, in order of receipt: one that was not answered before a crash
  comes again, and has the effect of one (see `commands`).
- Taking never waits for an answer to leave: the link, when it has too much unacknowledged, reads neither commands nor
  the broker's word on what we publish. Where too many answers wait, commands are acknowledged without one.
- These are another session's messages than endpoints': neither waits for the other.
- Of several partitions `main` hears all commands. It leaves to the others what is for their applications, and refuses
  what is for none. Where it cannot find out, it asks again, and says nothing in the end: the other one may have done
  what was asked.

Layer: application.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from orchestrator.application import failures
from orchestrator.application.documents import texts
from orchestrator.application.partitions import MAIN
from orchestrator.application.ports import StorageError
from protocol import controls
from protocol.controls import CommandRefusedError
from protocol.links import REFUSED, LinkLost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.application.commands import Executor
    from orchestrator.application.failures import Failure
    from orchestrator.application.partitions import Locations
    from orchestrator.application.parts import Parts
    from protocol.controls import ControlRequest
    from protocol.links import Inbound, Link, Outbound, Received

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Answers that leave together."""
WAITING = 1_000
"""Commands that wait for their answers to leave, at most."""
ASK_AGAIN_SECONDS = (0.1, 0.5, 1.0)
"""Before each further question where an application is; a database that is away for longer takes `main` from us."""


@dataclass(slots=True, kw_only=True)
class _Done:
    """A command that was executed: what to publish, and what to acknowledge then."""

    messages: list[Outbound] = field(default_factory=list)
    received: Received | None = None


class Operators:
    """Two loops: one takes and executes, one answers and acknowledges."""

    def __init__(
        self, link: Link, commands: Executor, parts: Parts, greetings: Callable[[], Sequence[Outbound]]
    ) -> None:
        """Take what it works with; `greetings` are published first on each new connection."""
        self._link = link
        self._commands = commands
        self._limits = parts.settings.limits
        self._tallies = parts.tallies
        self._steps = parts.steps
        self._greetings = greetings
        self._directory = parts.directory
        self._partition = parts.partition
        self._locations = parts.locations
        self._done: deque[_Done] = deque()
        self._due = asyncio.Event()

    async def take(self) -> None:
        """Execute commands as they come, until cancelled."""
        while True:
            received = await self._link.receive(1)
            done = _Done(received=received if received.messages else None)
            if done.received is None:
                done.messages += self._greetings()
            for inbound in received.messages:
                reply = await self._handle(inbound)
                done.messages += [] if reply is None else [reply]
            self._steps("command-executed")
            self._put(done)

    async def answer(self) -> None:
        """Publish answers, then acknowledge their commands, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            while self._done:
                await self._conclude([self._done.popleft() for _ in range(min(AT_ONCE, len(self._done)))])

    def _put(self, done: _Done) -> None:
        if len(self._done) >= WAITING:
            self._tallies.answers_refused["overload"] += len(done.messages)
            done.messages.clear()
        self._done.append(done)
        self._due.set()

    async def _conclude(self, done: Sequence[_Done]) -> None:
        messages = [message for item in done for message in item.messages]
        try:
            codes = await self._link.publish(messages)
        except LinkLost as lost:
            # Not acknowledged either: what was not answered comes again.
            self._tallies.answers_refused[lost.code] += len(messages)
            return
        for message, code in zip(messages, codes, strict=True):
            if code >= REFUSED:
                self._tallies.answers_refused[f"0x{code:02x}"] += 1
                log.warning("answer refused by the broker", topic=message.topic, reason_code=code)
        self._steps("command-answered")
        for item in done:
            if item.received is not None:
                self._link.acknowledge(item.received)

    async def _handle(self, inbound: Inbound) -> Outbound | None:
        """Execute one message; return its answer, None where there is none."""
        if not controls.is_command(inbound) or await self._is_of_another(inbound.topic):
            return None
        try:
            request = controls.read(inbound, self._limits)
        except CommandRefusedError as error:
            failure = self._refused(error.cause)
            if error.reply is None:
                return None
            return error.reply.error(failure.status_code, failure.code, failure.reason)
        return None if request is None else await self._execute(request)

    async def _is_of_another(self, topic: str) -> bool:
        """Whether a command is another partition's to answer; one to an application that nobody has is `main`'s."""
        name = controls.application_in(topic)
        if self._directory.complete or (name is not None and self._directory.by_name(name) is not None):
            return False
        if self._partition != MAIN or self._locations is None:
            return True
        try:
            return name is not None and await self._found(self._locations, name) not in {None, MAIN}
        except StorageError as error:
            log.warning("command not answered: nobody knows whose it is", topic=topic, reason=error.reason)
            return True

    async def _found(self, locations: Locations, application: str) -> str | None:
        """The partition of an application; None: there is none of this name.

        Raises:
            StorageError: the database does not say, however often it is asked.
        """
        for pause in ASK_AGAIN_SECONDS:
            try:
                return await locations.of(application)
            except StorageError as error:
                if not error.transient:
                    raise
            await asyncio.sleep(pause)
        return await locations.of(application)

    async def _execute(self, request: ControlRequest) -> Outbound:
        command = request.address.command
        try:
            answer = texts.build(await self._commands.execute(request))
        except Exception as error:  # of the three places the first: what one message causes ends with it
            failure = self._refused(error)
            if failure is failures.UNFORESEEN:
                log.exception("command failed", command=command.value)
            return request.reply.error(failure.status_code, failure.code, failure.reason)
        self._tallies.commands[command.value] += 1
        return request.reply.status(answer.encode())

    def _refused(self, error: Exception) -> Failure:
        failure = failures.of(error) or failures.UNFORESEEN
        self._tallies.commands_refused[failure.code] += 1
        return failure
