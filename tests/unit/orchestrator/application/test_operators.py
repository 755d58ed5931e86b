from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.application import operators
from orchestrator.application.directory import Directory
from orchestrator.application.operators import WAITING, Operators
from orchestrator.application.partitions import MAIN
from orchestrator.application.problems import NotFoundError
from protocol.links import Connection, Inbound, LinkLost, Outbound, Received
from tests.contract.deadlines import eventually
from tests.contract.storages import APP, entry_of
from tests.parts import Known, Retainer, with_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import pytest

    from orchestrator.application.documents.texts import Node
    from orchestrator.application.parts import Parts
    from protocol.controls import ControlRequest
    from tests.unit.orchestrator.application.desks import Desk

HELLO = Outbound(topic="hello", payload=b"")
BASE = "otao/v1/kettle/control"


class Line(Retainer):
    """A link that brings what a test has put on it, and notes in which order it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: asyncio.Queue[Received] = asyncio.Queue()
        self.log: list[str] = []
        self.stuck: asyncio.Event | None = None
        self.broken = False

    def bring(self, command: str, payload: bytes = b"{}", *, retain: bool = False, application: str = "kettle") -> None:
        assert self.connection is not None
        topic = f"{BASE.replace('kettle', application)}/{command}"
        inbound = Inbound(topic=topic, payload=payload, qos=1, packet_id=1, retain=retain)
        self.waiting.put_nowait(Received(connection=self.connection, messages=(inbound,)))

    def come_up(self) -> None:
        assert isinstance(self.connection, Connection)
        self.waiting.put_nowait(Received(connection=self.connection, messages=()))

    async def receive(self, limit: int) -> Received:
        return await self.waiting.get()

    def acknowledge(self, received: Received) -> None:
        self.log += [f"ack {message.topic.removeprefix(f'{BASE}/')}" for message in received.messages]

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        if self.stuck is not None:
            await self.stuck.wait()
        if self.broken:
            raise LinkLost("gone")
        self.log += [message.topic.removeprefix(f"{BASE}/") for message in messages]
        return await super().publish(messages)


class Doing:
    """Commands that only tell that they were executed."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.error: Exception | None = None

    async def execute(self, request: ControlRequest) -> Node:
        self.line.log.append(f"do {request.address.command}")
        if self.error is not None:
            raise self.error
        return {"done": True}


@asynccontextmanager
async def working(
    desk: Desk, *, several: bool = False, partition: str = MAIN, locations: Known | None = None
) -> AsyncIterator[tuple[Line, Doing, Parts]]:
    line = Line()
    doing = Doing(line)
    directory = Directory([entry_of(replace(APP, key=1))], complete=False) if several else desk.directory
    parts = with_link(line, desk.storage, directory, desk.clock)
    parts = replace(parts, partition=partition, locations=locations)
    both = Operators(line, doing, parts, lambda: [HELLO])
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(both.take()), group.create_task(both.answer())]
        yield line, doing, parts
        for task in tasks:
            task.cancel()


async def test_a_command_is_executed_then_answered_then_acknowledged(desk: Desk) -> None:
    async with working(desk) as (line, _, parts):
        line.come_up()
        line.bring("fleet.summary/1")
        await eventually(lambda: "ack fleet.summary/1" in line.log, "acknowledged")
        assert line.log.index("hello") < line.log.index("fleet.summary/1/status")
        line.log.remove("hello")
        assert line.log == ["do fleet.summary", "fleet.summary/1/status", "ack fleet.summary/1"]
        assert parts.tallies.commands == {"fleet.summary": 1}


async def test_refusals_are_answered_counted_and_acknowledged(desk: Desk) -> None:
    async with working(desk) as (line, doing, parts):
        line.bring("burn")
        line.bring("freeze", retain=True)
        doing.error = NotFoundError("application", "kettle")
        line.bring("freeze")
        doing_last = "ack freeze"
        await eventually(lambda: line.log.count(doing_last) == 2, "acknowledged")
        codes = [json.loads(message.payload)["code"] for message in line.sent]
        assert codes == ["command-unknown", "command-retained", "application-not-found"]
        assert parts.tallies.commands_refused == dict.fromkeys(codes, 1)


async def test_an_error_that_nobody_foresaw_ends_one_command(desk: Desk) -> None:
    async with working(desk) as (line, doing, parts):
        doing.error = ZeroDivisionError("inside")
        line.bring("freeze")
        await eventually(lambda: "ack freeze" in line.log, "acknowledged")
        answer = json.loads(line.sent[0].payload)
        assert (answer["statusCode"], answer["code"]) == (500, "internal-error")
        assert "inside" not in answer["reasonPhrase"]
        doing.error = None
        line.bring("unfreeze")
        await eventually(lambda: "ack unfreeze" in line.log, "the next one is executed")
        assert parts.tallies.commands == {"unfreeze": 1}


async def test_what_is_no_command_is_acknowledged_without_an_answer(desk: Desk) -> None:
    async with working(desk) as (line, _, _parts):
        line.bring("freeze/status")
        await eventually(lambda: line.log == ["ack freeze/status"], "acknowledged")


async def test_a_command_whose_answer_did_not_leave_is_not_acknowledged(desk: Desk) -> None:
    async with working(desk) as (line, _, parts):
        line.broken = True
        line.bring("freeze")
        await eventually(lambda: parts.tallies.answers_refused["link-lost"] == 1, "lost")
        assert line.log == ["do freeze"]


async def test_taking_goes_on_while_answers_are_stuck_and_what_is_too_much_is_acknowledged_without_one(
    desk: Desk,
) -> None:
    async with working(desk) as (line, _, parts):
        line.stuck = asyncio.Event()
        line.bring("fleet.summary/0")
        await eventually(lambda: len(line.log) == 1, "the first one is executed, and its answer is stuck")
        for number in range(1, WAITING + 11):
            line.bring(f"fleet.summary/{number}")
        await eventually(lambda: len(line.log) == WAITING + 11, "all are executed")
        line.stuck.set()
        await eventually(lambda: f"ack fleet.summary/{WAITING + 10}" in line.log, "all are acknowledged")
        acknowledged = [entry for entry in line.log if entry.startswith("ack")]
        assert acknowledged == [f"ack fleet.summary/{number}" for number in range(WAITING + 11)]
        assert parts.tallies.answers_refused["overload"] == 10
        assert len(line.sent) == WAITING + 1


async def test_an_answer_that_the_broker_refuses_is_counted_and_its_command_is_done(desk: Desk) -> None:
    async with working(desk) as (line, _, parts):
        line.refused.add(f"{BASE}/freeze/status")
        line.bring("freeze")
        await eventually(lambda: "ack freeze" in line.log, "acknowledged")
        assert parts.tallies.answers_refused == {"0x87": 1}


SEVERAL = {"kettle": "main", "lamp": "p2"}
"""Where applications are; the test's partition has the kettle."""


async def test_main_refuses_commands_to_applications_that_no_partition_has_and_leaves_the_others_theirs(
    desk: Desk,
) -> None:
    known = Known(SEVERAL)
    async with working(desk, several=True, locations=known) as (line, doing, parts):
        line.bring("fleet.summary/1")
        await eventually(lambda: "ack fleet.summary/1" in line.log, "its own")
        assert known.asked == []
        for command in ("freeze", "burn", "freeze/x"):
            line.bring(command, application="lamp")
        line.bring("freeze", application="lamp", retain=True)
        line.bring("freeze/1/status", application="oven")
        line.bring("freeze", b"", application="oven", retain=True)
        doing.error = NotFoundError("application", "oven")
        line.bring("freeze", application="oven")
        line.bring("burn", application="oven")
        line.bring("freeze", application="Oven")
        await eventually(lambda: len(line.sent) == 4, "refused")
        told = [(message.topic.split("/")[2], json.loads(message.payload).get("code")) for message in line.sent[1:]]
        assert told == [("oven", "application-not-found"), ("oven", "command-unknown"), ("Oven", "topic-malformed")]
        assert known.asked == ["lamp"] * 4 + ["oven"] * 2
        assert sum(parts.tallies.commands_refused.values()) == 3


async def test_main_asks_again_whose_a_command_is_and_says_nothing_where_it_cannot_find_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "ASK_AGAIN_SECONDS", (0.0, 0.0))
    known = Known(SEVERAL, misses=5)
    async with working(desk, several=True, locations=known) as (line, _, _parts):
        line.bring("burn", application="oven")
        line.bring("burn", application="oven")
        await eventually(lambda: len(line.sent) == 1, "the second one is refused")
        assert known.asked == ["oven"] * 6
        assert line.sent.pop().topic == f"{BASE}/burn/error".replace("kettle", "oven")
        line.bring("freeze")
        await eventually(lambda: "ack freeze" in line.log, "the next one is executed")
        assert [message.topic for message in line.sent] == [f"{BASE}/freeze/status"]


async def test_another_partition_answers_its_own_commands_alone(desk: Desk) -> None:
    known = Known(SEVERAL)
    async with working(desk, several=True, locations=known, partition="p2") as (line, _, _parts):
        line.bring("burn", application="oven")
        line.bring("freeze")
        await eventually(lambda: "ack freeze" in line.log, "the next one is executed")
        assert [message.topic for message in line.sent] == [f"{BASE}/freeze/status"]
        assert known.asked == []
