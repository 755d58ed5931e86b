from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.batches import FLOOD
from orchestrator.application.inbound import InboundPipeline
from orchestrator.application.publisher import Publisher
from orchestrator.persistence.refusals import DatabaseDamagedError
from orchestrator.persistence.sqlite import Sqlite
from protocol import topics
from protocol.links import Connection, Inbound, Received
from tests.parts import NoLink, with_link
from tests.services import eventually

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

FIRST = Connection(number=1, session_present=True, receive_maximum=100, maximum_packet_bytes=None, protocol_level=5)
MARKER = topics.marker_topic("main")


def report(token: str, version: str, packet_id: int) -> Inbound:
    payload = f'{{"configId":"{version}"}}'.encode()
    return Inbound(topic=f"kp1/kettle-v1/cmx_ota/{token}/applied/json", payload=payload, qos=1, packet_id=packet_id)


class Courier(NoLink):
    """A link that brings what a test gives it."""

    def __init__(self) -> None:
        self.connection = FIRST
        self.coming: asyncio.Queue[Received] = asyncio.Queue()
        self.acknowledged: list[Inbound] = []

    def bring(self, *messages: Inbound) -> None:
        self.coming.put_nowait(Received(connection=FIRST, messages=messages))

    async def receive(self, limit: int) -> Received:
        return await self.coming.get()

    def acknowledge(self, received: Received) -> None:
        self.acknowledged += received.messages


class Door:
    """A pipeline over a desk, and its link."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.link = Courier()
        self.parts = with_link(self.link, desk.storage, desk.directory, desk.clock)
        self.delivered: dict[int, int] = {}
        publisher = Publisher(self.parts, watermark=0, parked=set())
        self.pipeline = InboundPipeline(self.parts, publisher, batch_size=100, delivered=self.delivered)

    async def take(self, *messages: Inbound) -> None:
        """Let the pipeline take messages, until they are acknowledged or it ends."""
        self.link.bring(*messages)
        wanted = len(self.link.acknowledged) + len(messages)

        async def taken() -> bool:
            return len(self.link.acknowledged) == wanted

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            running = group.create_task(self.pipeline.run())
            await eventually(taken, "acknowledged")
            # What follows an acknowledgement takes no longer than this.
            await asyncio.sleep(0.01)
            running.cancel()

    async def letters(self) -> list[tuple[object, ...]]:
        async with self.desk.storage.reading() as connection:
            return [tuple(row) for row in await connection.exec_driver_sql("SELECT topic, error FROM dead_letter")]

    async def running(self, token: str) -> str | None:
        version = (await self.desk.endpoints.get("kettle", token)).record.endpoint.running
        return None if version is None else version.text


@pytest.fixture
async def door(desk: Desk) -> Door:
    for token in ("a", "b", "c"):
        await desk.enrol(token)
    return Door(desk)


async def refuse(desk: Desk, token: str) -> None:
    """Have the database take no report of this endpoint, by a constraint."""
    key = (await desk.endpoints.get("kettle", token)).record.key
    async with desk.storage.transaction() as transaction:
        await transaction._connection.exec_driver_sql(
            "CREATE TRIGGER refusing BEFORE UPDATE ON endpoint_state"
            f" WHEN NEW.id = {key} AND NEW.running_id IS NOT NULL BEGIN SELECT RAISE(ABORT, 'never'); END"
        )


async def test_a_value_that_the_database_does_not_take_is_buried_and_the_rest_of_its_batch_applied(door: Door) -> None:
    await refuse(door.desk, "b")
    await door.take(*(report(token, "1.0.0", number) for number, token in enumerate("abc", 1)))
    assert [await door.running(token) for token in "abc"] == ["1.0.0", None, "1.0.0"]
    assert await door.letters() == [("kp1/kettle-v1/cmx_ota/b/applied/json", "ValueRefusedError: the database: never")]
    assert sorted(door.delivered) == [1, 2, 3]


async def test_invariant_2_what_is_wrong_with_the_database_is_not_laid_on_a_message(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sqlite, "told", lambda _self, error: DatabaseDamagedError("otao.db", str(error)))
    await refuse(door.desk, "b")
    with pytest.raises(ExceptionGroup) as caught:
        await door.take(report("b", "1.0.0", 1))
    assert [type(error) for error in caught.value.exceptions] == [DatabaseDamagedError]
    assert (await door.letters(), door.link.acknowledged, door.delivered) == ([], [], {})


async def test_older_messages_of_a_flood_are_known_as_repeats_when_the_newest_is_buried(door: Door) -> None:
    await refuse(door.desk, "b")
    flood = [report("b", f"1.0.{number}", number) for number in range(1, FLOOD + 2)]
    await door.take(*flood)
    assert len(await door.letters()) == 1
    assert sorted(door.delivered) == list(range(1, FLOOD + 2))
    assert set(await door.desk.storage.deliveries()) == set(door.delivered)


@pytest.mark.parametrize("payload", [b"1", b"another-process-1", b"9" * 5000, b"", b"\xff"])
async def test_a_marker_that_is_not_ours_says_nothing(door: Door, payload: bytes) -> None:
    await door.take(Inbound(topic=MARKER, payload=payload, qos=1, packet_id=1))
    assert door.parts.presence.marked == 0
    await door.take(Inbound(topic=MARKER, payload=door.parts.presence.marker(1), qos=1, packet_id=2))
    assert door.parts.presence.marked == 1
