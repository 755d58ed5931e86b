from __future__ import annotations

import asyncio
import shutil
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from broker_bridge.backoffs import Backoff
from broker_bridge.errors import AddressError, BrokerRefused
from broker_bridge.links import MqttLink
from broker_bridge.options import LinkOptions
from protocol.links import LinkLost, Subscription
from tests.brokers import self_signed
from tests.contract.deadlines import eventually
from tests.unit.broker_bridge.scripted_brokers import SUBSCRIBE, ScriptedBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def made(
    broker: ScriptedBroker,
    *,
    longest: float = 0.05,
    inbox_limit: int = 100,
    random: float = 0.0,
    subscribed: bool = False,
    varying: bool = False,
) -> MqttLink:
    options = LinkOptions(
        subscriptions=(Subscription(topic_filter="kp1/#"),) if subscribed else (),
        varying=varying,
        resubscribe=timedelta(),
        url=broker.url,
        client_id="otao-1",
        inbox_limit=inbox_limit,
        backoff=Backoff(longest=timedelta(seconds=longest)),
    )
    return MqttLink(options, random=lambda: random)


@asynccontextmanager
async def running(link: MqttLink) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(link.run())
        try:
            yield
        finally:
            task.cancel()


def test_a_bad_address_is_told_at_once() -> None:
    with pytest.raises(AddressError):
        MqttLink(LinkOptions(url="http://h", client_id="c"))


async def test_numbers_grow_with_every_connection_that_came_up() -> None:
    async with ScriptedBroker() as broker:
        link = made(broker)
        async with running(link):
            for number in range(1, 4):
                received = await asyncio.wait_for(link.receive(1), 5)
                assert received.connection.number == number
                broker.cut()
        assert link.counters.connects >= 3


async def test_a_refusal_ends_run_only_before_the_first_connection() -> None:
    async with ScriptedBroker(connack=0x87) as broker:
        with pytest.raises(BrokerRefused):
            await asyncio.wait_for(made(broker).run(), 5)
        broker.connack = 0
        link = made(broker)
        async with running(link):
            await asyncio.wait_for(link.receive(1), 5)
            broker.connack = 0x87
            broker.cut()
            await eventually(lambda: link.counters.refused_connects >= 2, "two refused attempts")
            broker.connack = 0
            assert (await asyncio.wait_for(link.receive(1), 5)).connection.number == 2


async def test_why_there_is_no_connection_is_known_while_there_is_none() -> None:
    async with ScriptedBroker(connack=0x89) as broker:
        link = made(broker)
        assert link.trouble is None
        async with running(link):
            await eventually(lambda: link.trouble is not None, "an attempt that failed")
            assert link.trouble == f"{broker.url.removeprefix('mqtt://')}: Server busy"
            broker.connack = 0
            await asyncio.wait_for(link.receive(1), 5)
            assert link.trouble is None
            broker.connack = 0x87
            broker.cut()
            await eventually(lambda: link.counters.refused_connects >= 1, "a refusal")
            assert link.trouble == "the broker refuses us: Not authorized"
            broker.connack = 0
            assert (await asyncio.wait_for(link.receive(1), 5)).connection.number == 2
            assert link.trouble is None


async def test_a_connection_that_was_lost_is_told_until_the_next_attempt_has_failed_or_not() -> None:
    async with ScriptedBroker() as broker:
        link = made(broker, longest=60, random=1.0)
        async with running(link):
            await asyncio.wait_for(link.receive(1), 5)
            broker.cut()
            await eventually(lambda: link.trouble is not None, "the connection is lost")
            assert str(link.trouble).startswith("the connection was lost: ")


async def test_subscriptions_refused_on_the_first_connection_end_run_though_the_broker_has_our_session() -> None:
    async with ScriptedBroker(session_present=True, suback=0x87) as broker:
        with pytest.raises(BrokerRefused, match="subscription"):
            await asyncio.wait_for(made(broker, subscribed=True).run(), 5)
        broker.suback = 1
        link = made(broker, subscribed=True)
        async with running(link):
            await asyncio.wait_for(link.receive(1), 5)
            broker.suback = 0x87
            broker.cut()
            await eventually(lambda: link.counters.refused_connects >= 2, "two refused subscriptions")


@pytest.mark.parametrize("session_present", [True, False], ids=["our-session", "new-session"])
async def test_where_subscriptions_vary_one_that_is_refused_on_the_first_connection_ends_neither_run_nor_connection(
    *, session_present: bool
) -> None:
    async with ScriptedBroker(session_present=session_present, suback=0x87) as broker:
        link = made(broker, subscribed=True, varying=True)
        async with running(link):
            await asyncio.wait_for(link.receive(1), 5)
            await eventually(lambda: link.counters.refused_subscriptions >= 2, "it is refused again")
            assert link.refused == ["kp1/#"]
            broker.suback = 1
            await broker.gets(SUBSCRIBE, broker.kinds().count(SUBSCRIBE) + 1)
            await eventually(lambda: not link.refused, "it is granted")
            assert (link.counters.connects, link.counters.refused_connects) == (1, 0)
        assert link.refused == []


async def test_on_3_1_1_a_session_that_may_lack_subscriptions_is_asked_until_the_broker_has_answered_once() -> None:
    async with ScriptedBroker(level=4, session_present=True, suback=None) as broker:
        options = LinkOptions(
            subscriptions=(Subscription(topic_filter="kp1/#"),),
            renewed=True,
            protocol="3.1.1",
            url=broker.url,
            client_id="otao-1",
        )
        link = MqttLink(options, random=lambda: 0.0)
        async with running(link):
            await broker.gets(SUBSCRIBE, 1)
            broker.suback = 1
            broker.cut()
            await broker.gets(SUBSCRIBE, 2)
            await eventually(lambda: link._session is not None and link._session.answered, "the answer")
            broker.cut()
            await eventually(lambda: link.counters.connects == 3, "the third connection")
            broker.publish(b"kp1/a/cmx_ota/t/applied/json")
            await eventually(lambda: link.counters.inbound == 1, "what the session is subscribed to")
            assert broker.kinds().count(SUBSCRIBE) == 2


async def test_a_busy_or_absent_broker_is_tried_again_from_the_start() -> None:
    async with ScriptedBroker(connack=0x89) as broker:
        link = made(broker)
        async with running(link):
            await eventually(lambda: broker.connections >= 3, "three attempts")
            broker.connack = 0
            assert (await asyncio.wait_for(link.receive(1), 5)).connection.number == 1


async def test_a_second_client_with_our_id_is_named_and_waited_for() -> None:
    async with ScriptedBroker() as broker:
        link = made(broker, longest=60)
        with capture_logs() as logs:
            async with running(link):
                await asyncio.wait_for(link.receive(1), 5)
                broker.disconnect(0x8E)
                await eventually(lambda: link.counters.losses == 1, "the loss")
                await eventually(lambda: len(logs) >= 2, "the log")
                assert link.connection is None
        (entry,) = [entry for entry in logs if entry["event"] == "broker.session-taken-over"]
        assert entry["client_id"] == "otao-1"
        assert broker.connections == 1, "at random share 0 only the slow end waits at all"


async def test_connections_that_never_hold_raise_the_suspicion_of_a_shared_id() -> None:
    async with ScriptedBroker() as broker:
        link = made(broker)
        with capture_logs() as logs:
            async with running(link):
                for _ in range(4):
                    await asyncio.wait_for(link.receive(1), 5)
                    broker.cut()
        assert "broker.unsteady" in [entry["event"] for entry in logs]


async def test_no_new_connection_while_the_inbox_is_full() -> None:
    async with ScriptedBroker() as broker:
        link = made(broker, inbox_limit=3)
        async with running(link):
            await asyncio.wait_for(link.receive(1), 5)
            for _ in range(3):
                broker.publish(b"t")
            await eventually(lambda: link.counters.paused_reads == 1, "the pause")
            broker.cut()
            await eventually(lambda: link.counters.losses == 1, "the loss, though nothing is read")
            with pytest.raises(AssertionError, match="another"):
                await eventually(lambda: broker.connections > 1, "another connection", seconds=0.3)
            assert len((await link.receive(10)).messages) == 3
            assert (await asyncio.wait_for(link.receive(1), 5)).connection.number == 2


async def test_messages_of_a_lost_connection_are_handed_out_and_not_acknowledged() -> None:
    async with ScriptedBroker() as broker:
        link = made(broker)
        async with running(link):
            await asyncio.wait_for(link.receive(1), 5)
            broker.publish(b"t", packet_id=7)
            await eventually(lambda: link.counters.inbound == 1, "the message")
            broker.cut()
            await eventually(lambda: link.counters.connects == 2, "the next connection")
            broker.publish(b"t", packet_id=7)
            old = await link.receive(10)
            assert (old.connection.number, [message.packet_id for message in old.messages]) == (1, [7])
            assert (await asyncio.wait_for(link.receive(10), 5)).connection.number == 2
            again = await asyncio.wait_for(link.receive(10), 5)
            link.acknowledge(old)
            assert link.counters.acknowledged == 0, "the same identifier on the next connection is another debt"
            link.acknowledge(again)
            assert link.counters.acknowledged == 1


async def test_nothing_is_sent_for_an_empty_publish() -> None:
    async with ScriptedBroker() as broker:
        assert await made(broker).publish([]) == []


async def test_a_broker_that_talks_nonsense_is_left_and_tried_again() -> None:
    async with ScriptedBroker() as broker:
        link = made(broker)
        with capture_logs() as logs:
            async with running(link):
                await asyncio.wait_for(link.receive(1), 5)
                broker.write(broker.encoded_publish(b"t", packet_id=7) + b"\x50\x02\x00\x07")
                assert (await asyncio.wait_for(link.receive(9), 5)).messages[0].packet_id == 7
                assert (await asyncio.wait_for(link.receive(9), 5)).connection.number == 2
        assert any("not MQTT" in str(entry.get("reason")) for entry in logs)


async def test_every_attempt_to_connect_waits_until_it_is_admitted() -> None:
    asked: list[asyncio.Event] = []

    async def admitted() -> None:
        asked.append(asyncio.Event())
        await asked[-1].wait()

    def has_asked(times: int) -> bool:
        return len(asked) == times

    async with ScriptedBroker() as broker:
        options = LinkOptions(url=broker.url, client_id="otao-1", backoff=Backoff(longest=timedelta(seconds=0.05)))
        link = MqttLink(options, admitted=admitted, random=lambda: 0.0)
        async with running(link):
            for number in (1, 2):
                await eventually(partial(has_asked, number), "it asks")
                assert link.connection is None
                asked[-1].set()
                received = await asyncio.wait_for(link.receive(1), 5)
                assert received.connection.number == number
                broker.cut()


async def test_who_is_not_admitted_ends() -> None:
    async def admitted() -> None:
        raise ZeroDivisionError

    async with ScriptedBroker() as broker:
        link = MqttLink(LinkOptions(url=broker.url, client_id="otao-1"), admitted=admitted)
        with pytest.raises(ZeroDivisionError):
            await link.run()
        assert link.counters.connects == 0


async def test_a_tls_file_that_cannot_be_used_ends_run_only_before_the_first_connection(tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trusted = tmp_path / "trusted.pem"
    async with ScriptedBroker(tls=tls) as broker:
        options = LinkOptions(
            url=broker.url, client_id="c", ca_file=trusted, backoff=Backoff(longest=timedelta(seconds=0.05))
        )
        with pytest.raises(AddressError):
            await asyncio.wait_for(MqttLink(options).run(), 5)
        await asyncio.to_thread(shutil.copy, certificate, trusted)
        link = MqttLink(options, random=lambda: 0.0)
        with capture_logs() as logs:
            async with running(link):
                await asyncio.wait_for(link.receive(1), 5)
                await asyncio.to_thread(trusted.unlink)
                with pytest.raises(LinkLost, match="TLS file"):
                    await link.read_retained(["t"])
                broker.cut()
                await eventually(lambda: "broker.unreachable" in [entry["event"] for entry in logs], "an attempt")
                await asyncio.to_thread(shutil.copy, certificate, trusted)
                assert (await asyncio.wait_for(link.receive(1), 5)).connection.number == 2
    assert any("TLS file" in str(entry.get("reason")) for entry in logs)
