"""What was said and not yet confirmed, on a connection that writes down what it is given."""

from __future__ import annotations

import aiomqtt
import pytest

from device_sim import outboxes
from device_sim.outboxes import HEALTH, RUNNING, Outbox

BASE = "kp1/v/cmx_ota/tok/"


class Wire:
    """A connection that keeps what is published, until it is lost."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.lost = False

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        if self.lost:
            raise aiomqtt.MqttError("gone")
        assert qos == 1
        self.sent.append((topic.removeprefix(BASE), payload))


async def outbox() -> tuple[Outbox, Wire]:
    made, wire = Outbox(BASE), Wire()
    made.connect(wire)
    return made, wire


async def test_what_has_to_arrive_is_said_again_until_it_is_answered() -> None:
    box, wire = await outbox()
    await box.ask(RUNNING, "applied/json", b"1.0.0")
    await box.ask(outboxes.failure_of("2.0.0"), "applied/json", b"507")
    assert wire.sent == [("applied/json/1", b"1.0.0"), ("applied/json/2", b"507")]
    assert box.waits(RUNNING)
    assert box.answered(f"{BASE}applied/json/1") == RUNNING
    assert not box.waits(RUNNING)
    await box.repeat()
    assert wire.sent[2:] == [("applied/json/2", b"507")]
    assert box.answered(f"{BASE}applied/json/2") == "failure of 2.0.0"
    assert box.answered(f"{BASE}applied/json/2") is None


async def test_a_newer_message_about_the_same_takes_the_place_of_the_older_one() -> None:
    box, wire = await outbox()
    await box.ask(HEALTH, "health/json", b"bad")
    await box.ask(HEALTH, "health/json", b"good")
    assert box.answered(f"{BASE}health/json/1") is None
    await box.repeat()
    assert wire.sent[2:] == [("health/json/2", b"good")]


async def test_one_thing_alone_can_be_said_again_and_others_forgotten() -> None:
    box, wire = await outbox()
    await box.ask(RUNNING, "applied/json", b"1.0.0")
    await box.ask(HEALTH, "health/json", b"good")
    await box.repeat(HEALTH)
    assert wire.sent[2:] == [("health/json/2", b"good")]
    box.keep({HEALTH})
    assert (box.waits(RUNNING), box.waits(HEALTH)) == (False, True)


async def test_without_a_connection_news_is_lost_and_the_rest_waits() -> None:
    box, wire = await outbox()
    box.disconnect()
    await box.tell("progress/json", b"50")
    await box.ask(HEALTH, "health/json", b"good")
    await box.repeat()
    assert wire.sent == []
    box.connect(wire)
    await box.repeat()
    await box.tell("progress/json", b"60")
    assert wire.sent == [("health/json/1", b"good"), ("progress/json", b"60")]


async def test_a_connection_that_ends_shows_when_something_is_said_again() -> None:
    box, wire = await outbox()
    wire.lost = True
    await box.ask(RUNNING, "applied/json", b"1.0.0")
    await box.tell("progress/json", b"50")
    assert box.waits(RUNNING)
    with pytest.raises(aiomqtt.MqttError):
        await box.repeat()
