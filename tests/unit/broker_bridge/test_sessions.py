from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import pytest

from broker_bridge.counters import Counters
from broker_bridge.errors import BrokerRefused
from broker_bridge.inboxes import Inbox
from broker_bridge.options import LinkOptions
from broker_bridge.sessions import LinkSession
from protocol.links import LinkLost, Outbound, Subscription
from tests.contract.deadlines import eventually
from tests.unit.broker_bridge.scripted_brokers import PUBACK, PUBLISH, SUBSCRIBE, ScriptedBroker, packet_ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WANTED = (Subscription(topic_filter="kp1/#"),)


class Bench:
    """A session with all that it is given."""

    def __init__(self, broker: ScriptedBroker, *, inbox_limit: int = 100, publish_window: int = 100) -> None:
        protocol: Literal["5", "3.1.1"] = "5" if broker.level == 5 else "3.1.1"
        self.inbox = Inbox(inbox_limit)
        self.counters = Counters()
        self.session = LinkSession(
            LinkOptions(
                url=broker.url,
                client_id="c",
                protocol=protocol,
                subscriptions=WANTED,
                inbox_limit=inbox_limit,
                publish_window=publish_window,
                publish_timeout=timedelta(),
            ),
            is_ours=lambda topic: topic.endswith("/status"),
            inbox=self.inbox,
            counters=self.counters,
            left=set(),
        )


@asynccontextmanager
async def opened(broker: ScriptedBroker, *, inbox_limit: int = 100, publish_window: int = 100) -> AsyncIterator[Bench]:
    bench = Bench(broker, inbox_limit=inbox_limit, publish_window=publish_window)
    try:
        await bench.session.open(1)
        await bench.inbox.take(1)
        yield bench
    finally:
        bench.session.close()


@pytest.mark.parametrize(
    ("level", "session_present", "subscribes"), [(5, False, 1), (5, True, 1), (4, False, 1), (4, True, 0)]
)
async def test_subscribed_again_except_where_that_would_bring_every_retained_message(
    level: int, session_present: bool, subscribes: int
) -> None:
    async with ScriptedBroker(level=level, session_present=session_present) as broker, opened(broker) as bench:
        await broker.gets(SUBSCRIBE, subscribes)
        assert broker.kinds().count(SUBSCRIBE) == subscribes
        assert bench.session.connection is not None
        assert bench.session.connection.session_present == session_present


@pytest.mark.parametrize("connack", [0x85, 0x86, 0x87, 0x8A])
async def test_refused_for_good(connack: int) -> None:
    async with ScriptedBroker(connack=connack) as broker:
        with pytest.raises(BrokerRefused) as refused:
            async with opened(broker):
                pass
        assert refused.value.reason_code == connack


async def test_a_busy_broker_is_not_a_refusal_for_good() -> None:
    async with ScriptedBroker(connack=0x89) as broker:
        with pytest.raises(ConnectionRefusedError, match="Server busy"):
            async with opened(broker):
                pass


async def test_a_refused_subscription_is_a_refusal() -> None:
    async with ScriptedBroker(suback=0x87) as broker:
        with pytest.raises(BrokerRefused, match="kp1/#"):
            async with opened(broker):
                pass


async def test_no_more_publishes_in_flight_than_our_window_or_the_broker_s_maximum() -> None:
    properties = b"\x21\x00\x05"
    for window, in_flight in ((3, 3), (100, 5)):
        async with ScriptedBroker(properties=properties) as broker, opened(broker, publish_window=window) as bench:
            async with asyncio.TaskGroup() as group:
                call = group.create_task(bench.session.publish([Outbound(topic="t", payload=b"")] * 20))
                for answered in range(20):
                    await broker.gets(PUBLISH, min(in_flight + answered, 20))
                    assert broker.kinds().count(PUBLISH) == min(in_flight + answered, 20)
                    # SUBSCRIBE took the first identifier.
                    broker.puback(answered + 2, 0x10)
            assert call.result() == [0x10] * 20


async def test_echoes_and_bad_topics_are_acknowledged_in_their_place() -> None:
    async with ScriptedBroker(level=4) as broker, opened(broker) as bench:
        broker.publish(b"kp1/a/status", packet_id=1)
        broker.publish(b"kp1/a/report", packet_id=2)
        broker.publish(b"kp1/a/status", packet_id=3)
        broker.publish(b"\xff", packet_id=4)
        broker.publish(b"kp1/a/report", packet_id=5)
        assert packet_ids(await broker.gets(PUBACK)) == [1]
        await eventually(lambda: len(bench.inbox) == 2, "both reports")
        received = await bench.inbox.take(10)
        bench.session.acknowledge(received)
        bench.session.acknowledge(received)
        assert packet_ids(await broker.gets(PUBACK, 5)) == [1, 2, 3, 4, 5]
        counters = bench.counters
        assert (counters.inbound, counters.echoes, counters.malformed, counters.acknowledged) == (2, 2, 1, 4)


async def test_what_was_not_asked_for_is_acknowledged_in_its_place_and_dropped() -> None:
    async with ScriptedBroker(level=4) as broker, opened(broker) as bench:
        broker.publish(b"kp1/a/report", packet_id=1)
        broker.publish(b"of/another/client", packet_id=2)
        broker.publish(b"kp1/a/report", packet_id=3)
        await eventually(lambda: len(bench.inbox) == 2, "both reports")
        bench.session.acknowledge(await bench.inbox.take(10))
        assert packet_ids(await broker.gets(PUBACK, 3)) == [1, 2, 3]
        assert (bench.counters.inbound, bench.counters.unasked) == (2, 1)


async def test_on_mqtt_5_a_message_on_our_own_topics_is_somebody_else_s() -> None:
    async with ScriptedBroker() as broker, opened(broker) as bench:
        broker.publish(b"kp1/a/status", packet_id=1)
        assert (await asyncio.wait_for(bench.inbox.take(1), 5)).messages[0].topic == "kp1/a/status"


async def test_messages_before_the_suback_come_after_the_notice() -> None:
    async with ScriptedBroker(suback=None) as broker:
        bench = Bench(broker)
        async with asyncio.TaskGroup() as group:
            group.create_task(bench.session.open(1))
            (subscribe,) = await broker.gets(SUBSCRIBE)
            broker.publish(b"kp1/early", packet_id=1)
            broker.send(0x90, subscribe.body[:2] + b"\x00\x01")
        assert (await bench.inbox.take(9)).messages == ()
        assert (await bench.inbox.take(9)).messages[0].topic == "kp1/early"
        bench.session.close()


async def test_with_a_session_nothing_waits_for_the_suback_and_what_comes_before_it_is_restrained() -> None:
    async with (
        ScriptedBroker(session_present=True, suback=None) as broker,
        opened(broker, inbox_limit=4) as bench,
    ):
        (subscribe,) = await broker.gets(SUBSCRIBE)
        for packet_id in range(1, 5):
            broker.publish(b"t", packet_id=packet_id)
        await eventually(lambda: bench.counters.paused_reads == 1, "the pause")
        assert len(bench.inbox) == 4
        broker.send(0x90, subscribe.body[:2] + b"\x00\x01")
        bench.session.acknowledge(await bench.inbox.take(4))
        assert packet_ids(await broker.gets(PUBACK, 4)) == [1, 2, 3, 4]


async def test_a_subscription_of_our_session_that_is_refused_now_is_a_refusal() -> None:
    async with ScriptedBroker(session_present=True, suback=0x87) as broker, opened(broker) as bench:
        with pytest.raises(BrokerRefused, match="kp1/#"):
            await bench.session.until_ended()


async def test_a_publish_is_not_given_up_while_its_answer_may_wait_behind_what_we_have_not_read() -> None:
    async with ScriptedBroker() as broker, opened(broker, inbox_limit=4) as bench, asyncio.TaskGroup() as group:
        session = bench.session

        async def publish() -> None:
            with pytest.raises(LinkLost):
                await session.publish([Outbound(topic="t", payload=b"")])

        group.create_task(publish())
        await broker.gets(PUBLISH)
        for packet_id in range(1, 5):
            broker.publish(b"t", packet_id=packet_id)
        await eventually(lambda: bench.counters.paused_reads == 1, "the pause")
        session._end_if_unanswered()
        assert not session._wire.ended.done()
        bench.session.acknowledge(await bench.inbox.take(4))

        def given_up() -> bool:
            session._end_if_unanswered()
            return session._wire.ended.done()

        await eventually(given_up, "once it is read again, the time is over")
        session.close()


async def test_reading_stops_when_too_much_waits_and_goes_on_at_half() -> None:
    async with ScriptedBroker() as broker, opened(broker, inbox_limit=4) as bench:
        for packet_id in range(1, 5):
            broker.publish(b"t", packet_id=packet_id)
        await eventually(lambda: bench.counters.paused_reads == 1, "the pause")
        broker.publish(b"t", packet_id=5)
        taken = [await bench.inbox.take(2), await bench.inbox.take(2)]
        bench.session.relieve()
        bench.session.acknowledge(taken[0])
        assert (await asyncio.wait_for(bench.inbox.take(1), 5)).messages[0].packet_id == 5
        bench.session.acknowledge(taken[1])
        assert packet_ids(await broker.gets(PUBACK, 4)) == [1, 2, 3, 4]


async def test_a_publish_that_stays_unanswered_ends_the_connection() -> None:
    async with ScriptedBroker() as broker, opened(broker) as bench:
        async with asyncio.TaskGroup() as group:
            call = group.create_task(_lost(bench.session, Outbound(topic="t", payload=b"")))
            ending = await asyncio.wait_for(bench.session.until_ended(), 5)
            bench.session.close()
        assert "unanswered" in ending.reason
        assert "unanswered" in call.result()
        with pytest.raises(LinkLost):
            await bench.session.publish([Outbound(topic="t", payload=b"")])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Outbound(topic="t" * 65_536, payload=b""), 0x90),
        (Outbound(topic="t/+", payload=b""), 0x90),
        (Outbound(topic="t", payload=bytes(4096)), 0x95),
        (Outbound(topic="t", payload=b"", retain=True), 0x9A),
    ],
)
async def test_what_the_broker_would_end_the_connection_for_is_not_sent(message: Outbound, code: int) -> None:
    properties = b"\x27\x00\x00\x10\x00" + b"\x25\x00"
    async with ScriptedBroker(properties=properties) as broker, opened(broker) as bench:
        assert await bench.session.publish([message]) == [code]
        assert bench.counters.refused_publishes == {code: 1}
        assert PUBLISH not in broker.kinds()


async def _lost(session: LinkSession, message: Outbound) -> str:
    try:
        await session.publish([message])
    except LinkLost as lost:
        return lost.reason
    return ""
