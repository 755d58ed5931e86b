"""What every implementation of `protocol.links.Link` must do, on a real Mosquitto."""

from __future__ import annotations

import asyncio
import subprocess
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from protocol.errors import ProtocolError
from protocol.links import LinkLost, Outbound, Subscription
from tests.brokers import Mosquitto, self_signed
from tests.contract.deadlines import SECONDS, eventually
from tests.contract.forwarders import Forwarder
from tests.contract.links import (
    IMPLEMENTATIONS,
    MARKER,
    Implementation,
    Setup,
    came_up,
    flat,
    running,
    take,
    take_acknowledged,
    up_to_marker,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from tests.embedded_brokers import Embedded

PUSH = "kp1/kettle-v1/cmx_ota/tok7/config/json/status"
REPORT = "kp1/kettle-v1/cmx_ota/tok7/applied/json"


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda implementation: implementation.name)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    chosen = request.param
    assert isinstance(chosen, Implementation)
    return chosen


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tokens=["tok7"]) as started:
        yield started


async def device_sends(
    broker: Mosquitto | Embedded, payloads: list[str], *, topic: str = REPORT, options: str = "-q 1"
) -> None:
    """Publish as the endpoint `tok7` with Mosquitto's own client; returns when all are acknowledged."""
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-u", "tok7", "-P", "7kot"]
    command += ["-V", broker.speaks]
    lines = "".join(f"{payload}\n" for payload in payloads).encode()
    await asyncio.to_thread(
        subprocess.run,
        [*command, "-t", topic, *options.split(), "-l"],
        input=lines,
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )


async def _outcome(call: Awaitable[object]) -> object:
    """What the call returns, or the `LinkLost` that it raises."""
    try:
        return await call
    except LinkLost as lost:
        return lost


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


async def test_a_new_connection_is_announced_before_its_messages(
    broker: Mosquitto, implementation: Implementation
) -> None:
    link = implementation.make(Setup(url=broker.url()))
    assert link.connection is None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(link.run())
        received = await link.receive(10)
        assert received.messages == ()
        assert received.connection is link.connection
        assert received.connection.number == 1
        assert not received.connection.session_present
        assert received.connection.protocol_level == implementation.level
        task.cancel()


async def test_messages_come_in_order_and_no_batch_exceeds_its_limit(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await device_sends(broker, numbers(700))
        batches = await take(link, 700, limit=50)
        assert [message.payload.decode() for message in flat(batches)] == numbers(700)
        assert max(len(batch.messages) for batch in batches) <= 50
        assert {message.topic for message in flat(batches)} == {REPORT}


async def test_unacknowledged_messages_come_again_marked_and_with_their_identifiers(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await device_sends(broker, numbers(20))
        first = flat(await take(link, 20))
        await broker.restart()
        notice = await came_up(link)
        assert notice.connection.session_present
        assert notice.connection.number == 2
        again = flat(await take(link, 20))
        assert [(m.packet_id, m.payload) for m in again] == [(m.packet_id, m.payload) for m in first]
        assert all(message.duplicate for message in again)
        assert not any(message.duplicate for message in first)


async def test_acknowledged_messages_do_not_come_again(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await device_sends(broker, numbers(20))
        batches = await take(link, 20, limit=10)
        link.acknowledge(batches[0])
        kept = [message.payload for message in flat(batches[1:])]
        # What is published after the PUBACKs is answered after them: the broker has them now.
        await link.publish([Outbound(topic=MARKER, payload=b"x")])
        await broker.restart()
        await came_up(link)
        again = flat(await take(link, len(kept)))
        assert [message.payload for message in again if message.topic == REPORT][: len(kept)] == kept


async def test_a_stale_acknowledgement_is_ignored(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await device_sends(broker, numbers(5))
        stale = await take(link, 5)
        await broker.restart()
        await came_up(link)
        await take(link, 5)
        for batch in stale:
            link.acknowledge(batch)
        await link.publish([Outbound(topic=MARKER, payload=b"x")])
        await broker.restart()
        await came_up(link)
        again = flat(await take(link, 5))
        assert [message.payload.decode() for message in again][:5] == numbers(5)


async def test_another_link_with_the_same_identity_inherits_the_session(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))):
        pass
    await device_sends(broker, numbers(50))
    async with running(implementation.make(Setup(url=broker.url()))) as successor:
        assert successor.connection is not None
        assert successor.connection.session_present
        assert [message.payload.decode() for message in await take_acknowledged(successor, 50)] == numbers(50)


async def test_reports_with_qos_0_survive_our_absence(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))):
        pass
    await device_sends(broker, numbers(50), options="-q 0")
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        assert [message.payload.decode() for message in await take_acknowledged(link, 50)] == numbers(50)


async def test_a_wiped_broker_has_no_session_and_is_subscribed_again(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await broker.kill()
        broker.wipe()
        await broker.start()
        assert not (await came_up(link)).connection.session_present
        await device_sends(broker, ["after"])
        assert [message.payload for message in await take_acknowledged(link, 1)] == [b"after"]


async def test_a_publish_is_answered_with_the_broker_s_reason_code(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        codes = await link.publish(
            [
                Outbound(topic=PUSH, payload=b"offer", retain=True),
                Outbound(topic="$SYS/not/ours", payload=b""),
                Outbound(topic=PUSH, payload=b"", retain=True),
                Outbound(topic=PUSH, payload=b"unacknowledged", qos=0),
            ]
        )
        assert [code & 0xEF for code in codes] == [0, 0x87 if implementation.level == 5 else 0, 0, 0]
        assert await link.publish([]) == []


async def test_what_would_end_the_connection_is_refused_without_being_sent(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        assert await link.publish([Outbound(topic="kp1/+/x", payload=b"")]) == [0x90]
        assert await link.publish([Outbound(topic="", payload=b"")]) == [0x90]
        if implementation.level == 5:
            assert await link.publish([Outbound(topic=PUSH, payload=bytes(2_000_000))]) == [0x95]
        assert link.connection is not None
        assert link.connection.number == 1


async def test_concurrent_publishes_keep_their_order_and_their_own_codes(
    broker: Mosquitto, implementation: Implementation
) -> None:
    watched = (Subscription(topic_filter="otao/v1/app/events/#", echo=True),)
    setup = Setup(url=broker.url(), subscriptions=watched, publish_window=7)
    async with running(implementation.make(setup)) as link:
        batches = [
            [Outbound(topic="otao/v1/app/events/x", payload=f"{batch}.{index}".encode()) for index in range(40)]
            for batch in range(3)
        ]
        batches[1][20] = Outbound(topic="$SYS/not/ours", payload=b"")
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(link.publish(batch)) for batch in batches]
        refused = 0x87 if implementation.level == 5 else 0
        assert [call.result() for call in calls] == [[0] * 40, [0] * 20 + [refused] + [0] * 19, [0] * 40]
        received = await take_acknowledged(link, 119)
        sent = [message.payload for batch in batches for message in batch if message.payload]
        assert [message.payload for message in received] == sent


async def test_a_cancelled_publish_sends_nothing_more_and_hurts_no_other(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url(), publish_window=5))) as link:
        broker.pause()
        async with asyncio.TaskGroup() as group:
            doomed = group.create_task(link.publish([Outbound(topic=MARKER, payload=b"doomed")] * 20))
            later = group.create_task(link.publish([Outbound(topic=MARKER, payload=b"later")]))
            await asyncio.sleep(0)
            doomed.cancel()
            await asyncio.wait((doomed,))
            broker.resume()
        assert later.result() == [0]
        messages = await up_to_marker(link, b"end")
        assert [message.payload for message in messages] == [b"doomed"] * 5 + [b"later"]


async def test_publishing_without_a_connection_fails_at_once(broker: Mosquitto, implementation: Implementation) -> None:
    link = implementation.make(Setup(url=broker.url()))
    with pytest.raises(LinkLost):
        await link.publish([Outbound(topic=PUSH, payload=b"")])


async def test_broker_killed_with_publishes_in_flight_fails_them_at_once(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        broker.pause()
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(_outcome(link.publish([Outbound(topic=PUSH, payload=b"x")] * 300)))
            await asyncio.sleep(0)
            killed_at = time.monotonic()
            await broker.kill()
        assert isinstance(publishing.result(), LinkLost)
        assert time.monotonic() - killed_at < 1.0
        assert link.connection is None


async def test_a_broker_that_stops_answering_is_given_up(broker: Mosquitto, implementation: Implementation) -> None:
    setup = Setup(url=broker.url(), publish_timeout=timedelta(seconds=1))
    async with running(implementation.make(setup)) as link:
        broker.pause()
        with pytest.raises(LinkLost):
            await link.publish([Outbound(topic=PUSH, payload=b"x")])
        broker.resume()
        assert (await came_up(link)).connection.number == 2
        assert await link.publish([Outbound(topic=MARKER, payload=b"x")]) == [0]


async def test_a_broker_that_stops_reading_is_given_up(broker: Mosquitto, implementation: Implementation) -> None:
    setup = Setup(url=broker.url(), publish_timeout=timedelta(seconds=1))
    async with running(implementation.make(setup)) as link:
        broker.pause()
        # Nobody answers QoS 0: that it is not read shows only when the network takes no more.
        with pytest.raises(LinkLost):
            await link.publish([Outbound(topic=MARKER, payload=bytes(60_000), qos=0)] * 1000)
        broker.resume()
        assert (await came_up(link)).connection.number == 2
        assert await link.publish([Outbound(topic=MARKER, payload=b"x")]) == [0]


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
async def test_packets_may_arrive_in_any_pieces(broker: Mosquitto, implementation: Implementation, piece: int) -> None:
    async with Forwarder(broker.port, piece=piece) as forwarder:
        url = broker.url().replace(f":{broker.port}", f":{forwarder.port}")
        async with running(implementation.make(Setup(url=url))) as link:
            sizes = [1, 100, 126, 127, 128, 300]
            payloads = [f"{index}-".ljust(size, "x") for index, size in enumerate(sizes)]
            await device_sends(broker, payloads)
            assert [message.payload.decode() for message in await take_acknowledged(link, len(sizes))] == payloads
            offers = [Outbound(topic=PUSH, payload=payload.encode(), retain=True) for payload in payloads]
            assert await link.publish(offers) == [0] * len(sizes)
            assert await link.read_retained([PUSH]) == {PUSH: payloads[-1].encode()}


async def test_large_packets_go_both_ways(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        payloads = [f"{index}-{'x' * 900_000}" for index in range(5)]
        await device_sends(broker, payloads)
        assert [message.payload.decode() for message in await take_acknowledged(link, 5)] == payloads
        offer = Outbound(topic=PUSH, payload=bytes(1_000_000), retain=True)
        assert await link.publish([offer] * 5) == [0] * 5
        assert await link.read_retained([PUSH]) == {PUSH: offer.payload}


async def test_a_flood_that_nobody_acknowledges_is_held_back_and_not_lost(
    broker: Mosquitto, implementation: Implementation
) -> None:
    limit = 300
    async with running(implementation.make(Setup(url=broker.url(), inbox_limit=limit))) as link:
        await device_sends(broker, numbers(10_000))
        held = await take(link, limit)
        # Nothing more may come beyond what one turn of reading brings.
        more: list[bytes] = []
        try:
            async with asyncio.timeout(0.5):
                while True:
                    received = await link.receive(500)
                    more.extend(message.payload for message in received.messages)
                    held.append(received)
        except TimeoutError:
            pass
        count = len(flat(held))
        assert limit <= count <= limit + 512
        for batch in held:
            link.acknowledge(batch)
        rest = await take_acknowledged(link, 10_000 - count)
        everything = [message.payload.decode() for message in [*flat(held), *rest]]
        assert everything == numbers(10_000)
        assert not any(message.duplicate for message in rest)


async def test_publishes_are_answered_while_a_long_queue_flows_off(
    broker: Mosquitto, implementation: Implementation
) -> None:
    """Mosquitto sends far more than the receive maximum once some of a queue is acknowledged."""
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await device_sends(broker, numbers(20_000))
        for batch in await take(link, 1_000):
            link.acknowledge(batch)
        async with asyncio.timeout(SECONDS):
            assert await link.publish([Outbound(topic=PUSH, payload=b"offer", retain=True)] * 500) == [0] * 500
        assert len(await take_acknowledged(link, 19_000)) == 19_000


async def test_our_own_publishes_come_back_only_where_asked(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        pushes = [Outbound(topic=PUSH, payload=b"offer", retain=True)] * 3
        await link.publish([*pushes, Outbound(topic=f"{REPORT}/7/status", payload=b"")])
        await device_sends(broker, ["report"])
        received = await up_to_marker(link, b"end")
        assert [(message.topic, message.payload) for message in received] == [(REPORT, b"report")]


async def test_more_echoes_than_the_broker_keeps_in_flight_do_not_clog_the_link(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await link.publish([Outbound(topic=PUSH, payload=b"offer", retain=True)] * 5000)
        assert await up_to_marker(link, b"end") == []


async def test_retained_messages_of_our_filters_do_not_come_at_a_reconnect(
    broker: Mosquitto, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await device_sends(broker, ["kept"], options="-q 1 -r")
        # As published on MQTT 5; 3.1.1 clears the flag for subscriptions that exist.
        assert [message.retain for message in await take_acknowledged(link, 1)] == [implementation.level == 5]
        await up_to_marker(link, b"acknowledged")
        await broker.restart()
        await came_up(link)
        assert [message for message in await up_to_marker(link, b"end") if message.topic == REPORT] == []


async def test_read_retained_answers_what_is_there(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        topics = [f"kp1/kettle-v1/cmx_ota/tok{index}/config/json/status" for index in range(250)]
        kept = topics[::2]
        await link.publish([Outbound(topic=topic, payload=topic.encode(), retain=True) for topic in kept])
        await link.publish([Outbound(topic=kept[0], payload=b"", retain=True)])
        await link.publish([Outbound(topic=topics[1], payload=b"live")])
        answer = await link.read_retained([*topics, topics[2]])
        assert answer == {topic: topic.encode() for topic in kept[1:]}
        assert await link.read_retained([]) == {}
        assert link.connection is not None
        assert link.connection.number == 1


async def test_read_retained_may_be_called_twice_at_once(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await link.publish([Outbound(topic=PUSH, payload=b"offer", retain=True)])
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(link.read_retained([PUSH])) for _ in range(2)]
        assert [call.result() for call in calls] == [{PUSH: b"offer"}] * 2


async def test_read_retained_fails_when_the_broker_is_away(broker: Mosquitto, implementation: Implementation) -> None:
    link = implementation.make(Setup(url=broker.url()))
    await broker.kill()
    with pytest.raises(LinkLost):
        await link.read_retained([PUSH])


async def test_many_publishers_at_once_lose_nothing(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        topics = [f"{REPORT}/{sender}" for sender in range(8)]
        async with asyncio.TaskGroup() as group:
            for topic in topics:
                group.create_task(device_sends(broker, numbers(400), topic=topic))
            messages = await take_acknowledged(link, 3200)
        for topic in topics:
            assert [message.payload.decode() for message in messages if message.topic == topic] == numbers(400)


async def test_request_properties_arrive_on_mqtt_5(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        answers = "kp1/kettle-v1/cmx_ota/tok7/answers"
        options = f"-q 1 -D publish response-topic {answers} -D publish correlation-data c7"
        await device_sends(broker, ["{}"], options=options)
        (message,) = await take_acknowledged(link, 1)
        expected = (answers, b"c7") if implementation.level == 5 else (None, None)
        assert (message.response_topic, message.correlation_data) == expected


async def test_wrong_credentials_end_the_first_run(broker: Mosquitto, implementation: Implementation) -> None:
    url = broker.url().replace(":oato@", ":wrong@")
    link = implementation.make(Setup(url=url))
    with pytest.raises(ProtocolError) as refused:
        await asyncio.wait_for(link.run(), SECONDS)
    assert "wrong" not in str(refused.value)


async def test_wrong_credentials_later_are_waited_out(broker: Mosquitto, implementation: Implementation) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await broker.terminate()
        broker.set_password("otao", "rotated")
        await broker.start()
        await eventually(lambda: "not authorised" in broker.log(), "a refused attempt")
        broker.set_password("otao", "oato")
        broker.reload()
        assert (await came_up(link)).connection.number == 2


async def test_the_will_is_published_when_we_vanish_and_not_when_we_leave(
    broker: Mosquitto, implementation: Implementation
) -> None:
    presence = "otao/v1/service/replica"
    will = Outbound(topic=presence, payload=b"gone", retain=True)
    watcher = implementation.make(Setup(url=broker.url(), client_id="watcher"))
    async with Forwarder(broker.port) as forwarder:
        url = broker.url().replace(f":{broker.port}", f":{forwarder.port}")
        link = implementation.make(Setup(url=url, will=will))
        async with running(link):
            pass
        assert await watcher.read_retained([presence]) == {}
        async with running(link):
            forwarder.cut()
            await came_up(link)
            assert await watcher.read_retained([presence]) == {presence: b"gone"}


async def test_tls_carries_everything_and_a_strange_certificate_is_refused(
    implementation: Implementation, tmp_path: Path
) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    async with Mosquitto(tokens=["tok7"], tls=(certificate, key)) as broker:
        url = broker.url(encrypted=True)
        async with running(implementation.make(Setup(url=url, ca_file=certificate))) as link:
            payloads = [f"{index}-{'x' * 3000}" for index in range(1500)]
            await device_sends(broker, payloads)
            assert [message.payload.decode() for message in await take_acknowledged(link, 1500)] == payloads
            assert await link.publish([Outbound(topic=PUSH, payload=bytes(50_000))] * 60) == [0] * 60
        with pytest.raises(ProtocolError):
            await asyncio.wait_for(implementation.make(Setup(url=url)).run(), SECONDS)
