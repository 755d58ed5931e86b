"""A device's connection to a real Mosquitto, cancelled in the very turn in which the broker answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest

from device_sim.connections import Connection
from tests.brokers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SECONDS = 10


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tokens=["tok7"]) as started:
        yield started


class Ending(Connection):
    """Calls `ending` as soon as the broker has answered a subscription or a publish."""

    ending: Callable[[], object]

    def _on_subscribe(self, *args: Any) -> None:  # noqa: ANN401 - as it is inherited
        super()._on_subscribe(*args)
        self.ending()

    def _on_publish(self, *args: Any) -> None:  # noqa: ANN401 - as it is inherited
        super()._on_publish(*args)
        self.ending()


@pytest.mark.parametrize("call", ["subscribe", "publish"])
async def test_a_cancellation_beside_the_broker_s_answer_is_not_forgotten(broker: Mosquitto, call: str) -> None:
    went_on: list[str] = []

    async def device() -> None:
        async with Ending("127.0.0.1", broker.port, username="tok7", password="7kot") as connection:
            connection.ending = task.cancel
            if call == "subscribe":
                await connection.subscribe("kp1/kettle-v1/cmx_ota/tok7/config/json/status", qos=1)
            else:
                await connection.publish("kp1/kettle-v1/cmx_ota/tok7/applied/json", b"{}", qos=1)
            went_on.append(call)

    task = asyncio.get_running_loop().create_task(device())
    _, pending = await asyncio.wait([task], timeout=SECONDS)
    assert not pending
    assert task.cancelled()
    assert went_on == []


async def test_a_cancellation_beside_a_refusal_is_not_forgotten(broker: Mosquitto) -> None:
    class Refused(Connection):
        def _on_connect(self, *args: Any) -> None:  # noqa: ANN401 - as it is inherited
            super()._on_connect(*args)
            task.cancel()

    async def device() -> None:
        async with Refused("127.0.0.1", broker.port, username="tok7", password="wrong"):
            pass

    task = asyncio.get_running_loop().create_task(device())
    await asyncio.wait([task], timeout=SECONDS)
    assert task.cancelled()


async def test_a_call_that_fails_says_why(broker: Mosquitto) -> None:
    connection = Connection("127.0.0.1", broker.port, username="tok7", password="wrong")
    with pytest.raises(aiomqtt.MqttCodeError, match="Not authorized"):
        await connection.__aenter__()
