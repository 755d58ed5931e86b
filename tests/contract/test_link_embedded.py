"""The link's contract on the embedded broker, as far as that one goes: MQTT 3.1.1, nothing kept over a restart.

Left out are the tests that restart or pause the broker, need credentials or TLS, or publish where the broker ends the
connection instead of answering.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocol.links import Outbound
from tests.contract.forwarders import Forwarder
from tests.contract.links import IMPLEMENTATIONS, MARKER, Implementation, Setup, came_up, running, take_acknowledged
from tests.contract.test_link import (
    REPORT,
    device_sends,
    numbers,
    test_a_flood_that_nobody_acknowledges_is_held_back_and_not_lost,
    test_a_new_connection_is_announced_before_its_messages,
    test_another_link_with_the_same_identity_inherits_the_session,
    test_many_publishers_at_once_lose_nothing,
    test_messages_come_in_order_and_no_batch_exceeds_its_limit,
    test_more_echoes_than_the_broker_keeps_in_flight_do_not_clog_the_link,
    test_our_own_publishes_come_back_only_where_asked,
    test_read_retained_answers_what_is_there,
    test_read_retained_may_be_called_twice_at_once,
    test_reports_with_qos_0_survive_our_absence,
    test_the_will_is_published_when_we_vanish_and_not_when_we_leave,
)
from tests.embedded_brokers import Embedded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = [
    "test_a_flood_that_nobody_acknowledges_is_held_back_and_not_lost",
    "test_a_new_connection_is_announced_before_its_messages",
    "test_another_link_with_the_same_identity_inherits_the_session",
    "test_many_publishers_at_once_lose_nothing",
    "test_messages_come_in_order_and_no_batch_exceeds_its_limit",
    "test_more_echoes_than_the_broker_keeps_in_flight_do_not_clog_the_link",
    "test_our_own_publishes_come_back_only_where_asked",
    "test_read_retained_answers_what_is_there",
    "test_read_retained_may_be_called_twice_at_once",
    "test_reports_with_qos_0_survive_our_absence",
    "test_the_will_is_published_when_we_vanish_and_not_when_we_leave",
]


@pytest.fixture
def implementation() -> Implementation:
    (chosen,) = (candidate for candidate in IMPLEMENTATIONS if candidate.level == 4)
    return chosen


@pytest.fixture
async def broker() -> AsyncIterator[Embedded]:
    async with Embedded() as started:
        yield started


async def test_a_cut_connection_comes_back_to_its_session_and_to_what_was_sent_meanwhile(
    broker: Embedded, implementation: Implementation
) -> None:
    async with Forwarder(broker.port) as forwarder:
        link = implementation.make(Setup(url=f"mqtt://127.0.0.1:{forwarder.port}"))
        async with running(link):
            await device_sends(broker, ["before"])
            await take_acknowledged(link, 1)
            # It comes back only when everything is sent: what is sent while it comes back may arrive twice, or never
            # (decision 0013).
            forwarder.silence()
            forwarder.cut()
            await device_sends(broker, numbers(100))
            forwarder.restore()
            assert (await came_up(link)).connection.session_present
            messages = await take_acknowledged(link, 100)
            came = sorted((int(message.payload), message.retain) for message in messages)
            assert came == [(number, False) for number in range(100)]
            assert await link.publish([Outbound(topic=MARKER, payload=b"x")]) == [0]


async def test_large_payloads_go_both_ways(broker: Embedded, implementation: Implementation) -> None:
    payloads = [f"{index}-{'x' * 60_000}" for index in range(50)]
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await device_sends(broker, payloads)
        assert [message.payload.decode() for message in await take_acknowledged(link, 50)] == payloads
        kept = [
            Outbound(topic=f"kp1/av/cmx_ota/tok{index}/config/json/status", payload=bytes(60_000), retain=True)
            for index in range(50)
        ]
        assert await link.publish(kept) == [0] * 50
        assert await link.read_retained([message.topic for message in kept]) == {
            message.topic: message.payload for message in kept
        }


async def test_a_publish_that_the_broker_does_not_take_ends_the_connection_and_the_link_comes_back(
    broker: Embedded, implementation: Implementation
) -> None:
    async with running(implementation.make(Setup(url=broker.url()))) as link:
        await link.publish([Outbound(topic="$SYS/not/ours", payload=b"")])
        assert (await came_up(link)).connection.number == 2
        await device_sends(broker, ["after"])
        assert [message.topic for message in await take_acknowledged(link, 1)] == [REPORT]
